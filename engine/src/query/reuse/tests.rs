//! Tests of kept plans: at an owner, and through a gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::scalar::ScalarValue;
use portolan_audit::{Filter, Settings as StoreSettings, Store, reads};
use portolan_catalog::PortRef;
use portolan_connectors::testing::FakePeer;
use portolan_connectors::{FragmentHead, LocalDomain, ReceivedFragment};

use super::{is_repeatable, plan_bytes};
use crate::encode::encode;
use crate::fake_mesh::{OwnerPeer, analysed, tpch_domain};
use crate::planner::govern::PortRules;
use crate::state::PlanTotals;
use crate::{Engine, ErrorKind, Principal, Result, Session, server};

/// Analysts see the rows of their region, and owners all rows.
const POLICIES: &str = r#"
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::people)
when { resource has region && resource.region == "eu" };
permit(principal in Group::"owners", action == Action::"read", resource is sales::p::people);
"#;
const COUNT: &str = "SELECT count(*) AS n FROM sales.p.people";

fn domain(policies: &str) -> LocalDomain {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let regions: ArrayRef = Arc::new(StringArray::from_iter_values((0..10).map(|n| if n < 4 { "eu" } else { "us" })));
    let rows = RecordBatch::try_from_iter([("id", ids), ("region", regions)]).unwrap();
    OwnerPeer::domain("sales", &[("people", rows)], policies)
}

fn owner(policies: &str) -> Engine {
    Engine::builder().cpu_threads(2).local_domain(domain(policies)).build().unwrap()
}

fn member(name: &str, group: &str) -> Principal {
    Principal::new(name).with_groups([group])
}

async fn run(session: &Session, sql: &str) -> Result<String> {
    let batches = session.sql(sql).await?.collect().await?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

/// Returns the only number in the rows of a query.
async fn number(session: &Session, sql: &str) -> i64 {
    let text = run(session, sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{sql}: {text}"))
}

fn totals(engine: &Engine) -> PlanTotals {
    engine.inner().plans.totals()
}

/// Returns the hits and misses since `before`.
fn since(engine: &Engine, before: PlanTotals) -> (u64, u64) {
    let now = totals(engine);
    (now.hits - before.hits, now.misses - before.misses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_the_key_is_a_plan_of_its_own() {
    let engine = owner("");
    let ann = engine.session(Principal::new("ann"));
    let counts = |hits, misses| (hits, misses);
    for expected in [counts(0, 1), counts(1, 0), counts(1, 0)] {
        let before = totals(&engine);
        assert_eq!(number(&ann, COUNT).await, 10);
        assert_eq!(since(&engine, before), expected);
    }
    let another = engine.session(Principal::new("ann"));
    let before = totals(&engine);
    number(&another, COUNT).await;
    assert_eq!(since(&engine, before), (1, 0), "another session of the same principal");

    for principal in
        [Principal::new("bob"), member("ann", "staff"), Principal::new("ann").with_attribute("region", ["eu"])]
    {
        let before = totals(&engine);
        number(&engine.session(principal), COUNT).await;
        assert_eq!(since(&engine, before), (0, 1), "another principal");
    }
    for (name, value) in
        [("portolan.placement", "off"), ("portolan.purpose", "audit"), ("portolan.key_wait", "3"), ("catalog", "sales")]
    {
        another.set(name, value).unwrap();
        let before = totals(&engine);
        number(&another, COUNT).await;
        assert_eq!(since(&engine, before), (0, 1), "{name}");
        another.reset(name).unwrap();
    }
    let before = totals(&engine);
    number(&another, COUNT).await;
    assert_eq!(since(&engine, before), (1, 0), "the settings as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_statement_has_a_plan_for_each_value() {
    let engine = owner("");
    let session = engine.session(Principal::new("ann"));
    let statement = session.prepare("SELECT count(*) AS n FROM sales.p.people WHERE id < $1").await.unwrap();
    let execute = async |value: i64| {
        let before = totals(&engine);
        let rows = statement.execute(&[ScalarValue::from(value)]).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&rows).unwrap().to_string();
        assert!(text.contains(&format!("| {value} ")), "{text}");
        since(&engine, before)
    };
    assert_eq!(execute(3).await, (0, 1));
    assert_eq!(execute(4).await, (0, 1));
    assert_eq!(execute(3).await, (1, 0));
    let value = [ScalarValue::from(5_i64)];
    let announced = statement.schema_with(&value).await.unwrap();
    assert_eq!(execute(5).await, (0, 1));
    assert_eq!(statement.schema_with(&value).await.unwrap(), announced, "the columns of the kept plan");
    // Values that are not valid are refused as before.
    for values in [vec![], vec![ScalarValue::from(3_i64), ScalarValue::from(3_i64)]] {
        let error = statement.execute(&values).await.err().map(|e| e.kind());
        assert_eq!(error, Some(ErrorKind::InvalidQuery));
    }
    let named = session.prepare("SELECT count(*) AS n FROM sales.p.people WHERE id < $most").await.unwrap();
    let again = session.prepare("SELECT count(*) AS n FROM sales.p.people WHERE id < $most").await.unwrap();
    assert_eq!((named.parameters(), named.schema()), (again.parameters(), again.schema()));
    for statement in [named, again] {
        let rows = statement.execute_named(&[("most", ScalarValue::from(2_i64))]).await.unwrap();
        assert!(pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string().contains("| 2 "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plan_outlives_the_policies_that_decided() {
    let engine = owner(POLICIES);
    let session = engine.session(member("ann", "analysts"));
    let prepared = session.prepare(COUNT).await.unwrap();
    for _ in 0..2 {
        assert_eq!(number(&session, COUNT).await, 4);
        prepared.execute(&[]).await.unwrap();
    }
    assert_eq!(totals(&engine).hits, 3);
    engine.replace_local_domain(domain(&POLICIES.replace("\"eu\"", "\"us\"")));
    assert_eq!(totals(&engine).entries, 0, "nothing keeps the old data open");
    assert_eq!(number(&session, COUNT).await, 6);
    engine.replace_local_domain(domain(&POLICIES.replace("analysts", "others")));
    assert_eq!(run(&session, COUNT).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(prepared.execute(&[]).await.err().map(|e| e.kind()), Some(ErrorKind::PermissionDenied));
    let before = totals(&engine);
    assert_eq!(run(&session, COUNT).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(since(&engine, before), (0, 1), "a refusal is no plan");
    engine.replace_local_domain(domain(POLICIES));
    assert_eq!(number(&session, COUNT).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_port_has_no_plan_for_others() {
    let policies = r#"
permit(principal in Group::"staff", action in [Action::"read", Action::"describe"], resource is sales::p::people);
"#;
    let engine = owner(policies);
    let (staff, other) = (engine.session(member("ann", "staff")), engine.session(member("ann", "others")));
    for _ in 0..2 {
        assert_eq!(number(&staff, COUNT).await, 10);
        assert_eq!(run(&other, COUNT).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!((totals(&engine).hits, totals(&engine).misses), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_decisions_refuse_a_plan_without_a_trace() {
    let engine = owner(POLICIES);
    let inner = engine.inner();
    let port = PortRef::new("sales", "p", "people");
    let rules = |principal: Principal| {
        let head = FragmentHead::new("q", principal, Instant::now() + Duration::from_secs(60));
        PortRules::of(&inner, &head, &inner.mesh.view())
    };
    let first = rules(member("ann", "analysts"));
    first.decide(&port).unwrap();
    let answers = first.answers().unwrap();
    for (principal, repeats) in
        [(member("ann", "analysts"), true), (member("bob", "owners"), false), (member("eve", "others"), false)]
    {
        let rules = rules(principal);
        assert_eq!(rules.repeats(&answers), repeats);
        assert_eq!(rules.decided().ports.len(), usize::from(repeats));
    }
    engine.replace_local_domain(domain(&POLICIES.replace("\"eu\"", "\"us\"")));
    assert!(!rules(member("ann", "analysts")).repeats(&answers));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_query_has_a_salt_of_its_own() {
    let policies = r#"
permit(principal, action == Action::"read", resource is sales::p::people);
@mask("sha-256-query-local")
forbid(principal, action == Action::"read", resource == Column::"sales.p.people.region");
"#;
    let engine = owner(policies);
    let session = engine.session(Principal::new("ann"));
    let hashed = "SELECT region FROM sales.p.people WHERE id = 1";
    let (first, second) = (run(&session, hashed).await.unwrap(), run(&session, hashed).await.unwrap());
    assert_ne!(first, second);
    assert_eq!((totals(&engine).hits, totals(&engine).misses), (0, 2));
    // A query that does not read the column has no salt.
    for _ in 0..2 {
        number(&session, "SELECT id FROM sales.p.people WHERE id = 1").await;
    }
    assert_eq!((totals(&engine).hits, totals(&engine).misses), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_run_has_a_record_and_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("audit"), StoreSettings::default()).unwrap();
    let builder = Engine::builder().cpu_threads(2).local_domain(domain(POLICIES));
    let engine = builder.audit(store.clone(), ["auditors"]).build().unwrap();
    let session = engine.session(member("ann", "analysts"));
    let mut labels = vec![];
    for _ in 0..2 {
        let rows = session.sql("SELECT id FROM sales.p.people WHERE id < 3").await.unwrap();
        labels.push(format!("{:?}", rows.progress().now().label));
        rows.collect().await.unwrap();
    }
    assert_eq!((totals(&engine).hits, totals(&engine).misses), (1, 1));
    assert!(labels[0] == labels[1] && labels[0].contains("sales.p.people"), "{labels:?}");
    store.flush().await.unwrap();
    let found = reads(store.folder(), &Filter::default()).unwrap().accounts;
    let [second, first] = found.as_slice() else { panic!("{found:?}") };
    assert_ne!(first.request.query, second.request.query);
    assert_eq!((&first.request.ports, &first.request.decision), (&second.request.ports, &second.request.decision));
    assert!(!first.request.decision.rules.is_empty() && first.request.ports[0].columns == ["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_the_session_have_their_own_meaning() {
    let engine = owner("");
    let session = engine.session(Principal::new("ann"));
    session.set("catalog", "sales").unwrap();
    session.set("schema", "p").unwrap();
    let count = "SELECT count(*) AS n FROM people";
    for _ in 0..2 {
        assert_eq!(number(&session, count).await, 10);
    }
    let before = totals(&engine);
    for (create, rows, drop) in [
        ("CREATE TABLE people AS SELECT 1 AS id UNION ALL SELECT 2", 2, "DROP TABLE people"),
        ("CREATE VIEW people AS SELECT 1 AS id", 1, "DROP VIEW people"),
        ("CREATE VIEW people AS SELECT * FROM sales.p.people WHERE id < 3", 3, "DROP VIEW people"),
    ] {
        run(&session, create).await.unwrap();
        for _ in 0..2 {
            assert_eq!(number(&session, count).await, rows, "{create}");
        }
        run(&session, drop).await.unwrap();
        assert_eq!(number(&session, count).await, 10, "{drop}");
    }
    assert_eq!(since(&engine, before), (3, 0), "only the port has a kept plan");
    let other = engine.session(Principal::new("bob"));
    assert_eq!(number(&other, "SELECT CASE current_user WHEN 'bob' THEN 1 ELSE 2 END AS n").await, 1);
    assert_eq!(number(&session, "SELECT CASE current_user WHEN 'bob' THEN 1 ELSE 2 END AS n").await, 2);
}

#[tokio::test]
async fn plans_that_differ_from_run_to_run_are_not_kept() {
    let engine = owner("");
    for (sql, expected) in [
        ("SELECT id FROM sales.p.people WHERE id < 3", true),
        ("SELECT region, count(*), max(id) FROM sales.p.people GROUP BY region ORDER BY region LIMIT 3", true),
        ("SELECT id, rank() OVER (ORDER BY id) FROM sales.p.people WHERE upper(region) LIKE 'E%'", true),
        ("SELECT id FROM sales.p.people WHERE id IN (SELECT id FROM sales.p.people WHERE region = 'eu')", true),
        ("SELECT 1 + 1", true),
        ("SELECT id, now() FROM sales.p.people", false),
        ("SELECT id FROM sales.p.people WHERE current_date > DATE '2020-01-01'", false),
        ("SELECT id FROM sales.p.people ORDER BY random()", false),
        ("SELECT id, (SELECT now()) FROM sales.p.people", false),
        ("SELECT id FROM sales.p.people WHERE EXISTS (SELECT 1 FROM mesh.nodes)", false),
        ("SELECT domain FROM mesh.domains", false),
        ("SELECT table_name FROM information_schema.tables", false),
        ("SELECT value FROM range(3)", false),
        ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT n FROM t", false),
    ] {
        assert_eq!(is_repeatable(&analysed(&engine, sql).await), expected, "{sql}");
    }
}

#[tokio::test]
async fn long_names_count_in_the_size_of_a_plan() {
    let engine = owner("");
    let nested = |name: &str| {
        let read = format!("SELECT id AS {name} FROM sales.p.people");
        (0..20).fold(read, |sql, _| format!("SELECT * FROM ({sql}) AS t"))
    };
    let short = plan_bytes(&analysed(&engine, &nested("n")).await);
    let long = plan_bytes(&analysed(&engine, &nested(&"n".repeat(10_000))).await);
    // Each level has the name in its columns at least.
    assert!(long - short > 20 * 9_999, "{short} {long}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_whose_plans_are_not_kept_is_planned_alike_each_time() {
    let session = owner("").session(Principal::new("ann"));
    let sql = "EXPLAIN SELECT id FROM sales.p.people WHERE repeat('x', 30000) = 'y'";
    let statement = session.prepare(sql).await.unwrap();
    let explained = async || {
        let rows = statement.execute(&[]).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&rows).unwrap().to_string()
    };
    let first = explained().await;
    for run in 0..80 {
        assert!(explained().await == first, "run {run}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_estimate_does_not_depend_on_those_before() {
    let owner = OwnerPeer::of(domain(""));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    // A plan that all estimates shared would soon have nothing left to evaluate this constant.
    let sql = "SELECT id FROM sales.p.people WHERE repeat('x', 30000) = 'y'";
    let encoded = encode(&analysed(&gateway, sql).await, &gateway.inner().mesh.view()).unwrap();
    for run in 0..80 {
        let until = Instant::now() + Duration::from_secs(60);
        let head = FragmentHead::new(format!("q{run}"), Principal::new("ann"), until);
        let fragment = ReceivedFragment::new(head, encoded.clone());
        let estimated = server::estimate_fragment(&owner.engine, fragment).await.unwrap();
        assert_eq!(estimated.estimate.rows, Some(0), "estimate {run}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_keeps_the_plans_of_fragments() {
    let owner = OwnerPeer::of(domain(POLICIES));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    let sessions = ["analysts", "owners"].map(|group| gateway.session(member(group, group)));
    let sql = "SELECT id FROM sales.p.people WHERE id < 1000";
    let rows = async |session: &Session| {
        let batches = session.sql(sql).await?.collect().await?;
        Ok::<_, crate::Error>(batches.iter().map(RecordBatch::num_rows).sum::<usize>())
    };
    for expected in [(0, 2), (2, 0), (2, 0)] {
        let before = totals(&owner.engine);
        assert_eq!((rows(&sessions[0]).await.unwrap(), rows(&sessions[1]).await.unwrap()), (4, 10));
        assert_eq!(since(&owner.engine, before), expected);
    }
    owner.engine.replace_local_domain(domain(&POLICIES.replace("analysts", "others")));
    assert_eq!(rows(&sessions[0]).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(rows(&sessions[1]).await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_stays_while_owners_are_asked_again() {
    let policies = r#"
permit(principal in Group::"staff", action in [Action::"read", Action::"describe"], resource is sales::p::people);
"#;
    let gateway = Engine::builder().cpu_threads(2).peer(OwnerPeer::of(domain(policies))).build().unwrap();
    gateway.refresh().await;
    let (first, second) = (gateway.session(member("ann", "staff")), gateway.session(member("ann", "staff")));
    // The owner is asked for each purpose.
    second.set("portolan.purpose", "audit").unwrap();
    assert_eq!((number(&first, COUNT).await, number(&second, COUNT).await), (10, 10));
    let before = totals(&gateway);
    assert_eq!(number(&first, COUNT).await, 10);
    assert_eq!(since(&gateway, before), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_catalog_of_a_peer_ends_the_plans_of_its_ports() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let hour = Duration::from_secs(3_600);
    let gateway = Engine::builder().cpu_threads(2).refresh_interval(hour).peer(peer.clone()).build().unwrap();
    gateway.refresh().await;
    let session = gateway.session(Principal::new("ann"));
    let first = session.prepare("SELECT n_name FROM geo.places.nation").await.unwrap();
    assert_eq!(first.schema().fields().len(), 1);
    let mut catalog = tpch_domain("geo");
    catalog.products.values_mut().for_each(|product| product.ports.clear());
    peer.publish("2", vec![catalog]);
    gateway.refresh().await;
    let error = session.prepare("SELECT n_name FROM geo.places.nation").await.err().map(|e| e.kind());
    assert_eq!(error, Some(ErrorKind::NotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_shows_how_often_plans_are_used() {
    let engine = owner("");
    let session = engine.session(Principal::new("ann"));
    for _ in 0..4 {
        number(&session, COUNT).await;
    }
    let shown = run(&session, "SELECT plans > 0 AS kept, plan_hits, plan_misses FROM mesh.nodes WHERE here").await;
    assert!(shown.as_ref().unwrap().contains("| true | 3         | 1           |"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_at_the_same_time_have_the_plans_of_their_principals() {
    let engine = owner(POLICIES);
    let runs = (0..8_i64).map(|task| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let (group, all) = if task % 2 == 0 { ("analysts", 4) } else { ("owners", 10) };
            let session = engine.session(member("ann", group));
            for n in 0..20 {
                let below = n % 5;
                let sql = format!("SELECT count(*) AS n FROM sales.p.people WHERE id >= {below}");
                assert_eq!(number(&session, &sql).await, (all - below).max(0), "{group}: {sql}");
            }
        })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.unwrap();
    }
    let PlanTotals { hits, misses, .. } = totals(&engine);
    assert_eq!(hits + misses, 160);
    let session = engine.session(member("ann", "owners"));
    let sql = "SELECT count(*) AS n FROM sales.p.people WHERE id >= 1";
    number(&session, sql).await;
    let before = totals(&engine);
    assert_eq!(number(&session, sql).await, 9);
    assert_eq!(since(&engine, before), (1, 0));
}
