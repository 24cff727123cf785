//! Tests of the decisions that a running query keeps: at the owner, and at a gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use futures::{StreamExt, TryStreamExt};
use portolan_catalog::{Port, PortRef};
use portolan_connectors::testing::{catalog, columns, local_domain};
use portolan_connectors::{LocalDomain, lock};
use portolan_governance::PolicyFiles;

use super::{OWNER_ENDS_IN, RowAccess};
use crate::fake_mesh::OwnerPeer;
use crate::{Engine, Error, ErrorKind, Principal, QueryStream, Session};

const ROWS: i64 = 200_000;
const HALF: &str =
    "permit(principal == User::\"ann\", action, resource) when { resource has id && resource.id < 100000 };";
const MORE: &str =
    "permit(principal == User::\"ann\", action, resource) when { resource has id && resource.id < 150000 };";
const BOB: &str = "permit(principal == User::\"bob\", action, resource);";
const EVE: &str = "permit(principal == User::\"eve\", action, resource);";
const ALL: &str = "permit(principal, action, resource);";
/// Ten billion rows, of which no test reads all.
const LONG: &str = "SELECT a.id AS x, b.id AS y FROM sales.p.people a CROSS JOIN sales.p.people b";
/// A row that takes as long.
const LONG_MAX: &str = "SELECT max(a.id * 7 % (b.id + 1)) FROM sales.p.people a CROSS JOIN sales.p.people b";

fn domain(policies: &[&str]) -> LocalDomain {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let rows = vec![RecordBatch::try_from_iter([("id", ids)]).unwrap()];
    let port = Port::new(PortRef::new("sales", "p", "people")).with_columns(columns(&rows[0].schema()));
    let local = local_domain(catalog("sales", [port]), |_| rows.clone());
    local.with_policies(PolicyFiles::of_product("p", policies.join("\n")))
}

fn engine(policies: &[&str]) -> Engine {
    Engine::builder().cpu_threads(2).local_domain(domain(policies)).build().unwrap()
}

fn ann(engine: &Engine) -> Session {
    engine.session(Principal::new("ann"))
}

async fn started(session: &Session, sql: &str) -> (QueryStream, Arc<RowAccess>) {
    let rows = session.sql(sql).await.unwrap();
    let access = rows.access().unwrap();
    (rows, access)
}

/// Reads rows until they end with an error.
async fn refusal(rows: &mut QueryStream) -> Error {
    loop {
        if let Err(error) = rows.next().await.expect("the rows end with an error") {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
            return error;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_shows_less_or_other_rows_ends_the_right() {
    for (before, after, is_lost) in [
        (HALF, HALF, false),
        (HALF, MORE, true),
        (HALF, "", true),
        (HALF, ALL, false),
        (ALL, HALF, true),
        (ALL, ALL, false),
    ] {
        let engine = engine(&[before, BOB]);
        let (_rows, access) = started(&ann(&engine), LONG).await;
        assert_eq!(access.changed(), None);
        // A rule about somebody else changes the version of the policies.
        engine.replace_local_domain(domain(&[after, BOB, EVE]));
        let lost = is_lost.then(|| "sales.p.people".to_owned());
        assert_eq!(access.changed(), lost, "{before}\n{after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_that_show_the_same_are_the_same() {
    let (engine, sql) = (engine(&[HALF, BOB]), "SELECT max(id) FROM sales.p.people");
    let (_first, access) = started(&ann(&engine), sql).await;
    for (policies, is_same) in [([HALF, BOB, EVE], true), ([MORE, BOB, EVE], false), ([ALL, BOB, EVE], false)] {
        engine.replace_local_domain(domain(&policies));
        let (_rows, later) = started(&ann(&engine), sql).await;
        assert_eq!((access.is_same(&later), later.is_same(&access)), (is_same, is_same), "{policies:?}");
    }
    let (_of_nothing, none) = started(&ann(&engine), "SELECT 1").await;
    assert!(!access.is_same(&none) && !none.is_same(&access));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_a_running_query_end() {
    let engine = engine(&[HALF, BOB]);
    let (mut rows, _) = started(&ann(&engine), LONG).await;
    assert!(rows.try_next().await.unwrap().unwrap().num_rows() > 0);
    engine.replace_local_domain(domain(&[BOB]));
    let error = refusal(&mut rows).await;
    assert!(error.context().contains("`sales.p.people` have changed"), "{}", error.chain());
    assert!(!error.chain().contains("bob"), "{}", error.chain());
    assert!(rows.next().await.is_none(), "nothing follows the error");

    // So does a query that has no rows yet.
    engine.replace_local_domain(domain(&[HALF, BOB]));
    let (mut rows, _) = started(&ann(&engine), LONG_MAX).await;
    engine.replace_local_domain(domain(&[BOB]));
    refusal(&mut rows).await;
}

/// The rows wait while their reader is slow. It gets none after the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_no_more_rows() {
    let engine = engine(&[HALF]);
    let (mut rows, access) = started(&ann(&engine), "SELECT max(id) FROM sales.p.people").await;
    // The plan has ended, and its only batch waits.
    while !rows.progress().now().finished {
        tokio::task::yield_now().await;
    }
    engine.replace_local_domain(domain(&[BOB]));
    assert_eq!(access.ended().await.kind(), ErrorKind::PermissionDenied);
    refusal(&mut rows).await;
    assert!(rows.next().await.is_none());
}

async fn mesh() -> (Arc<OwnerPeer>, Engine) {
    let owner = OwnerPeer::of(domain(&[HALF, BOB]));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    (owner, gateway)
}

/// The gateway has rows that the owner has sent. It learns from the catalog that the policies have changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_drops_the_rows_that_an_owner_has_sent() {
    let (owner, gateway) = mesh().await;
    let session = ann(&gateway);
    session.sql("SET portolan.placement = off").await.unwrap();
    let (mut rows, access) = started(&session, LONG).await;
    assert!(rows.try_next().await.unwrap().unwrap().num_rows() > 0);
    // One input of the join is complete.
    assert!(rows.progress().now().edges.iter().any(|edge| edge.finished));
    gateway.refresh().await;
    assert_eq!(access.changed(), None, "the catalog is the same");
    owner.engine.replace_local_domain(domain(&[HALF]));
    gateway.refresh().await;
    assert_eq!(access.changed().as_deref(), Some("sales"));
    refusal(&mut rows).await;
    // The next query reads by the new policies.
    let (rows, access) = started(&session, "SELECT id FROM sales.p.people WHERE id < 3").await;
    assert_eq!(rows.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    assert_eq!(access.changed(), None);
}

/// The owner ends the fragment, before the gateway knows of the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fragment_ends_at_the_owner() {
    let (owner, gateway) = mesh().await;
    let (mut rows, _) = started(&ann(&gateway), LONG_MAX).await;
    let activity = owner.engine.inner().activity.clone();
    let runs = || activity.largest_query(None).is_some_and(|(query, _)| query.progress.get().is_some());
    while !runs() {
        tokio::task::yield_now().await;
    }
    owner.engine.replace_local_domain(domain(&[BOB]));
    let error = refusal(&mut rows).await;
    assert!(error.context().contains("`sales.p.people` have changed"), "{}", error.chain());
}

/// The owner may send its last rows between the change and its next check. So the gateway keeps the digest that it knew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_rows_come_is_not_forgotten_at_once() {
    let (owner, gateway) = mesh().await;
    let (rows, access) = started(&ann(&gateway), LONG_MAX).await;
    let before = lock(&access.reported).clone();
    assert_eq!(before.len(), 1);
    owner.engine.replace_local_domain(domain(&[HALF]));
    gateway.refresh().await;
    for _ in 0..2 {
        assert_eq!(access.changed(), None);
        assert_eq!(*lock(&access.reported), before);
    }
    assert!(rows.progress().now().edges.iter().all(|edge| !edge.finished));
    // The owner would have ended the rows by now, and rows have come since.
    for change in lock(&access.newer).values_mut() {
        change.since -= OWNER_ENDS_IN;
        change.rows.fill(0);
    }
    assert_eq!(access.changed(), None);
    assert_ne!(*lock(&access.reported), before);
}
