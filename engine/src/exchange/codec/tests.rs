//! Plans with remote scans that are encoded, and then decoded and run in another task.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionConfig;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;

use super::*;
use crate::exchange::tests::{INNER, Mesh, head, keys, sorted};
use crate::server::with_remote_scans;
use portolan_connectors::KeyForm;

const CONVERTER: DeduplicatingProtoConverter = DeduplicatingProtoConverter {};

/// Returns a task of another process, with these options and the peers of the gateway.
fn task(mesh: &Mesh, options: &SessionConfig) -> TaskContext {
    TaskContext::default().with_session_config(with_remote_scans(&mesh.gateway, options.clone(), head()))
}

fn scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    if plan.is::<RemoteScanExec>() {
        return vec![plan.clone()];
    }
    plan.children().into_iter().flat_map(scans).collect()
}

fn encoded(scan: &Arc<dyn ExecutionPlan>) -> Vec<u8> {
    let mut bytes = vec![];
    RemoteScanCodec.try_encode(scan.clone(), &mut bytes, &CONVERTER).unwrap();
    bytes
}

fn indented(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

#[tokio::test]
async fn a_scan_is_the_same_after_decoding() {
    let mesh = Mesh::new().await;
    for rows_known in [true, false] {
        let physical = mesh.plan(INNER, keys(Some(KeyForm::Bloom)), rows_known).await;
        let task = task(&mesh, physical.state.config());
        let scans = scans(&physical.plan);
        assert_eq!(scans.len(), 2);
        for scan in scans {
            let decoded = RemoteScanCodec.try_decode(&encoded(&scan), &[], &task, &CONVERTER).unwrap();
            let before = scan.downcast_ref::<RemoteScanExec>().unwrap();
            let after = decoded.downcast_ref::<RemoteScanExec>().unwrap();
            assert_eq!((indented(&decoded), decoded.schema()), (indented(&scan), scan.schema()));
            assert_eq!(after.filters().len(), before.filters().len());
            let (after, before) = (&after.fragment, &before.fragment);
            assert_eq!((after.number, &after.site, &after.domains), (before.number, &before.site, &before.domains));
            assert_eq!((&after.sent, after.rows, &after.edge), (&before.sent, before.rows, &before.edge));
            assert_eq!(after.plan.display_indent_schema().to_string(), before.plan.display_indent_schema().to_string());
        }
    }
}

#[tokio::test]
async fn a_decoded_plan_returns_the_same_rows_and_sends_the_same_keys() {
    let mesh = Mesh::new().await;
    let whole = mesh.run(INNER, None, true).await;
    for (form, word) in [(KeyForm::Batch, "portolan_in_keys("), (KeyForm::Range, ">=")] {
        let physical = mesh.plan(INNER, keys(Some(form)), true).await;
        let plan = physical.plan.clone();
        let bytes = physical_plan_to_bytes_with_proto_converter(plan, &RemoteScanCodec, &CONVERTER).unwrap();
        let task = Arc::new(task(&mesh, physical.state.config()));
        let decoded = physical_plan_from_bytes_with_proto_converter(&bytes, &task, &RemoteScanCodec, &CONVERTER);
        let decoded = decoded.unwrap();
        assert_eq!(indented(&decoded), indented(&physical.plan));
        // Nothing of the planned query is left in this process.
        drop(physical);
        let rows = collect(decoded, task.clone()).await.unwrap();
        assert_eq!(sorted(&rows), whole.rows, "{form:?}");
        assert!(mesh.last_plan().contains(word), "{form:?}: {}", mesh.last_plan());
        let edges = LiveEdges::of(task.session_config()).unwrap().all();
        assert_eq!(edges.iter().find_map(|edge| edge.key_report()).expect("keys were sent").forms, [form]);
        assert!(edges.iter().all(|edge| edge.summary().is_some()), "{form:?}");
    }
}

#[tokio::test]
async fn a_task_without_the_edges_of_a_query_is_refused() {
    let mesh = Mesh::new().await;
    let physical = mesh.plan(INNER, None, true).await;
    let scan = scans(&physical.plan).remove(0);
    let without = TaskContext::default();
    let error = RemoteScanCodec.try_decode(&encoded(&scan), &[], &without, &CONVERTER).unwrap_err();
    assert!(error.to_string().contains("the edges of its query"), "{error}");
    let error = scan.execute(0, Arc::new(without)).err().unwrap();
    assert!(error.to_string().contains("the edges of its query"), "{error}");
}

#[tokio::test]
async fn two_plans_with_one_configuration_are_refused() {
    let mesh = Mesh::new().await;
    let physical = mesh.plan(INNER, keys(None), true).await;
    let task = Arc::new(task(&mesh, physical.state.config()));
    let run = async |sql: &str| {
        let physical = mesh.plan(sql, keys(None), true).await;
        let bytes = physical_plan_to_bytes_with_proto_converter(physical.plan, &RemoteScanCodec, &CONVERTER)?;
        let plan = physical_plan_from_bytes_with_proto_converter(&bytes, &task, &RemoteScanCodec, &CONVERTER)?;
        collect(plan, task.clone()).await
    };
    assert!(!run(INNER).await.unwrap().is_empty());
    let error = run("SELECT p.t FROM small.p.build b JOIN large.p.probe p ON b.k = p.k").await.unwrap_err();
    assert!(error.to_string().contains("call `with_remote_scans` once for each plan"), "{error}");
}

#[tokio::test]
async fn bytes_that_are_not_a_scan_are_refused() {
    let mesh = Mesh::new().await;
    let physical = mesh.plan(INNER, keys(None), true).await;
    let task = task(&mesh, physical.state.config());
    let scan = scans(&physical.plan).remove(0);
    let bytes = encoded(&scan);
    let decode =
        |bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]| RemoteScanCodec.try_decode(bytes, inputs, &task, &CONVERTER);
    assert!(decode(&[], &[]).is_err() && decode(&[0xff; 50], &[]).is_err());
    assert!(decode(&bytes, std::slice::from_ref(&scan)).is_err());
    // Truncated bytes may still be a scan, with fewer columns or without filters. They must not cause a panic.
    for end in (0..bytes.len()).step_by(7) {
        let _ = decode(&bytes[..end], &[]);
    }
    let other: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(scan.schema()));
    let error = RemoteScanCodec.try_encode(other, &mut vec![], &CONVERTER).unwrap_err();
    assert!(error.to_string().contains("`EmptyExec` is not a remote scan"), "{error}");
}
