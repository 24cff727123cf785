//! Tests of `EXPLAIN (POLICY)`: at the owner of a port, and through a gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use portolan_connectors::LocalDomain;

use crate::fake_mesh::OwnerPeer;
use crate::{Engine, ErrorKind, Principal};

const POLICIES: &str = r#"
@id("analysts")
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::people)
when { resource has dept && resource.dept == "top secret" };
@id("cleared")
forbid(principal, action == Action::"read", resource is sales::p::people)
when { resource has id && resource.id == 424242 } unless { principal in Group::"owners" };
@id("owners")
permit(principal in Group::"owners", action, resource) when { context.now < datetime("2999-01-01") };
@id("mask-mail") @mask("replace-with-null")
forbid(principal, action == Action::"read", resource == Column::"sales.p.people.mail")
unless { principal in Group::"owners" };
@id("hide-dept")
forbid(principal, action == Action::"read", resource == Column::"sales.p.people.dept")
unless { principal in Group::"owners" };
"#;

fn domain(policies: &str, dept: &str) -> LocalDomain {
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value, "b"])) };
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let people = [("id", ids.clone()), ("dept", text(dept)), ("mail", text("a@example.org"))];
    let people = RecordBatch::try_from_iter(people).unwrap();
    let free = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    OwnerPeer::domain("sales", &[("people", people), ("free", free)], policies)
}

/// Returns the rows without the version, each as `subject|decision|decided_by`, and true for each row with a version.
async fn explained(engine: &Engine, principal: Principal, sql: &str) -> (Vec<String>, Vec<bool>) {
    let session = engine.session(principal);
    let rows = session.sql(&format!("EXPLAIN (POLICY) {sql}")).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    let (mut lines, mut versions) = (vec![], vec![]);
    for batch in rows.collect().await.unwrap() {
        let column = |i: usize| batch.column(i).as_string::<i32>();
        let of = |i: usize, row: usize| if column(i).is_null(row) { "" } else { column(i).value(row) };
        for row in 0..batch.num_rows() {
            let port = of(0, row).rsplit('.').next().unwrap().to_owned();
            lines.push(format!("{port}|{}|{}|{}", of(2, row), of(3, row), of(4, row)));
            versions.push(!column(5).is_null(row));
            let until = batch.column(6).as_primitive::<TimestampMicrosecondType>();
            let is_owner = session.principal().groups().contains("owners");
            assert_eq!(until.is_valid(row), is_owner && port == "people", "{lines:?}");
        }
    }
    (lines, versions)
}

fn analyst() -> Principal {
    Principal::new("ann").with_groups(["analysts"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_explained_without_conditions() {
    let owner = OwnerPeer::of(domain(POLICIES, "top secret"));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    let join = "SELECT count(*) FROM sales.p.people a JOIN sales.p.people b ON a.id = b.id \
                WHERE a.dept = 'x' AND a.id IN (SELECT id FROM sales.p.free)";
    for engine in [&owner.engine, &gateway] {
        // The statement reads a hidden column, and is refused.
        let (lines, versions) = explained(engine, analyst(), join).await;
        let expected = [
            "free|rows|denied: `ann` may not read `sales.p.free`: ask the owner for access|",
            "people|rows|filtered|analysts, cleared",
            "people|id|visible|",
            "people|dept|hidden|hide-dept",
            "people|mail|masked by `replace-with-null`|mask-mail",
        ];
        assert_eq!(lines, expected);
        assert_eq!(versions, [true; 5]);
        let text = lines.join("\n");
        assert!(!text.contains("secret") && !text.contains("424242"), "{text}");

        let boss = Principal::new("bob").with_groups(["owners"]);
        let (lines, _) = explained(engine, boss, "SELECT 1 FROM sales.p.people").await;
        let expected = ["people|rows|all|owners", "people|id|visible|", "people|dept|visible|", "people|mail|visible|"];
        assert_eq!(lines, expected);

        // The text of a refusal is that of the statement.
        let stranger = Principal::new("eve");
        let (lines, _) = explained(engine, stranger.clone(), "SELECT id FROM sales.p.people").await;
        let error = match engine.session(stranger).sql("SELECT id FROM sales.p.people").await {
            Ok(rows) => rows.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let refusal = line.strip_prefix("people|rows|denied: ").and_then(|line| line.strip_suffix('|')).unwrap();
        assert!(error.chain().contains(refusal), "{refusal}\n{}", error.chain());
        assert!(explained(engine, analyst(), "SELECT 1 FROM mesh.ports").await.0.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanations_do_not_depend_on_rows() {
    let mut seen = vec![];
    for dept in ["top secret", "another"] {
        let owner = OwnerPeer::of(domain(POLICIES, dept));
        seen.push(explained(&owner.engine, analyst(), "SELECT count(*) FROM sales.p.people").await);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_ports_and_silent_owners_have_a_row() {
    let owner = OwnerPeer::of(domain("", "a"));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    for engine in [&owner.engine, &gateway] {
        let (lines, versions) = explained(engine, analyst(), "SELECT 1 FROM sales.p.free").await;
        assert_eq!((lines, versions), (vec!["free|rows|open|".to_owned()], vec![false]));
    }
    owner.is_silent.store(true, Ordering::Relaxed);
    let (lines, _) = explained(&gateway, analyst(), "SELECT 1 FROM sales.p.free").await;
    assert_eq!(lines, ["free|rows|unknown: node grpc://sales: it is silent|"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_with_parameters_and_closed_ports_are_explained() {
    let owner = OwnerPeer::of(domain("permit(principal, action, resource) when { resource.nothing == 1 };", "a"));
    let session = owner.engine.session(analyst());
    let statement = session.prepare("EXPLAIN (POLICY) SELECT 1 FROM sales.p.people WHERE id = $1").await.unwrap();
    let rows = statement.execute(&[crate::ScalarValue::from(1_i64)]).await.unwrap();
    assert_eq!(rows.schema(), super::schema());
    let rows = rows.collect().await.unwrap();
    let decision = rows[0].column(3).as_string::<i32>().value(0);
    let closed = "closed: the port `sales.p.people` is closed: its policies have errors; ask the owner to fix them";
    assert_eq!(decision, closed);
}
