//! Streams of rows: batches, snapshots, and the end of a query that nobody reads any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use futures::{StreamExt, TryStreamExt};

use super::server::server;
use super::{cells, context, read, relation, rows, schema, soon};
use crate::databases::{Database, RunContext};
use crate::error::ErrorKind;
use crate::sql::SqlQuery;

/// A query that returns its first rows at once, and does not end for minutes.
const LONG: &str =
    "SELECT CAST(a.seq AS SIGNED) AS c0 FROM seq_1_to_1000000 AS a JOIN seq_1_to_1000000 AS b ON a.seq + b.seq > 0";

#[tokio::test]
async fn rows_come_in_batches() {
    let Some(server) = server().await else { return };
    let database = server.database("batches", "CREATE TABLE t (id INT)").await;
    let numbers = rows(&database, "SELECT CAST(seq AS SIGNED) AS c0 FROM seq_1_to_20000", &[("id", DataType::Int64)]);
    let numbers = numbers.await.unwrap();
    assert_eq!(numbers.iter().map(|batch| batch.num_rows()).collect::<Vec<_>>(), [8192, 8192, 3616]);
    assert_eq!(numbers[2].column(0).as_primitive::<Int64Type>().value(3615), 20_000);
    let wide = "SELECT CAST(seq AS SIGNED) AS c0, repeat('x', 100000) AS c1 FROM seq_1_to_100";
    let wide = rows(&database, wide, &[("id", DataType::Int64), ("text", DataType::Utf8)]).await.unwrap();
    assert!(wide.len() > 1, "a batch has a bounded number of bytes");
    assert_eq!(wide.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100);
    let empty = rows(&database, "SELECT id AS c0 FROM t", &[("id", DataType::Int32)]).await.unwrap();
    assert_eq!(empty.len(), 0);
    let without_columns = rows(&database, "SELECT 1 AS c0 FROM seq_1_to_5", &[]).await.unwrap();
    assert_eq!(without_columns[0].num_rows(), 5);
    server.wait_until_clean("batches").await;
}

#[tokio::test]
async fn a_dropped_stream_stops_the_query() {
    let Some(server) = server().await else { return };
    let database = server.database("dropped", "CREATE TABLE t (id INT)").await;
    for read_first in [true, false] {
        let columns = schema(&[("n", DataType::Int64)]);
        let mut stream = database.query(SqlQuery::whole(LONG), columns, context()).await.unwrap();
        if read_first {
            assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 8192);
        }
        let running = server.running("dropped").await;
        assert_eq!(running.len(), 1, "{running:?}");
        assert!(running[0].starts_with("/* portolan 7b-1 */ SELECT"), "{running:?}");
        drop(stream);
        server.wait_until_idle("dropped").await;
    }
    // A query that has not returned a row yet.
    let quiet = "SELECT CAST(count(*) AS SIGNED) AS c0 FROM seq_1_to_1000000 AS a JOIN seq_1_to_1000000 AS b";
    let waiting = rows(&database, quiet, &[("n", DataType::Int64)]);
    assert!(tokio::time::timeout(Duration::from_millis(500), waiting).await.is_err());
    server.wait_until_idle("dropped").await;
    server.wait_until_clean("dropped").await;
    let again = rows(&database, "SELECT 1 AS c0", &[("n", DataType::Int64)]).await.unwrap();
    assert_eq!(cells(&again), ["1"]);
}

#[tokio::test]
async fn a_query_ends_at_its_deadline() {
    let Some(server) = server().await else { return };
    let database = server.database("late", "CREATE TABLE t (id INT)").await;
    for text in [LONG, "SELECT CAST(count(*) AS SIGNED) AS c0 FROM seq_1_to_1000000 AS a JOIN seq_1_to_1000000 AS b"] {
        let start = Instant::now();
        let context = RunContext { query_id: None, deadline: start + Duration::from_millis(700) };
        let error = async {
            let columns = schema(&[("n", DataType::Int64)]);
            database.query(SqlQuery::whole(text), columns, context).await?.try_for_each(|_| async { Ok(()) }).await
        };
        let error = error.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        server.wait_until_idle("late").await;
    }
}

#[tokio::test]
async fn a_query_reads_one_snapshot_and_changes_nothing() {
    let Some(server) = server().await else { return };
    let database =
        server.database("snapshots", "CREATE TABLE t (id INT); INSERT INTO t SELECT seq FROM seq_1_to_50000").await;
    let columns = schema(&[("id", DataType::Int32)]);
    let text = "SELECT a.id AS c0 FROM t AS a";
    let mut stream = database.query(SqlQuery::whole(text), columns, context()).await.unwrap();
    let first = stream.next().await.unwrap().unwrap().num_rows();
    server.run("DELETE FROM snapshots.t").await;
    let rest: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(first + rest.iter().map(|batch| batch.num_rows()).sum::<usize>(), 50_000);
    assert_eq!(read(&database, "t", &BTreeMap::new()).await.unwrap().len(), 0);
    let error = rows(&database, "INSERT INTO t VALUES (1)", &[("n", DataType::Int64)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{}", error.owner_chain());
}

#[tokio::test]
async fn settings_of_the_server_do_not_change_the_meaning_of_queries() {
    let Some(server) = server().await else { return };
    server
        .run(
            "SET GLOBAL sql_select_limit = 3; SET GLOBAL time_zone = '+05:00'; \
             SET GLOBAL tx_isolation = 'READ-UNCOMMITTED'; SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'",
        )
        .await;
    let database = server
        .database(
            "settings",
            "CREATE TABLE t (c CHAR(5), s TIMESTAMP NULL); SET time_zone = '+00:00'; \
                   INSERT INTO t VALUES ('a', '2020-01-01 00:00:00')",
        )
        .await;
    let found = read(&database, "t", &BTreeMap::new()).await;
    let many = rows(&database, "SELECT CAST(seq AS SIGNED) AS c0 FROM seq_1_to_10", &[("n", DataType::Int64)]).await;
    server
        .run(
            "SET GLOBAL sql_select_limit = DEFAULT; SET GLOBAL time_zone = SYSTEM; \
             SET GLOBAL tx_isolation = 'REPEATABLE-READ'; SET GLOBAL sql_mode = DEFAULT",
        )
        .await;
    assert_eq!(cells(&found.unwrap()), ["a | 2020-01-01T00:00:00Z"]);
    assert_eq!(many.unwrap()[0].num_rows(), 10);
    let database = server.open("settings", |_| ()).unwrap();
    let text = "SELECT 'a\\' || 'b' AS c0, CAST(\"c\" = 'A' COLLATE utf8mb4_nopad_bin AS SIGNED) AS c1 FROM t";
    let found = rows(&database, text, &[("text", DataType::Utf8), ("n", DataType::Int64)]).await.unwrap();
    assert_eq!(cells(&found), ["a\\b | 0"]);
}

#[tokio::test]
async fn the_servers_plan_estimates_rows() {
    let Some(server) = server().await else { return };
    let database = server
        .database(
            "estimates",
            "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_1000; \
                   ANALYZE TABLE t",
        )
        .await;
    let estimate = |text: &'static str| {
        let database = &database;
        async move { database.estimate(&SqlQuery::whole(text), context()).await.unwrap().rows }
    };
    assert_eq!(estimate("SELECT q1.c0 FROM (SELECT t.id AS c0 FROM t AS t) AS q1 WHERE q1.c0 = 5").await, Some(1));
    let all = estimate("SELECT q1.c0 FROM (SELECT t.id AS c0 FROM t AS t) AS q1").await.unwrap();
    assert!((900..=1100).contains(&all), "{all}");
    assert_eq!(estimate("SELECT count(*) AS c0 FROM t").await, None);
    let statistics = {
        let described = database.describe(&relation("t"), &BTreeMap::new(), soon()).await.unwrap();
        database.statistics(&relation("t"), &described, soon()).await.unwrap()
    };
    let id = &statistics.columns["id"];
    use portolan_catalog::StatisticValue as S;
    assert_eq!((id.min.clone(), id.max.clone()), (Some(S::Number(1.0)), Some(S::Number(1000.0))));
    assert!(statistics.rows.is_some_and(|rows| (900..=1100).contains(&rows)), "{statistics:?}");
}

#[tokio::test]
async fn a_footprint_changes_with_the_data() {
    let Some(server) = server().await else { return };
    let database = server.database("footprints", "CREATE TABLE t (id INT); INSERT INTO t VALUES (1)").await;
    assert_eq!(database.footprint(&relation("t"), soon()).await, None, "the last change was a moment ago");
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let before = database.footprint(&relation("t"), soon()).await.unwrap();
    assert_eq!(database.footprint(&relation("t"), soon()).await, Some(before.clone()));
    server.run("UPDATE footprints.t SET id = 2").await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_ne!(database.footprint(&relation("t"), soon()).await.unwrap().version, before.version);
}
