//! The API for embedding: what a refresh returns, values by name, rows in memory, the tables that a program registers,
//! and cancellation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::task::Poll;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::catalog::MemTable;
use futures::stream;
use portolan_catalog::{Column, DomainCatalog, NodeState, Port, PortRef};
use portolan_connectors::OpenedPort;

use super::*;
use crate::fake_mesh::{FakePeer, tpch_domain};
use crate::{Error, ErrorKind, Limits, RecordBatch, ScalarValue};

fn session() -> Session {
    session_within(Limits::default())
}

fn session_within(limits: Limits) -> Session {
    Engine::builder().cpu_threads(2).limits(limits).build().unwrap().session(Principal::new("ann"))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Returns the only value of a query: an integer.
async fn number(session: &Session, sql: &str) -> i64 {
    let rows = session.sql(sql).await.unwrap().collect().await.unwrap();
    rows[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Returns an error, which must have this kind and contain `expected`.
fn refused<T>(outcome: Result<T>, kind: ErrorKind, expected: &str) -> Error {
    let error = outcome.err().expect(expected);
    assert_eq!(error.kind(), kind, "{}", error.chain());
    assert!(error.chain().contains(expected), "{} does not contain `{expected}`", error.chain());
    error
}

#[tokio::test]
async fn a_refresh_returns_which_peers_answered() {
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let sales = FakePeer::new("grpc://sales", vec![]);
    sales.go_down();
    let engine = Engine::builder().cpu_threads(2).peer(geo).peer(sales.clone()).build().unwrap();
    let refreshed = engine.refresh().await;
    assert_eq!(refreshed.answered, ["grpc://geo"]);
    assert_eq!(refreshed.failed, [("grpc://sales".to_owned(), "connection refused".to_owned())]);
    sales.publish("1", vec![tpch_domain("sales")]);
    let refreshed = engine.refresh().await;
    assert_eq!(refreshed.answered, ["grpc://geo", "grpc://sales"]);
    assert!(refreshed.failed.is_empty());
}

#[tokio::test]
async fn an_unknown_port_names_the_peers_without_a_catalog_and_why() {
    let waiting = FakePeer::new("grpc://waiting", vec![]);
    waiting.hang_after(0);
    let down = FakePeer::new("grpc://down", vec![]);
    down.go_down();
    let engine = Engine::builder().cpu_threads(2).peer(waiting).peer(down).build().unwrap();
    while engine.mesh().nodes[2].state != NodeState::Down {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = engine.sql("SELECT * FROM geo.places.nation").await;
    let error = refused(asked, ErrorKind::NotFound, "there is no port `geo.places.nation`");
    let expected = "; the catalog of grpc://waiting has not been fetched yet: try again in a moment; \
                    node grpc://down: connection refused (line 1, column 15)";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[tokio::test]
async fn a_table_in_memory_is_a_port() {
    let rows = batch(vec![("id", numbers(&[1, 2, 3]))]);
    let name = PortRef::new("lab", "samples", "events");
    let port = Port::new(name.clone()).with_columns([Column::new("id")]);
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    let domain = LocalDomain::new(DomainCatalog::new("lab", [port]), [OpenedPort::new(name, Arc::new(table))]);
    let engine = Engine::builder().cpu_threads(2).local_domain(domain).build().unwrap();
    assert_eq!(number(&engine.session(Principal::new("ann")), "SELECT sum(id) FROM lab.samples.events").await, 6);
    let mesh = engine.mesh();
    let described: Vec<_> =
        mesh.ports().map(|port| (port.name.to_string(), port.columns[0].data_type.clone())).collect();
    assert_eq!(described, [("lab.samples.events".to_owned(), Some(DataType::Int64))]);
}

#[tokio::test]
async fn a_domain_has_the_open_ports_of_its_catalog() {
    let rows = batch(vec![("id", numbers(&[1]))]);
    let table = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap());
    let built = |described: &[&str], opened: &[&str]| {
        let name = |port: &&str| PortRef::new("lab", "samples", *port);
        let catalog = DomainCatalog::new("lab", described.iter().map(|port| Port::new(name(port))));
        let opened: Vec<_> = opened.iter().map(|port| OpenedPort::new(name(port), table.clone())).collect();
        Engine::builder().cpu_threads(1).local_domain(LocalDomain::new(catalog, opened)).build()
    };
    assert!(built(&["a", "b"], &["b", "a"]).is_ok());
    refused(built(&["a", "events"], &["a"]), ErrorKind::InvalidQuery, "port `lab.samples.events` was not opened");
    let expected = "port `lab.samples.event` is not in the catalog of domain `lab`";
    refused(built(&["a"], &["a", "event"]), ErrorKind::InvalidQuery, expected);
}

#[tokio::test]
async fn values_are_bound_by_name() {
    let session = session();
    let sql = "SELECT sum(value) FROM range(10) WHERE value > $z AND value < $a AND value <> $z";
    let prepared = session.prepare(sql).await.unwrap();
    let names: Vec<_> = prepared.parameters().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["$z", "$a"]);
    let value = |number: i64| ScalarValue::from(number);
    let rows = prepared.execute_named(&[("$z", value(3)), ("a", value(6))]).await.unwrap().collect().await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 4 + 5);
    let wrong: [(&[(&str, ScalarValue)], &str); 3] = [
        (&[("z", value(3))], "the parameter `$a` has no value"),
        (&[("z", value(3)), ("a", value(6)), ("$a", value(7))], "the parameter `$a` has two values"),
        (&[("z", value(3)), ("b", value(6))], "the statement has no parameter `$b`"),
    ];
    for (values, expected) in wrong {
        refused(prepared.execute_named(values).await, ErrorKind::InvalidQuery, expected);
    }
    // The statement shows no order of the names, so a value by position could be another one's.
    refused(prepared.execute(&[value(3), value(6)]).await, ErrorKind::InvalidQuery, "with names, `$z`, `$a`: bind");

    let numbered = session.prepare("SELECT sum(value) FROM range(10) WHERE value > $1").await.unwrap();
    let rows = numbered.execute_named(&[("1", value(7))]).await.unwrap().collect().await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 8 + 9);
    let both = session.prepare("SELECT value FROM range(10) WHERE value > $1 AND value < $a").await;
    refused(both, ErrorKind::InvalidQuery, "got both: `$1` and `$a`");
}

#[tokio::test]
async fn rows_of_parameters_are_bound_by_the_names_of_their_columns() {
    let session = session();
    session.sql("CREATE TABLE t (n BIGINT, s VARCHAR)").await.unwrap();
    let insert = session.prepare("INSERT INTO t VALUES ($n, $s)").await.unwrap();
    let two = batch(vec![("s", strings(&["x", "y"])), ("$n", numbers(&[1, 2]))]);
    assert_eq!(insert.apply(std::slice::from_ref(&two)).await.unwrap(), 2);
    assert_eq!(insert.apply(&[two.slice(1, 1)]).await.unwrap(), 1);
    assert_eq!(number(&session, "SELECT sum(n) FROM t WHERE s = 'x'").await, 1);
    assert_eq!(number(&session, "SELECT sum(n) FROM t WHERE s = 'y'").await, 4);
    let lacking = batch(vec![("n", numbers(&[1, 2]))]);
    refused(insert.apply(&[lacking]).await, ErrorKind::InvalidQuery, "the parameter `$s` has no value");
}

#[tokio::test]
async fn collected_rows_are_bounded() {
    let session = session_within(Limits { query_memory: 1 << 20, ..Limits::default() });
    let few = session.sql("SELECT value FROM range(100)").await.unwrap().collect().await.unwrap();
    assert_eq!(few.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    let many = session.sql("SELECT value FROM range(1000000)").await.unwrap().collect().await;
    refused(many, ErrorKind::ResourceExhausted, "read them batch by batch");
}

#[tokio::test]
async fn rows_can_be_read_after_the_engine_and_the_session_are_dropped() {
    let sql = "SELECT value FROM range(1000000)";
    let rows = Engine::builder().cpu_threads(2).build().unwrap().sql(sql).await.unwrap();
    let rows = rows.collect().await.unwrap_or_else(|e| panic!("{}", e.chain()));
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000_000);
}

#[tokio::test]
async fn a_handle_cancels_one_statement_and_a_session_all_of_its_own() {
    const LONG: &str = "SELECT sum(value) FROM range(100000000000)";
    let one = session();
    let rows = one.sql(LONG).await.unwrap();
    let handle = rows.cancel_handle();
    let reading = tokio::spawn(rows.collect());
    handle.cancel();
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);

    let other = one.engine().session(Principal::new("ann"));
    let (first, second) = (one.sql(LONG).await.unwrap(), one.sql(LONG).await.unwrap());
    assert_eq!(other.cancel(), 0);
    assert_eq!(one.cancel(), 2);
    for rows in [first, second] {
        assert_eq!(rows.collect().await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
    assert_eq!(number(&one, "SELECT sum(value) FROM range(4)").await, 6);
}

#[tokio::test]
async fn registered_rows_are_a_table_of_the_session() {
    let session = session();
    let first = batch(vec![("id", numbers(&[1, 2])), ("name", strings(&["a", "b"]))]);
    // The columns of later batches are found by name.
    let second = batch(vec![("name", strings(&["c"])), ("id", numbers(&[10]))]);
    assert_eq!(session.register_batches("list", vec![first, second]).await.unwrap(), 3);
    assert_eq!(number(&session, "SELECT sum(id) FROM list WHERE name <> 'b'").await, 11);
    let other = session.engine().session(Principal::new("ann"));
    refused(other.sql("SELECT * FROM list").await, ErrorKind::NotFound, "`list`");

    assert_eq!(session.register_batches("list", vec![batch(vec![("id", numbers(&[7]))])]).await.unwrap(), 1);
    assert_eq!(number(&session, "SELECT sum(id) FROM list").await, 7);
    refused(session.register_batches("list", vec![]).await, ErrorKind::InvalidQuery, "at least one batch");
    let rows = session.sql("SELECT value AS n FROM range(5)").await.unwrap();
    assert_eq!(session.register_stream("five", rows.schema(), rows).await.unwrap(), 5);
    assert_eq!(number(&session, "SELECT sum(n) FROM five").await, 10);

    let broken = stream::iter([
        Ok(batch(vec![("id", numbers(&[8]))])),
        Err(Error::new(ErrorKind::SiteUnavailable, "the source is gone")),
    ]);
    let columns = batch(vec![("id", numbers(&[]))]).schema();
    let outcome = session.register_stream("list", columns, broken).await;
    refused(outcome, ErrorKind::SiteUnavailable, "the source is gone");
    assert_eq!(number(&session, "SELECT sum(id) FROM list").await, 7);
}

#[tokio::test]
async fn rows_for_a_table_with_the_name_of_a_view_are_not_read() {
    let session = session();
    session.sql("CREATE VIEW v AS SELECT 1 AS n").await.unwrap();
    let rows = stream::poll_fn(|_| -> Poll<Option<Result<RecordBatch>>> { panic!("a row was read") });
    let columns = batch(vec![("n", numbers(&[]))]).schema();
    let outcome = session.register_stream("v", columns, rows).await;
    refused(outcome, ErrorKind::AlreadyExists, "already has a view `v`");
}

#[tokio::test]
async fn rows_count_as_a_table_before_they_are_one() {
    // The tables of all sessions hold a quarter of the memory, and those of one principal three quarters of that: 60 kB.
    let session = session_within(Limits { memory: 320_000, ..Limits::default() });
    let forty_kb = || batch(vec![("id", numbers(&[7; 5000]))]);
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    sender.unbounded_send(Ok(forty_kb())).unwrap();
    let (first, columns) = (session.clone(), forty_kb().schema());
    let first = tokio::spawn(async move { first.register_stream("a", columns, receiver).await });
    let held = || session.engine().metrics().session_tables.held;
    let counted = async {
        while held() < 40_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.unwrap();

    let second = session.register_batches("b", vec![forty_kb()]).await;
    refused(second, ErrorKind::ResourceExhausted, "`session_tables` of");
    drop(sender);
    assert_eq!(first.await.unwrap().unwrap(), 5000);
    assert!((40_000..50_000).contains(&held()), "{} bytes", held());
    // Even without room for as many rows, a change is not refused.
    session.sql("UPDATE a SET id = id + 1").await.unwrap();
    assert_eq!(number(&session, "SELECT sum(id) FROM a").await, 8 * 5000);
    session.sql("DROP TABLE a").await.unwrap();
    assert_eq!(held(), 0);
}

#[cfg(feature = "files")]
#[tokio::test]
async fn registered_files_are_a_table_of_the_session() {
    use portolan_connectors::files::LocalFileOptions;

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("a.csv"), "id,name\n1,a\n2,b\n").unwrap();
    std::fs::write(at("b.csv"), "id,name\n10,c\n").unwrap();
    let session = session_within(Limits { session_tables: 10_000, ..Limits::default() });
    let options = LocalFileOptions::default();
    assert_eq!(session.register_file("list", &at("*.csv"), &options).await.unwrap(), 3);
    assert_eq!(number(&session, "SELECT sum(id) FROM list WHERE name <> 'b'").await, 11);
    // A table has the rows of the time at which it was registered.
    std::fs::remove_file(at("b.csv")).unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM list").await, 3);
    assert_eq!(session.register_file("list", &at("a.csv"), &options).await.unwrap(), 2);

    std::fs::write(at("large.csv"), format!("id\n{}", "1\n".repeat(5000))).unwrap();
    let outcome = session.register_file("list", &at("large.csv"), &options).await;
    refused(outcome, ErrorKind::ResourceExhausted, "limits.session_tables");
    refused(session.register_file("x", &at("none.csv"), &options).await, ErrorKind::NotFound, "none.csv");
    assert_eq!(number(&session, "SELECT count(*) FROM list").await, 2);
}
