//! Tests of the tables and settings that sessions create and change, and of what sessions see of each other, over a
//! mesh of fakes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod views;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use futures::{StreamExt, TryStreamExt, stream};
use portolan_catalog::{Port, PortRef};
use portolan_connectors::PortWriter;
use portolan_connectors::testing::{catalog, column, local_domain};
use tokio::sync::Notify;

use crate::fake_mesh::gateway;
use crate::server::set_limits;
use crate::{Engine, Error, ErrorKind, IngestMode, IngestTarget, Limits, Principal, Result, Session, StatementKind};

async fn run(session: &Session, sql: &str) -> Result<String> {
    let batches: Vec<RecordBatch> = session.sql(sql).await?.try_collect().await?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

/// Returns the values of a query's first column.
async fn values(session: &Session, sql: &str) -> Vec<String> {
    let batches: Vec<RecordBatch> = session.sql(sql).await.unwrap().try_collect().await.unwrap();
    let text = |b: &RecordBatch| {
        let column = arrow::compute::cast(b.column(0), &DataType::Utf8).unwrap();
        let column: StringArray = column.to_data().into();
        column.iter().map(|v| v.unwrap_or("NULL").to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(text).collect()
}

async fn changed(session: &Session, sql: &str) -> u64 {
    let prepared = session.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    assert_eq!(prepared.kind(), StatementKind::Change);
    prepared.apply(&[]).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()))
}

async fn refused(session: &Session, sql: &str) -> Error {
    run(session, sql).await.expect_err(sql)
}

fn rows(numbers: Vec<Option<i64>>, texts: Vec<&str>) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> =
        vec![("n", Arc::new(Int64Array::from(numbers))), ("s", Arc::new(StringArray::from(texts)))];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

#[tokio::test]
async fn tables_are_made_changed_and_dropped() {
    let session = gateway().await.session(Principal::new("ann"));
    assert_eq!(changed(&session, "CREATE TABLE t (n BIGINT NOT NULL, s VARCHAR)").await, 0);
    assert_eq!(changed(&session, "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)").await, 3);
    assert_eq!(changed(&session, "INSERT INTO portolan.session.t (n) VALUES (4)").await, 1);
    assert_eq!(changed(&session, "UPDATE t SET s = upper(s), n = n + 10 WHERE n < 3").await, 2);
    assert_eq!(
        values(&session, "SELECT n || ':' || coalesce(s, '-') FROM t ORDER BY n").await,
        ["3:-", "4:-", "11:A", "12:B"]
    );
    assert_eq!(changed(&session, "DELETE FROM t AS x WHERE x.s IS NULL AND x.n = 3").await, 1);
    // With a NULL in the list, `NOT IN` is never true.
    assert_eq!(changed(&session, "DELETE FROM t WHERE s NOT IN ('A', NULL)").await, 0);
    assert_eq!(changed(&session, "CREATE TEMPORARY TABLE u AS SELECT n * 2 AS m, s FROM t").await, 3);
    assert_eq!(changed(&session, "DELETE FROM t WHERE n IN (SELECT m / 2 FROM u WHERE s = 'A')").await, 1);
    assert_eq!(values(&session, "SELECT n FROM t ORDER BY 1").await, ["4", "12"]);
    assert_eq!(changed(&session, "DELETE FROM t").await, 2);
    assert_eq!(changed(&session, "DROP TABLE t").await, 0);
    assert_eq!(changed(&session, "DROP TABLE IF EXISTS t").await, 0);
    assert_eq!(refused(&session, "DROP TABLE t").await.kind(), ErrorKind::NotFound);
    assert_eq!(changed(&session, "CREATE TABLE IF NOT EXISTS u (x INT)").await, 0);
    assert_eq!(refused(&session, "CREATE TABLE u (x INT)").await.kind(), ErrorKind::AlreadyExists);
    assert_eq!(changed(&session, "CREATE OR REPLACE TABLE u (x INT)").await, 0);
    assert!(values(&session, "SELECT x FROM u").await.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_changes_nothing() {
    let session = gateway().await.session(Principal::new("ann"));
    changed(&session, "CREATE TABLE t (n INT NOT NULL, s VARCHAR)").await;
    changed(&session, "INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    for (sql, kind) in [
        ("INSERT INTO t VALUES (3, 'c'), (NULL, 'd')", ErrorKind::InvalidQuery),
        ("INSERT INTO t VALUES (99999999999, 'c')", ErrorKind::InvalidQuery),
        ("UPDATE t SET n = NULL WHERE n = 1", ErrorKind::InvalidQuery),
        ("UPDATE t SET n = 1 / (n - 1)", ErrorKind::InvalidQuery),
        ("UPDATE t SET m = 1", ErrorKind::InvalidQuery),
        ("INSERT INTO tt VALUES (1, 'a')", ErrorKind::NotFound),
        ("INSERT INTO sales.orders.lineitem SELECT * FROM sales.orders.lineitem", ErrorKind::Unsupported),
        ("DELETE FROM sales.orders.lineitem", ErrorKind::PermissionDenied),
        ("DROP TABLE sales.orders.lineitem", ErrorKind::PermissionDenied),
        ("CREATE TABLE sales.orders.mine (a INT)", ErrorKind::PermissionDenied),
        ("CREATE TABLE p (a INT PRIMARY KEY)", ErrorKind::Unsupported),
        ("CREATE TABLE p AS SELECT 1 AS a, n_name AS a FROM geo.places.nation", ErrorKind::InvalidQuery),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", ErrorKind::Unsupported),
        ("CALL mesh.stop('x')", ErrorKind::NotFound),
        ("CALL mesh.cancel_query('x')", ErrorKind::NotFound),
    ] {
        let error = refused(&session, sql).await;
        assert_eq!(error.kind(), kind, "{sql}: {}", error.chain());
    }
    assert_eq!(values(&session, "SELECT n FROM t ORDER BY 1").await, ["1", "2"]);
}

/// A writer that stores rows for longer than a query may run.
#[derive(Debug)]
struct Slow;

#[async_trait::async_trait]
impl PortWriter for Slow {
    fn takes_from(&self, _: &str, _: &BTreeSet<String>) -> bool {
        true
    }

    async fn append(&self, rows: stream::BoxStream<'static, Result<RecordBatch>>) -> Result<u64> {
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        tokio::time::sleep(Duration::from_secs(8)).await;
        Ok(batches.iter().map(|batch| batch.num_rows() as u64).sum())
    }
}

/// A writer that waits before it reads the rows, or afterwards.
#[derive(Debug)]
struct Waiting {
    reads_first: bool,
    waits: Arc<Notify>,
    gate: Arc<Notify>,
}

impl Waiting {
    async fn wait(&self) {
        self.waits.notify_one();
        self.gate.notified().await;
    }
}

#[async_trait::async_trait]
impl PortWriter for Waiting {
    fn takes_from(&self, _: &str, _: &BTreeSet<String>) -> bool {
        true
    }

    async fn append(&self, rows: stream::BoxStream<'static, Result<RecordBatch>>) -> Result<u64> {
        if !self.reads_first {
            self.wait().await;
        }
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        if self.reads_first {
            self.wait().await;
        }
        Ok(batches.iter().map(|batch| batch.num_rows() as u64).sum())
    }
}

/// Returns an engine with the port `lab.samples.events`, whose rows have the column `n`.
fn engine_with(writer: Arc<dyn PortWriter>, query_timeout: Duration) -> Engine {
    let name = PortRef::new("lab", "samples", "events");
    let port = Port::new(name).with_columns([column("n", DataType::Int64)]);
    let mut domain = local_domain(catalog("lab", [port]), |_| vec![]);
    domain.ports[0].writer = Some(writer);
    let limits = Limits { query_timeout, ..Limits::default() };
    Engine::builder().cpu_threads(2).limits(limits).local_domain(domain).build().unwrap()
}

#[tokio::test]
async fn storing_the_rows_of_an_insert_may_take_longer_than_its_query() {
    let engine = engine_with(Arc::new(Slow), Duration::from_secs(2));
    let session = engine.session(Principal::new("ann"));
    assert_eq!(values(&session, "INSERT INTO lab.samples.events SELECT value FROM range(3)").await, ["3"]);
}

#[tokio::test]
async fn an_insert_is_listed_until_its_rows_are_stored_and_stops_only_before_they_are_read() {
    const LISTED: &str = "SELECT query_id FROM mesh.queries WHERE statement LIKE 'INSERT%'";
    for reads_first in [false, true] {
        let (waits, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let writer = Waiting { reads_first, waits: waits.clone(), gate: gate.clone() };
        let engine = engine_with(Arc::new(writer), Duration::from_secs(60));
        let (session, other) = (engine.session(Principal::new("ann")), engine.session(Principal::new("ann")));
        let insert = run(&session, "INSERT INTO lab.samples.events SELECT value FROM range(3)");
        let cancel = async {
            waits.notified().await;
            // The plan ends, also if nobody reads its few rows.
            while engine.metrics().queries.ended["ok"] == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let listed = values(&other, LISTED).await;
            assert_eq!(listed.len(), 1);
            assert_eq!(changed(&other, &format!("CALL mesh.cancel_query('{}')", listed[0])).await, 1);
            gate.notify_one();
        };
        let (stored, ()) = tokio::join!(insert, cancel);
        match reads_first {
            true => assert!(stored.unwrap().contains("| 3     |")),
            false => assert_eq!(stored.unwrap_err().kind(), ErrorKind::Cancelled),
        }
        assert!(values(&other, LISTED).await.is_empty());
    }
}

#[tokio::test]
async fn limits_change_while_a_session_is_open() {
    let engine = gateway().await;
    let session = engine.session(Principal::new("ann"));
    set_limits(&engine, &Limits { session_tables: 1, ..Limits::default() });
    let error = refused(&session, "CREATE TABLE small AS SELECT 1 AS n").await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{}", error.chain());
    assert!(error.context().contains("limits.session_tables"), "{error}");
    set_limits(&engine, &Limits::default());
    assert_eq!(changed(&session, "CREATE TABLE small AS SELECT 1 AS n").await, 1);
}

#[tokio::test]
async fn an_uploaded_list_joins_the_mesh() {
    let engine = gateway().await;
    let session = engine.session(Principal::new("ann"));
    let target = IngestTarget { table: "list".into(), ..IngestTarget::default() };
    let ingest = async |mode, batch: RecordBatch| {
        let rows = stream::iter([Ok(batch.clone())]).boxed();
        session.ingest(&target, mode, batch.schema(), rows).await
    };
    let two = rows(vec![Some(1), None], vec!["x", "y"]);
    assert_eq!(ingest(IngestMode::Append, two.clone()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(ingest(IngestMode::Create, two.clone()).await.unwrap(), 2);
    assert_eq!(ingest(IngestMode::Create, two.clone()).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(ingest(IngestMode::CreateAppend, two.clone()).await.unwrap(), 2);
    assert_eq!(ingest(IngestMode::Append, two.project(&[1]).unwrap()).await.unwrap(), 2);
    assert_eq!(values(&session, "SELECT count(*) - count(n) FROM list").await, ["4"]);
    let foreign = RecordBatch::try_from_iter([("m", two.column(0).clone())]).unwrap();
    let error = ingest(IngestMode::Append, foreign).await.unwrap_err();
    assert!(error.context().contains("no column `m`"), "{error}");
    assert_eq!(ingest(IngestMode::Replace, two).await.unwrap(), 2);
    assert!(session.prepare("SELECT n_name FROM geo.places.nation JOIN list ON n_nationkey = n").await.is_ok());
    // Other sessions do not see it.
    let other = engine.session(Principal::new("ann"));
    assert_eq!(refused(&other, "SELECT * FROM list").await.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn many_rows_of_parameters_take_effect_together() {
    let session = gateway().await.session(Principal::new("ann"));
    changed(&session, "CREATE TABLE t (n INT, s VARCHAR)").await;
    let insert = session.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    let many = rows((0..1000).map(Some).collect(), vec!["x"; 1000]);
    assert_eq!(insert.apply(&[many.clone(), many]).await.unwrap(), 2000);
    let too_large = rows(vec![Some(1), Some(1 << 40)], vec!["a", "b"]);
    assert_eq!(insert.apply(&[too_large]).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
    assert_eq!(values(&session, "SELECT count(*) FROM t").await, ["2000"]);
    let delete = session.prepare("DELETE FROM t WHERE n = $1 AND s = $2").await.unwrap();
    assert_eq!(delete.apply(&[rows(vec![Some(1), Some(2), None], vec!["x", "y", "x"])]).await.unwrap(), 2);
    assert_eq!(values(&session, "SELECT count(*) FROM t").await, ["1998"]);
    // A prepared query sees the rows at the time of its run.
    let count = session.prepare("SELECT count(*) FROM t").await.unwrap();
    changed(&session, "DELETE FROM t").await;
    let batches: Vec<RecordBatch> = count.execute(&[]).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_ref(), &Int64Array::from(vec![0]));
}

#[tokio::test]
async fn names_without_a_domain_go_by_the_session() {
    let session = gateway().await.session(Principal::new("ann"));
    let error = refused(&session, "SET catalog = gep").await;
    assert!(error.context().contains("`geo`"), "{error}");
    run(&session, "USE geo").await.unwrap();
    assert!(session.prepare("SELECT count(*) FROM places.nation").await.is_ok());
    run(&session, "SET schema = places").await.unwrap();
    assert_eq!(session.prepare("SELECT n_name FROM nation").await.unwrap().schema().field(0).name(), "n_name");
    assert_eq!(values(&session, "SELECT count(*) FROM mesh.domains").await, ["3"]);
    changed(&session, "CREATE TABLE nation AS SELECT 7 AS only").await;
    assert_eq!(values(&session, "SELECT only FROM nation").await, ["7"]);
    run(&session, "RESET schema").await.unwrap();
    run(&session, "SET catalog = DEFAULT").await.unwrap();
    assert_eq!(values(&session, "SELECT count(*) FROM domains").await, ["3"]);
    run(&session, "USE geo.places").await.unwrap();
    assert!(session.prepare("SELECT r_name FROM region").await.is_ok());
    // A refused statement changes nothing.
    run(&session, "USE sales").await.unwrap();
    assert_eq!(values(&session, "SELECT count(*) FROM domains").await, ["3"]);
    for known in ["USE portolan.mesh", "USE sales.mesh", "USE geo.places"] {
        run(&session, known).await.unwrap();
    }
    for (wrong, said) in [
        ("USE portolan.nonsense", "`nonsense`"),
        ("USE geo.place", "`geo.places`"),
        ("USE gep.places", "`geo`"),
        ("USE a.b.c", "domain.product"),
    ] {
        let error = refused(&session, wrong).await;
        assert!(error.context().contains(said), "{error}");
    }
    assert!(session.prepare("SELECT r_name FROM region").await.is_ok());
}

#[tokio::test]
async fn sessions_and_queries_are_seen_and_stopped_by_their_owner_and_by_administrators() {
    let engine = gateway().await;
    let ann = engine.session(Principal::new("ann"));
    let bob = engine.session(Principal::new("bob"));
    let root = engine.session(Principal::new("root").with_admin(true));
    let mut long =
        ann.sql("SELECT a.value FROM generate_series(1, 100000000) a, generate_series(1, 100000) b").await.unwrap();
    long.next().await.unwrap().unwrap();
    let ours = format!("SELECT count(*) FROM mesh.queries WHERE query_id = '{}'", long.query_id());
    assert_eq!(values(&bob, &ours).await, ["0"]);
    assert_eq!(values(&ann, &ours).await, ["1"]);
    assert_eq!(values(&root, "SELECT count(*) FROM mesh.sessions").await, ["3"]);
    assert_eq!(values(&bob, "SELECT principal FROM mesh.sessions").await, ["bob"]);
    let cancel = format!("CALL mesh.cancel_query('{}')", long.query_id());
    assert_eq!(refused(&bob, &cancel).await.kind(), ErrorKind::NotFound);
    assert_eq!(changed(&root, &cancel).await, 1);
    let end = long.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::Cancelled);
    assert_eq!(values(&ann, &ours).await, ["0"]);
    changed(&ann, "CREATE TABLE t (n INT)").await;
    assert_eq!(changed(&root, &format!("CALL mesh.close_session('{}')", ann.id())).await, 1);
    assert_eq!(refused(&ann, "SELECT 1").await.kind(), ErrorKind::Unauthenticated);
    assert_eq!(values(&root, "SELECT count(*) FROM mesh.sessions").await, ["2"]);
}

/// The join returns no row, but it must yield all the same.
#[tokio::test]
async fn a_nested_loop_join_ends_when_nobody_reads_it() {
    let session = gateway().await.session(Principal::new("ann"));
    let sql =
        "SELECT count(*) FROM generate_series(1, 200000) a JOIN generate_series(1, 200000) b ON a.value + b.value < 0";
    let mut rows = session.sql(sql).await.unwrap();
    let started = tokio::time::timeout(Duration::from_millis(500), rows.next()).await;
    assert!(started.is_err(), "it is still at work");
    drop(rows);
    let running =
        "SELECT count(*) FROM mesh.queries WHERE statement LIKE '%a.value + b.value%' AND statement NOT LIKE '%mesh%'";
    for _ in 0..100 {
        if values(&session, running).await == ["0"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it runs on");
}

#[tokio::test]
async fn columns_may_share_a_name() {
    let session = gateway().await.session(Principal::new("ann"));
    let sql =
        "SELECT value AS a, value + 1 AS A, t.value, 'x', 'x', value FROM generate_series(1, 2) t ORDER BY a DESC";
    let prepared = session.prepare(sql).await.unwrap();
    let names =
        |schema: arrow::datatypes::SchemaRef| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let announced = names(prepared.schema());
    assert_eq!(announced[..3], ["a", "a", "value"]);
    assert_eq!((&announced[3], &announced[5]), (&announced[4], &announced[2]));
    let batches: Vec<RecordBatch> = prepared.execute(&[]).await.unwrap().try_collect().await.unwrap();
    assert_eq!(names(batches[0].schema()), announced);
    assert_eq!(values(&session, sql).await, ["2", "1"]);
}

#[tokio::test]
async fn columns_are_called_as_they_are_written() {
    let session = gateway().await.session(Principal::new("ann"));
    for (sql, expected) in [
        ("SELECT 2, 1+1, 'a', NULL", &["2", "1 + 1", "'a'", "NULL"][..]),
        ("SELECT SUM(n.n_nationkey), count(*) FROM geo.places.nation n", &["sum(n.n_nationkey)", "count(*)"]),
        ("SELECT upper(n_name), * FROM geo.places.nation", &["upper(n_name)", "n_nationkey", "n_name", "n_regionkey"]),
        (
            "SELECT r.*, lower(R_Name), 1 AS one FROM geo.places.region r",
            &["r_regionkey", "r_name", "r_comment", "lower(R_Name)", "one"],
        ),
        ("SELECT 1 UNION ALL SELECT 2", &["1"]),
        ("(SELECT -1) ORDER BY 1", &["-1"]),
        ("WITH t AS (SELECT 1 AS x) SELECT CASE WHEN x = 1 THEN 'y' END FROM t", &["CASE WHEN x = 1 THEN 'y' END"]),
        ("SELECT unnest(named_struct('a', 1, 'b', 2)) , 1 + 1", &["*", "*", "1 + 1"]),
        ("SELECT 1 + 1, unnest([1, 2]), 2 + 2", &["1 + 1", "unnest([1, 2])", "2 + 2"]),
        ("SELECT UNNEST([1,2])", &["unnest([1, 2])"]),
        ("SELECT unnest([1]), unnest([1]), unnest([2]) AS z", &["unnest([1])", "unnest([1])", "z"]),
        ("SELECT unnest([1, 2]) + 1", &["unnest([1, 2]) + 1"]),
        ("SELECT unnest([1]), * FROM (VALUES (7)) t (x)", &["*", "x"]),
        ("SELECT * EXCLUDE (r_name), 1 + 1 FROM geo.places.region", &["r_regionkey", "r_comment", "1 + 1"]),
        // The names of the first list do not apply after a pipe, or to either list of a union by name.
        ("SELECT upper(r_name), r_regionkey FROM geo.places.region |> SELECT r_regionkey", &["r_regionkey"]),
        (
            "SELECT *, 1 + 1 FROM geo.places.region UNION ALL BY NAME SELECT 5 AS z",
            &["r_regionkey", "r_name", "r_comment", "*", "z"],
        ),
        ("SELECT s.a, s.b, s.a FROM (SELECT named_struct('a', 1, 'b', 2) AS s)", &["a", "b", "a"]),
        ("SELECT 'x', 'x' UNION ALL SELECT 'y', 'z'", &["'x'", "'x'"]),
        // In DataFusion, each of these has two columns of one name.
        ("SELECT nation.n_name, geo.places.nation.n_name FROM geo.places.nation", &["n_name", "n_name"]),
        ("SELECT *, upper(r_name) AS r_name FROM geo.places.region", &["r_regionkey", "r_name", "r_comment", "r_name"]),
        (
            "SELECT a.n_name, a.n_regionkey, CAST(a.n_regionkey AS VARCHAR) FROM geo.places.nation a \
             JOIN geo.places.nation b ON a.n_nationkey = b.n_regionkey ORDER BY n_name",
            &["n_name", "n_regionkey", "CAST(a.n_regionkey AS VARCHAR)"],
        ),
        (
            "SELECT n_name, CAST(n_name AS VARCHAR) FROM geo.places.nation UNION ALL SELECT 'a', 'b' ORDER BY n_name",
            &["n_name", "CAST(n_name AS VARCHAR)"],
        ),
        ("SELECT *, r_name FROM geo.places.region", &["r_regionkey", "r_name", "r_comment", "r_name"]),
        ("SELECT r_name, * FROM geo.places.region", &["r_name", "r_regionkey", "r_name", "r_comment"]),
        ("SELECT n_name, CAST(n_name AS VARCHAR) FROM geo.places.nation", &["n_name", "CAST(n_name AS VARCHAR)"]),
        ("SELECT upper(n_name), UPPER((n_name)) FROM geo.places.nation", &["upper(n_name)", "upper((n_name))"]),
        (
            "SELECT sum(n_nationkey), sum(nation.n_nationkey) FROM geo.places.nation GROUP BY n_regionkey \
             ORDER BY sum(n_nationkey), n_regionkey",
            &["sum(n_nationkey)", "sum(nation.n_nationkey)"],
        ),
        (
            "SELECT *, 1, CAST(1 AS BIGINT), (SELECT 1) FROM (VALUES (7)) t (x)",
            &["x", "1", "CAST(1 AS BIGINT)", "(SELECT 1)"],
        ),
    ] {
        let prepared = session.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let names: Vec<_> = prepared.schema().fields().iter().map(|f| f.name().clone()).collect();
        let same = |(name, expected): (&String, &&str)| *expected == "*" || name == expected;
        assert!(names.len() >= expected.len() && names.iter().zip(expected).all(same), "{sql}: {names:?}");
        let analyzed = session.prepare(&format!("EXPLAIN {sql}")).await;
        assert!(analyzed.is_ok(), "{sql}: {analyzed:?}");
    }
    let sql = "SELECT x, CAST(x AS VARCHAR), x + 1, CAST(x AS BIGINT) + 1 FROM (VALUES (7), (8)) t (x) ORDER BY x DESC";
    let rows: Vec<RecordBatch> = session.sql(sql).await.unwrap().try_collect().await.unwrap();
    let names: Vec<_> = rows[0].schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["x", "CAST(x AS VARCHAR)", "x + 1", "CAST(x AS BIGINT) + 1"]);
    let text = pretty_format_batches(&rows).unwrap().to_string();
    let row = text.lines().nth(3).unwrap().replace(' ', "");
    assert_eq!(row, "|8|8|9|9|");
    let long = format!("SELECT {}", vec!["1"; 500].join(" + "));
    let name = session.prepare(&long).await.unwrap().schema().field(0).name().clone();
    assert!(name.starts_with("1 + 1") && name.ends_with('…') && name.chars().count() == 257, "{name}");
}

#[tokio::test]
async fn clauses_that_nobody_would_carry_out_are_refused() {
    let session = gateway().await.session(Principal::new("ann"));
    for sql in [
        "SELECT n_name FROM geo.places.nation PREWHERE n_nationkey = 1",
        "SELECT n_regionkey, count(*) FROM geo.places.nation GROUP BY n_regionkey WITH ROLLUP",
        "SELECT n_regionkey, count(*) FROM geo.places.nation GROUP BY ALL WITH TOTALS",
        "SELECT n_name FROM geo.places.nation START WITH n_nationkey = 1 CONNECT BY PRIOR n_nationkey = n_regionkey",
        "SELECT count(*) FROM geo.places.nation TABLESAMPLE (10 PERCENT)",
        "SELECT count(*) FROM (SELECT 1) t TABLESAMPLE (1 ROWS)",
        "SELECT count(*) FROM geo.places.nation PARTITION (p0)",
        "SELECT value FROM generate_series(1, 2) WITH ORDINALITY",
        "SELECT value FROM LATERAL generate_series(1, 2) WITH ORDINALITY",
        "SELECT n_name FROM geo.places.nation LIMIT 1 SETTINGS max_threads = 1",
        "SELECT n_name FROM geo.places.nation LIMIT 1 BY n_regionkey",
        "SELECT n_name FROM geo.places.nation ORDER BY n_name FETCH FIRST 1 ROW WITH TIES",
        "SELECT * ILIKE 'n_n%' FROM geo.places.nation",
        "SELECT n.* ILIKE 'n_n%' FROM geo.places.nation n",
        "SELECT * RENAME (n_name AS name) FROM geo.places.nation",
        "SELECT n_name INTO names FROM geo.places.nation",
        "SELECT TOP (3) n_name FROM geo.places.nation",
        "SELECT n_name FROM geo.places.nation SORT BY n_name",
        "SELECT * FROM geo.places.nation ORDER BY ALL",
        "SELECT unnest([2, 1]) ORDER BY ALL",
        "SELECT * FROM geo.places.nation PIVOT (count(*) FOR n_regionkey IN (1))",
        "SELECT x, o FROM UNNEST([1, 2]) AS x WITH OFFSET AS o",
        "SELECT n_name FROM geo.places.nation LIMIT 1 FORMAT JSON",
        "SELECT n_name FROM geo.places.nation LIMIT 1 FOR JSON AUTO",
        "SELECT n_name FROM geo.places.nation FOR UPDATE",
        "SELECT sum(0.5)(n_nationkey) FROM geo.places.nation",
        "SELECT 1 FROM geo.places.region WHERE r_name IN (SELECT n_name FROM geo.places.nation PREWHERE n_nationkey = 1)",
        "WITH t AS (SELECT n_name FROM geo.places.nation TABLESAMPLE (10 PERCENT)) SELECT * FROM t",
    ] {
        let error = refused(&session, sql).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
        assert!(
            !sql.contains("ROLLUP")
                || error.context().contains("`WITH ROLLUP`") && error.context().contains("GROUP BY ROLLUP")
        );
    }
    session.prepare("SELECT n_regionkey, count(*) FROM geo.places.nation GROUP BY ROLLUP (n_regionkey)").await.unwrap();
}

#[tokio::test]
async fn a_replaced_column_exists_and_is_named_once() {
    let session = gateway().await.session(Principal::new("ann"));
    for (sql, expected) in [
        ("SELECT * REPLACE (1 AS nope) FROM geo.places.region", "there is no column `nope`; valid columns are r_reg"),
        ("SELECT * REPLACE (1 AS r_nam) FROM geo.places.region", "did you mean `r_name`?"),
        ("SELECT * REPLACE (1 AS R_NAME) FROM geo.places.region", "did you mean `r_name`?"),
        (
            "SELECT r.* REPLACE (1 AS n_name) FROM geo.places.region r CROSS JOIN geo.places.nation n",
            "there is no column `r.n_name`",
        ),
        ("SELECT x FROM (SELECT * REPLACE (x + 1 AS y) FROM (VALUES (7)) t (x)) s", "there is no column `y`"),
        ("SELECT 1 UNION ALL SELECT * REPLACE (2 AS y) FROM (VALUES (7)) t (x)", "there is no column `y`"),
        ("FROM geo.places.region |> SELECT * REPLACE (1 AS nope)", "there is no column `nope`"),
        ("SELECT * REPLACE (1 AS r_name, 2 AS r_name) FROM geo.places.region", "column `r_name` is in REPLACE twice"),
        (
            "SELECT * EXCLUDE (r_name) REPLACE (1 AS r_name) FROM geo.places.region",
            "column `r_name` is in REPLACE, and is left out too",
        ),
    ] {
        let error = refused(&session, sql).await;
        assert!(error.context().contains(expected), "{sql}: {error}");
    }
    for (sql, expected) in [
        ("SELECT * REPLACE (x + 1 AS x) FROM (VALUES (7)) t (x)", "8"),
        ("SELECT t.* REPLACE (x + 1 AS x) FROM (VALUES (7)) t (x)", "8"),
        ("SELECT * EXCLUDE (y) REPLACE (y AS x) FROM (VALUES (7, 9)) t (x, y)", "9"),
        ("FROM (VALUES (7)) t (x) |> SELECT * REPLACE (2 * x AS x)", "14"),
        ("WITH t AS (SELECT * REPLACE (x + 1 AS x) FROM (VALUES (7)) s (x)) SELECT * REPLACE (x + 1 AS x) FROM t", "9"),
    ] {
        assert_eq!(values(&session, sql).await, [expected], "{sql}");
    }
    let many = format!("SELECT {} FROM (VALUES (7)) t (x)", vec!["* REPLACE (1 AS x)"; 17].join(", "));
    assert_eq!(refused(&session, &many).await.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn order_by_all_orders_by_every_column() {
    let session = gateway().await.session(Principal::new("ann"));
    for (sql, expected) in [
        ("SELECT -x, x FROM (VALUES (1), (3), (2)) t (x) ORDER BY ALL", &["-3", "-2", "-1"][..]),
        ("SELECT y FROM (SELECT x, y FROM (VALUES (1, 5), (1, 4), (0, 9)) t (x, y) ORDER BY ALL LIMIT 1) s", &["9"]),
        ("SELECT 2 AS a UNION ALL SELECT 1 UNION ALL SELECT 3 ORDER BY ALL DESC", &["3", "2", "1"]),
    ] {
        assert_eq!(values(&session, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn parameters_have_the_type_that_the_statement_determines() {
    let session = gateway().await.session(Principal::new("ann"));
    let sql = "SELECT CAST($1 AS INT), $2 FROM generate_series(1, 9) t WHERE value < $3 LIMIT $4 OFFSET $5";
    let prepared = session.prepare(sql).await.unwrap();
    let types: Vec<_> = prepared.parameters().fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Int32", "Null", "Int64", "Int64", "Int64"]);
    use datafusion::scalar::ScalarValue;
    let parameters = [Some(7), Some(8), Some(9), Some(2), Some(1)].map(ScalarValue::Int64);
    let rows: Vec<RecordBatch> = prepared.execute(&parameters).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

#[tokio::test]
async fn rows_of_parameters_mean_what_each_means_alone() {
    let session = gateway().await.session(Principal::new("ann"));
    let three = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![5, 5, 7])) as ArrayRef)]).unwrap();
    for (insert, expected) in [
        ("INSERT INTO t SELECT count(*) FROM (VALUES ($1)) v (x)", ["1", "1", "1"].as_slice()),
        ("INSERT INTO t SELECT x FROM (VALUES ($1)) v (x) LIMIT 1", &["5", "5", "7"]),
        ("INSERT INTO t SELECT DISTINCT x FROM (VALUES ($1)) v (x)", &["5", "5", "7"]),
        ("INSERT INTO t SELECT x + 1 FROM (VALUES ($1)) v (x)", &["6", "6", "8"]),
        ("INSERT INTO t VALUES (abs($1))", &["5", "5", "7"]),
    ] {
        changed(&session, "CREATE OR REPLACE TABLE t (n BIGINT)").await;
        let prepared = session.prepare(insert).await.unwrap();
        assert_eq!(prepared.apply(std::slice::from_ref(&three)).await.unwrap(), 3, "{insert}");
        assert_eq!(values(&session, "SELECT n FROM t ORDER BY 1").await, expected, "{insert}");
    }
    // If a statement leaves a type open, either all rows take effect or none.
    changed(&session, "CREATE OR REPLACE TABLE t (n INT, s VARCHAR)").await;
    let insert = session.prepare("INSERT INTO t VALUES ($1, upper($2))").await.unwrap();
    let misfit = rows(vec![Some(1), Some(1 << 40)], vec!["a", "b"]);
    assert_eq!(insert.apply(&[misfit]).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
    assert_eq!(values(&session, "SELECT count(*) FROM t").await, ["0"]);
    assert_eq!(insert.apply(&[rows(vec![Some(1), None], vec!["a", "b"])]).await.unwrap(), 2);
    assert_eq!(values(&session, "SELECT s FROM t ORDER BY 1").await, ["A", "B"]);
    assert_eq!(insert.apply(&[]).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
}

#[tokio::test]
async fn values_are_taken_that_mean_the_same() {
    use arrow::array::{Float64Array, StringArray};
    let session = gateway().await.session(Principal::new("ann"));
    changed(&session, "CREATE TABLE t (r REAL, d DATE)").await;
    let insert = session.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    let rows = |number: f64, day: &str| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("r", Arc::new(Float64Array::from(vec![number; 2]))),
            ("d", Arc::new(StringArray::from(vec![day; 2]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    assert_eq!(insert.apply(&[rows(0.1, "2020-05-05")]).await.unwrap(), 2);
    for wrong in [rows(1e300, "2020-05-05"), rows(0.1, "2020-05-05 10:00:00"), rows(0.1, "today")] {
        assert_eq!(insert.apply(std::slice::from_ref(&wrong)).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
        assert_eq!(insert.apply(&[wrong.slice(0, 1)]).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
    }
    assert_eq!(
        values(&session, "SELECT count(*) FROM t WHERE r = CAST(0.1 AS REAL) AND d = DATE '2020-05-05'").await,
        ["2"]
    );
}

#[tokio::test]
async fn names_and_forms_that_would_mislead_are_refused() {
    let session = gateway().await.session(Principal::new("ann"));
    changed(&session, "CREATE TABLE t (n INT)").await;
    changed(&session, "INSERT INTO t VALUES (1), (2)").await;
    for (sql, kind) in [
        ("UPDATE t SET n = 5 LIMIT 1", ErrorKind::Unsupported),
        ("CREATE TABLE \"t#rows\" (a INT)", ErrorKind::InvalidQuery),
        ("CREATE TABLE u (\"#row\" INT)", ErrorKind::InvalidQuery),
        ("INSERT INTO session.nope VALUES (1)", ErrorKind::NotFound),
    ] {
        let error = refused(&session, sql).await;
        assert_eq!(error.kind(), kind, "{sql}: {}", error.chain());
    }
    assert_eq!(changed(&session, "DROP TABLE IF EXISTS sales.orders.t").await, 0);
    assert_eq!(changed(&session, "INSERT INTO session.t VALUES (3)").await, 1);
    assert_eq!(values(&session, "SELECT n FROM t ORDER BY 1").await, ["1", "2", "3"]);
    assert!(run(&session, "EXPLAIN SELECT 1, 1").await.is_ok());
    // With a current domain, a name of two parts is a product of that domain and a port.
    run(&session, "USE geo").await.unwrap();
    assert_eq!(refused(&session, "DELETE FROM session.t").await.kind(), ErrorKind::NotFound);
    assert_eq!(values(&session, "SELECT count(*) FROM t").await, ["3"]);
}
