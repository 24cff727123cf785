//! Ports of this node that are tables of a database: for sessions, prepared statements, other nodes and derived ports,
//! with keys, and when the database fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use portolan_catalog::{Column, Place, PortSource, QuerySource, SourceKind};

use super::*;
use crate::fake_mesh::OwnerPeer;
use crate::server::{plan_local_domain, serve_local_domain};
use crate::{Limits, Session, encode};

fn table(ids: &[i64], names: &[Option<&str>]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap()
}

fn database() -> Arc<FakeDatabase> {
    let people = table(&[1, 2, 3], &[Some("ann"), Some("O'Neil"), None]);
    let orders = table(&[1, 1, 3, 9], &[Some("a"), None, Some("c"), Some("d")]);
    FakeDatabase::new(&[("people", people), ("orders", orders)])
}

fn engine(domain: LocalDomain) -> Engine {
    let limits = Limits { query_timeout: Duration::from_secs(30), ..Limits::default() };
    Engine::builder().cpu_threads(2).limits(limits).local_domain(domain).build().unwrap()
}

/// Returns the rows in the order of their text, with `|` between values.
fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let mut lines = vec![];
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns: Vec<_> = columns.collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines.sort();
    lines
}

async fn rows(session: &Session, sql: &str) -> Result<Vec<String>> {
    let batches: Vec<RecordBatch> = session.sql(sql).await?.try_collect().await?;
    Ok(lines(&batches))
}

async fn gives(session: &Session, sql: &str, expected: &[&str]) {
    assert_eq!(rows(session, sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain())), expected, "{sql}");
}

/// Returns a derived port of the domain.
fn derived(name: &str, text: &str, columns: &[(&str, &str)]) -> Port {
    let column = |(name, logical): &(&str, &str)| {
        let mut column = Column::new(*name);
        column.logical_type = Some((*logical).to_owned());
        column
    };
    let mut port = Port::new(PortRef::new("lab", "p", name)).with_columns(columns.iter().map(column));
    let kind = SourceKind::Query(QuerySource::new(text));
    port.source =
        Some(PortSource { server: String::new(), kind, declared_at: Default::default(), place: Place::default() });
    port
}

const JOINED: &str = "SELECT p.name, count(*) FROM lab.p.people p JOIN lab.p.orders o ON p.id = o.id GROUP BY p.name";

#[tokio::test]
async fn tables_of_one_database_are_joined_there() {
    let database = database();
    let engine = engine(database.domain([]));
    let session = engine.session(Principal::new("bob"));
    gives(&session, JOINED, &["NULL|1", "ann|2"]).await;
    let queries = database.queries();
    assert!(matches!(&queries[..], [sql] if sql.contains("JOIN")), "{queries:?}");
    let received = &engine.metrics().received["lab"];
    assert_eq!((received.rows, received.bytes > 0), (3, true));
    // Each scan is a fragment of its own, and the node does the rest.
    session.set("portolan.placement", "off").unwrap();
    gives(&session, JOINED, &["NULL|1", "ann|2"]).await;
    let queries = database.queries();
    assert!(queries.len() == 2 && !queries.concat().contains("JOIN"), "{queries:?}");
    gives(&session, "SELECT count(*) FROM lab.p.people", &["3"]).await;
    session.reset("portolan.placement").unwrap();
    gives(
        &session,
        "SELECT name FROM lab.p.people WHERE id IN (SELECT id FROM lab.p.orders) AND name LIKE '%n'",
        &["ann"],
    )
    .await;
    gives(&session, "SELECT rows FROM mesh.ports WHERE port = 'people' AND load_error IS NULL", &["3"]).await;
}

#[tokio::test]
async fn explain_shows_the_database() {
    let database = database();
    let session = engine(database.domain([])).session(Principal::new("bob"));
    let sql = "EXPLAIN SELECT upper(name) FROM lab.p.people WHERE id > 1";
    let batches: Vec<RecordBatch> = session.sql(sql).await.unwrap().try_collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    for part in ["lab (sql://lab)", "FROM \"lab\".\"p\".\"people\" AS t", "the test database does not evaluate `upper("]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(database.queries().is_empty());
}

#[tokio::test]
async fn a_prepared_statement_sends_its_values() {
    let database = database();
    let session = engine(database.domain([])).session(Principal::new("bob"));
    let prepared = session.prepare("SELECT id FROM lab.p.people WHERE name = $1").await.unwrap();
    for (name, expected) in [("O'Neil", vec!["2"]), ("ann", vec!["1"]), ("x", vec![])] {
        let stream = prepared.execute(&[ScalarValue::from(name)]).await.unwrap();
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        assert_eq!(lines(&batches), expected);
        let sql = database.queries().concat();
        assert!(sql.contains(&name.replace('\'', "''")), "{sql}");
    }
}

#[tokio::test]
async fn rows_are_added_through_a_port() {
    let database = database();
    let engine = engine(database.domain([]));
    let (ann, bob) = (engine.session(Principal::new("ann")), engine.session(Principal::new("bob")));
    let insert = "INSERT INTO lab.p.people (name, id) SELECT name || '!', id + 10 FROM lab.p.people WHERE id < 3";
    gives(&ann, insert, &["2"]).await;
    gives(&bob, "SELECT id, name FROM lab.p.people WHERE id > 3", &["11|ann!", "12|O'Neil!"]).await;
    assert_eq!(rows(&bob, insert).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_derived_port_reads_the_database() {
    let database = database();
    let counts = derived(
        "counts",
        "SELECT id, count(*) AS orders FROM p.orders GROUP BY id",
        &[("id", "integer"), ("orders", "integer")],
    );
    let engine = engine(database.domain([counts]));
    let session = engine.session(Principal::new("bob"));
    let sql = "SELECT p.id, c.orders FROM lab.p.people p JOIN lab.p.counts c ON p.id = c.id";
    gives(&session, sql, &["1|2", "3|1"]).await;
    let queries = database.queries();
    assert!(queries.concat().contains("GROUP BY"), "{queries:?}");
    // The domain is opened again.
    let domain = database.domain([derived(
        "counts",
        "SELECT id, 7 AS orders FROM p.orders",
        &[("id", "integer"), ("orders", "integer")],
    )]);
    serve_local_domain(&engine, plan_local_domain(&engine, domain));
    gives(&session, sql, &["1|7", "1|7", "3|7"]).await;
}

#[tokio::test]
async fn another_node_reaches_the_database() {
    let database = database();
    let counts = derived(
        "counts",
        "SELECT id, count(*) AS orders FROM p.orders GROUP BY id",
        &[("id", "integer"), ("orders", "integer")],
    );
    let owner = OwnerPeer::of(database.domain([counts]));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    let session = gateway.session(Principal::new("bob"));
    gives(&session, JOINED, &["NULL|1", "ann|2"]).await;
    let queries = database.queries();
    assert!(matches!(&queries[..], [sql] if sql.contains("JOIN")), "{queries:?}");
    gives(&session, "SELECT upper(name) FROM lab.p.people WHERE id = 1", &["ANN"]).await;
    let sql = database.queries().concat();
    assert!(sql.contains("WHERE") && !sql.contains("upper"), "{sql}");
    gives(&session, "SELECT orders FROM lab.p.counts WHERE id = 1", &["2"]).await;
    assert!(!owner.requests().is_empty() && !database.queries().is_empty());
    database.set(Mood::Down);
    let error = rows(&session, JOINED).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(error.chain().contains("PostgreSQL `lab` does not respond"), "{}", error.chain());
}

/// Returns the queries of a join with keys from `count` rows of the session, which is at the node of the database or at a
/// gateway.
async fn with_keys(count: usize, at_gateway: bool) -> Vec<String> {
    let ids: Vec<i64> = (0..250_000).map(|i| i * 7).collect();
    let names: Vec<Option<&str>> = vec![Some("a name of some length, so that the rows are worth cutting"); ids.len()];
    let database = FakeDatabase::new(&[("large", table(&ids, &names))]);
    let engine = if at_gateway {
        let peer = OwnerPeer::of(database.domain([]));
        let gateway = Engine::builder().cpu_threads(2).peer(peer).build().unwrap();
        gateway.refresh().await;
        gateway
    } else {
        engine(database.domain([]))
    };
    let session = engine.session(Principal::new("bob"));
    let create = format!("CREATE TABLE keys AS SELECT value * 7 AS id FROM range({count})");
    rows(&session, &create).await.unwrap();
    let sql = "SELECT count(l.name) FROM lab.p.large l JOIN keys k ON l.id = k.id";
    gives(&session, sql, &[&count.to_string()]).await;
    database.queries()
}

#[tokio::test]
async fn keys_are_listed_in_sql_as_far_as_they_are_few() {
    for at_gateway in [false, true] {
        let few = with_keys(3, at_gateway).await;
        assert!(few.iter().any(|sql| sql.contains("'14'")), "{few:?}");
        // The gateway sends a batch of so many keys, and the node of the database writes them as a list.
        for many in [500, 16_384] {
            let queries = with_keys(many, at_gateway).await;
            let last = format!("'{}'", (many - 1) * 7);
            assert!(queries.iter().any(|sql| sql.contains(&last)), "a query lacks some of {many} keys");
        }
        let all = with_keys(encode::keys::SQL_KEYS + 1, at_gateway).await;
        assert!(all.iter().all(|sql| sql.len() < 1000), "the query lists keys");
    }
}

#[tokio::test]
async fn a_query_stops_at_the_database() {
    let database = database();
    let limits = Limits { query_timeout: Duration::from_millis(500), ..Limits::default() };
    let engine = Engine::builder().cpu_threads(2).limits(limits).local_domain(database.domain([])).build().unwrap();
    let session = engine.session(Principal::new("bob"));
    database.set(Mood::Hangs);
    let error = rows(&session, "SELECT * FROM lab.p.people").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{}", error.chain());
    stopped(&database).await;
    let other = engine.session(Principal::new("bob"));
    let query = rows(&session, "SELECT * FROM lab.p.people");
    let cancel = async {
        while database.running() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        session.cancel();
    };
    let (cancelled, ()) = tokio::join!(query, cancel);
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    stopped(&database).await;
    database.set(Mood::Works);
    gives(&other, "SELECT id FROM lab.p.people WHERE id = 3", &["3"]).await;
}

/// Waits until no result is being read.
async fn stopped(database: &FakeDatabase) {
    let stopped = async {
        while database.running() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), stopped).await.expect("a query is still running");
}

#[tokio::test]
async fn ports_recover_with_their_database() {
    let database = database();
    let mut domain = database.domain([]);
    // A port beside the database.
    let orders = domain.ports.iter_mut().find(|port| port.name.port.as_str() == "orders").unwrap();
    orders.site = None;
    let session = engine(domain).session(Principal::new("bob"));
    database.set(Mood::Down);
    let error = rows(&session, "SELECT * FROM lab.p.people").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert_eq!(error.chain(), "port lab.p.people at sql://lab: PostgreSQL `lab` does not respond");
    gives(&session, "SELECT count(*) FROM lab.p.orders", &["4"]).await;
    database.set(Mood::Works);
    gives(&session, JOINED, &["NULL|1", "ann|2"]).await;
    let queries = database.queries();
    assert!(!queries.last().unwrap().contains("orders"), "{queries:?}");
}
