//! Tests of audit records, with a store in a folder of the test: at the owner of the ports, and through a gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::logical_expr::{LogicalPlanBuilder, col};
use futures::TryStreamExt;
use portolan_audit::{Account, End, Fate, Filter, Outcome, PortRead, Settings, Store, Verdict, reads, verify};
use portolan_catalog::{Port, PortRef};
use portolan_connectors::LocalDomain;
use portolan_connectors::testing::{catalog, columns, local_domain};
use portolan_governance::PolicyFiles;

use super::key_sets;
use crate::encode::keys::{InKeys, SentKeys};
use crate::fake_mesh::{OwnerPeer, analysed};
use crate::{Engine, ErrorKind, Principal, Result};

const POLICIES: &str = r#"
@id("analysts")
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::people)
when { resource has dept && resource.dept == "a" };

@id("secret")
forbid(principal, action == Action::"read", resource == Column::"sales.p.people.ssn");
"#;

/// Returns a domain with the port `people`, of 100 rows. Without policies, everybody may read it.
fn domain(policies: Option<&str>) -> LocalDomain {
    let ids: Vec<i64> = (0..100).collect();
    let (dept, ssn) = (|id: &i64| if id % 2 == 0 { "a" } else { "b" }, |id: &i64| format!("{id:09}"));
    let rows = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(ids.clone())) as ArrayRef),
        ("dept", Arc::new(StringArray::from_iter_values(ids.iter().map(dept)))),
        ("salary", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| id * 1000)))),
        ("ssn", Arc::new(StringArray::from_iter_values(ids.iter().map(ssn)))),
    ]);
    let rows = rows.unwrap();
    let port = Port::new(PortRef::new("sales", "p", "people")).with_columns(columns(&rows.schema()));
    let local = local_domain(catalog("sales", [port]), |_| vec![rows.clone()]);
    let Some(policies) = policies else { return local };
    local.with_policies(PolicyFiles::of_product("p", policies))
}

fn store(folder: &Path) -> Store {
    Store::open(folder.join("audit"), Settings::default()).unwrap()
}

fn engine(policies: Option<&str>, store: &Store) -> Engine {
    Engine::builder().cpu_threads(2).local_domain(domain(policies)).audit(store.clone(), ["auditors"]).build().unwrap()
}

fn ann() -> Principal {
    Principal::new("ann").with_groups(["analysts"])
}

async fn run(engine: &Engine, principal: Principal, sql: &str) -> Result<usize> {
    let batches: Vec<RecordBatch> = engine.session(principal).sql(sql).await?.try_collect().await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

/// Returns the reads and refusals of a store, the oldest first.
async fn accounts(store: &Store) -> Vec<Account> {
    store.flush().await.unwrap();
    let mut accounts = reads(store.folder(), &Filter::default()).unwrap().accounts;
    accounts.reverse();
    accounts
}

fn people(columns: &[&str]) -> Vec<PortRead> {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    vec![PortRead { port: "sales.p.people".to_owned(), columns }]
}

fn ended(account: &Account) -> &End {
    match &account.fate {
        Fate::Ended(end) => end,
        other => panic!("expected an end, got {other:?}"),
    }
}

#[tokio::test]
async fn a_read_has_its_columns_rows_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let engine = engine(None, &store);
    assert_eq!(run(&engine, ann(), "SELECT id FROM sales.p.people WHERE salary >= 50000").await.unwrap(), 50);
    let found = accounts(&store).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].request.principal.as_str(), &found[0].request.fragment), ("ann", &None));
    assert_eq!(found[0].request.ports, people(&["id", "salary"]));
    assert_eq!((found[0].request.decision.verdict, found[0].request.decision.version.as_str()), (Verdict::Permit, ""));
    let end = ended(&found[0]);
    assert_eq!((&end.outcome, end.rows, end.bytes), (&Outcome::Completed, 50, 400));
    verify(store.folder(), None).unwrap();
}

#[tokio::test]
async fn a_governed_read_has_the_rules_and_not_the_columns_that_only_they_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let engine = engine(Some(POLICIES), &store);
    assert_eq!(run(&engine, ann(), "SELECT id FROM sales.p.people WHERE salary >= 50000").await.unwrap(), 25);
    let found = accounts(&store).await;
    assert_eq!(found[0].request.ports, people(&["id", "salary"]));
    let decision = &found[0].request.decision;
    assert!(decision.rules.iter().any(|rule| rule.contains("analysts")), "{decision:?}");
    assert!(!decision.version.is_empty());
    assert_eq!(ended(&found[0]).rows, 25);
}

#[tokio::test]
async fn statements_that_read_no_rows_have_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let engine = engine(None, &store);
    for sql in
        ["SELECT * FROM mesh.ports", "EXPLAIN SELECT id FROM sales.p.people", "SELECT 1", "SELECT * FROM mesh.audit"]
    {
        run(&engine, ann(), sql).await.unwrap();
    }
    assert!(accounts(&store).await.is_empty());
    run(&engine, ann(), "EXPLAIN ANALYZE SELECT id FROM sales.p.people").await.unwrap();
    assert_eq!(accounts(&store).await.len(), 1);
}

#[tokio::test]
async fn a_refusal_is_recorded_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let engine = engine(Some(POLICIES), &store);
    for (principal, sql, said, columns) in [
        (
            Principal::new("eve"),
            "SELECT a.id FROM sales.p.people a JOIN sales.p.people b ON a.id = b.id",
            "eve",
            vec![],
        ),
        (Principal::new("eve"), "EXPLAIN SELECT id FROM sales.p.people", "eve", vec![]),
        (ann(), "SELECT ssn FROM sales.p.people", "`ssn`", vec!["ssn"]),
    ] {
        let before = accounts(&store).await.len();
        let error = run(&engine, principal.clone(), sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{sql}");
        let found = accounts(&store).await;
        assert_eq!(found.len(), before + 1, "{sql}");
        let last = found.last().unwrap();
        let Fate::Refused { reason, detail } = &last.fate else { panic!("{sql}: {last:?}") };
        assert_eq!(reason, "permission_denied");
        assert!(detail.contains(said), "{sql}: {detail}");
        assert_eq!((last.request.principal.as_str(), last.request.decision.verdict), (principal.name(), Verdict::Deny));
        assert_eq!(last.request.ports, people(&columns), "{sql}");
    }
}

#[tokio::test]
async fn failed_and_dropped_reads_have_their_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let engine = engine(None, &store);
    run(&engine, ann(), "SELECT 1 / (id - 7) FROM sales.p.people").await.unwrap_err();
    let mut dropped = engine.session(ann()).sql("SELECT a.id FROM sales.p.people a, sales.p.people b").await.unwrap();
    dropped.try_next().await.unwrap();
    drop(dropped);
    let cancelled = engine.session(ann()).sql("SELECT id FROM sales.p.people, range(1000000000)").await.unwrap();
    cancelled.cancel_handle().cancel();
    assert_eq!(cancelled.collect().await.unwrap_err().kind(), ErrorKind::Cancelled);
    // The engine may record the end of a read that is not durable yet in the background.
    let mut found = accounts(&store).await;
    while found.iter().any(|account| account.fate == Fate::Open) {
        tokio::task::yield_now().await;
        found = accounts(&store).await;
    }
    let outcomes: Vec<_> = found.iter().map(|account| ended(account).outcome.clone()).collect();
    let failed = Outcome::Failed { error: "invalid_query".to_owned() };
    assert_eq!(outcomes, [failed, Outcome::Dropped, Outcome::Cancelled]);
}

#[tokio::test]
async fn rows_that_a_changed_policy_withholds_are_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let engine = engine(Some(POLICIES), &store);
    let rows = engine.session(ann()).sql("SELECT id FROM sales.p.people").await.unwrap();
    // The plan has ended, and its only batch waits.
    while !rows.progress().now().finished {
        tokio::task::yield_now().await;
    }
    engine.replace_local_domain(domain(Some("forbid(principal, action, resource);")));
    let access = rows.access().unwrap();
    assert_eq!(access.ended().await.kind(), ErrorKind::PermissionDenied);
    assert_eq!(rows.collect().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let found = accounts(&store).await;
    let end = ended(&found[0]);
    assert_eq!((&end.outcome, end.rows), (&Outcome::Failed { error: "permission_denied".to_owned() }, 0));
}

#[tokio::test]
async fn keys_have_a_digest_and_no_values() {
    let [engine, other] = [domain(None), domain(None)]
        .map(|domain| Engine::builder().cpu_threads(1).local_domain(domain).build().unwrap());
    let keys = |last: i64| SentKeys::batch(&[Arc::new(Int64Array::from(vec![3, 5, last])) as ArrayRef]).unwrap();
    let plan = analysed(&engine, "SELECT id, salary FROM sales.p.people").await;
    // The same keys twice are one set.
    let tests =
        [(keys(8), "id"), (keys(8), "id"), (keys(9), "id")].map(|(keys, column)| InKeys::call(keys, vec![col(column)]));
    let predicate = tests.into_iter().reduce(|all, test| all.and(test)).unwrap();
    let plan = LogicalPlanBuilder::from(plan).filter(predicate).unwrap().build().unwrap();
    let sets = key_sets(&plan, &engine.inner());
    assert_eq!(sets.len(), 2, "{sets:?}");
    assert!(sets.iter().all(|set| set.column == "id" && set.count == 3 && set.form == "batch"), "{sets:?}");
    assert!(sets.iter().all(|set| set.digest.len() == 16) && sets[0].digest != sets[1].digest, "{sets:?}");
    assert_eq!(key_sets(&plan, &engine.inner()), sets);
    assert_ne!(key_sets(&plan, &other.inner())[0].digest, sets[0].digest, "engines have different secrets");
}

/// A segment that cannot be created stands for a full disk.
#[tokio::test]
async fn a_read_that_cannot_be_recorded_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 1, ..Settings::default() };
    let store = Store::open(folder.path().join("audit"), settings).unwrap();
    let engine = engine(None, &store);
    assert_eq!(run(&engine, ann(), "SELECT id FROM sales.p.people").await.unwrap(), 100);
    store.flush().await.unwrap();
    std::fs::remove_dir_all(store.folder()).unwrap();
    let error = run(&engine, ann(), "SELECT id FROM sales.p.people").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{}", error.owner_chain());
    assert!(error.context().contains("because its audit record cannot be written"), "{}", error.chain());
    assert!(!error.chain().contains("audit/") && error.owner_chain().contains("audit"), "{}", error.owner_chain());
    // Statements on the node itself go on.
    run(&engine, ann(), "SELECT * FROM mesh.ports").await.unwrap();
}

#[tokio::test]
async fn the_owner_records_fragments_and_a_gateway_records_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (owned, front) = (store(&folder.path().join("owner")), store(&folder.path().join("gateway")));
    let owner = OwnerPeer::audited(domain(Some(POLICIES)), owned.clone());
    let gateway = Engine::builder().cpu_threads(2).peer(owner).audit(front.clone(), [""; 0]).build().unwrap();
    gateway.refresh().await;
    assert_eq!(run(&gateway, ann(), "SELECT id FROM sales.p.people WHERE salary >= 50000").await.unwrap(), 25);
    let error = run(&gateway, Principal::new("eve"), "SELECT id FROM sales.p.people").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let found = accounts(&owned).await;
    assert!(found[0].request.fragment.is_some(), "{:?}", found[0]);
    assert_eq!(ended(&found[0]).rows, 25);
    assert!(matches!(found.last().unwrap().fate, Fate::Refused { .. }));
    assert!(accounts(&front).await.is_empty());
}

#[tokio::test]
async fn principals_see_their_own_reads_and_readers_see_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let engine = engine(Some(POLICIES), &store);
    run(&engine, ann(), "SELECT id FROM sales.p.people").await.unwrap();
    run(&engine, Principal::new("eve"), "SELECT id FROM sales.p.people").await.unwrap_err();
    store.flush().await.unwrap();
    let admin = || Principal::new("root").with_admin(true);
    let auditor = || Principal::new("ada").with_groups(["auditors"]);
    let all = "SELECT * FROM mesh.audit";
    let rules = "SELECT 1 FROM mesh.audit WHERE cardinality(rules) > 0 AND policy_version IS NOT NULL AND rows = 50";
    for (principal, sql, rows) in [
        (admin(), all, 2),
        (admin(), rules, 1),
        (auditor(), all, 2),
        (auditor(), rules, 1),
        (ann(), all, 1),
        (ann(), rules, 0),
        (ann(), "SELECT 1 FROM mesh.audit WHERE sequence IS NOT NULL", 0),
        (ann(), "SELECT 1 FROM mesh.audit WHERE decision = 'governed' AND outcome = 'completed' AND bytes = 400", 1),
        (Principal::new("eve"), "SELECT 1 FROM mesh.audit WHERE outcome = 'refused' AND error IS NOT NULL", 1),
        (Principal::new("bob"), all, 0),
        (Principal::anonymous(), all, 0),
    ] {
        assert_eq!(run(&engine, principal.clone(), sql).await.unwrap(), rows, "{principal}: {sql}");
    }
}
