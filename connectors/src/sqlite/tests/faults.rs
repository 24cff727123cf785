//! Files that are missing, damaged, locked or replaced, and queries that are stopped.

use futures::StreamExt;

use super::*;
use crate::error::ErrorKind;

/// A query that runs for hours.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c0 FROM n";
/// A query with endless rows.
const ROWS: &str = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i AS c0 FROM n";

async fn fault(database: &SqliteDatabase) -> Error {
    database.tables(None, soon()).await.unwrap_err()
}

#[tokio::test]
async fn a_file_that_is_no_database_has_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path().join("missing.db"), &DatabaseOptions::default());
    let error = fault(&database).await;
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert_eq!(message(&error), "SQLite `shop`: the file does not exist");
    assert!(error.owner_chain().contains("missing.db"));
    assert!(!folder.path().join("missing.db").exists());
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "no database, but long enough for a header: ".repeat(50)).unwrap();
    let error = fault(&open(path, &DatabaseOptions::default())).await;
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(message(&error), "SQLite `shop`: the file is not a SQLite database, or it is encrypted");
    let error = fault(&open(folder.path().to_owned(), &DatabaseOptions::default())).await;
    assert_eq!(message(&error), "SQLite `shop`: expected a file, got a folder");
}

#[tokio::test]
async fn a_file_recovers_and_may_be_replaced() {
    let file = File::new("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (1)");
    let sql = "SELECT t.i AS c0 FROM t AS t";
    assert_eq!(file.values(sql, DataType::Int64).await.unwrap(), ["1"]);
    let other = File::new("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (2)");
    std::fs::rename(other.path(), file.path()).unwrap();
    assert_eq!(file.values(sql, DataType::Int64).await.unwrap(), ["2"]);
    std::fs::remove_file(file.path()).unwrap();
    let error = file.values(sql, DataType::Int64).await.unwrap_err();
    assert_eq!(message(&error), "SQLite `shop`: the file does not exist");
    file.write("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (3)");
    assert_eq!(file.values(sql, DataType::Int64).await.unwrap(), ["3"]);
}

#[tokio::test]
async fn a_locked_file_is_waited_for() {
    let options = DatabaseOptions { connection_wait: 1, ..DatabaseOptions::default() };
    let file = File::with_options("CREATE TABLE t (i INTEGER)", &options);
    let writer = Connection::open(file.path()).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let sql = "SELECT t.i AS c0 FROM t AS t";
    let error = file.values(sql, DataType::Int64).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(message(&error).contains("locked by a writer for more than 1 s"), "{error}");
    assert!(error.retry_after().is_some());
    let late = file.rows_until(sql, &[("i", DataType::Int64)], Instant::now() + Duration::from_millis(100)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    writer.execute_batch("COMMIT").unwrap();
    assert!(file.values(sql, DataType::Int64).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_write_ahead_log_is_read() {
    let file = File::new("PRAGMA journal_mode = WAL; CREATE TABLE t (i INTEGER)");
    let writer = Connection::open(file.path()).unwrap();
    let relation = DatabaseRelation::Table { schema: None, name: "t".to_owned() };
    let before = file.database.footprint(&relation, soon()).await.unwrap();
    writer.execute_batch("INSERT INTO t VALUES (7)").unwrap();
    assert_eq!(file.values("SELECT t.i AS c0 FROM t AS t", DataType::Int64).await.unwrap(), ["7"]);
    let after = file.database.footprint(&relation, soon()).await.unwrap();
    assert_ne!(before.version, after.version);
    assert!(after.bytes > before.bytes);
    // A writer in the middle of a transaction does not stop readers.
    writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (8)").unwrap();
    assert_eq!(file.values("SELECT t.i AS c0 FROM t AS t", DataType::Int64).await.unwrap(), ["7"]);
}

#[tokio::test]
async fn a_query_ends_at_its_deadline() {
    let file = File::new("CREATE TABLE t (i INTEGER)");
    let started = Instant::now();
    let deadline = started + Duration::from_millis(300);
    let error = file.rows_until(ENDLESS, &[("n", DataType::Int64)], deadline).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(5));
    // A receiver that does not read does not keep the thread.
    let context = RunContext { query_id: None, deadline: Instant::now() + Duration::from_millis(300) };
    let columns = schema(&[("n", DataType::Int64)]);
    let rows = file.database.query(SqlQuery::whole(ROWS), columns, context).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let read: Result<Vec<RecordBatch>> = rows.try_collect().await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
}

#[tokio::test]
async fn a_dropped_stream_frees_its_connection() {
    let options = DatabaseOptions { connections: 1, connection_wait: 5, ..DatabaseOptions::default() };
    let file = File::with_options("CREATE TABLE t (i INTEGER)", &options);
    for sql in [ENDLESS, ROWS] {
        let context = RunContext { query_id: None, deadline: soon() };
        let mut rows =
            file.database.query(SqlQuery::whole(sql), schema(&[("n", DataType::Int64)]), context).await.unwrap();
        drop(tokio::time::timeout(Duration::from_millis(100), rows.next()).await);
        drop(rows);
        assert_eq!(file.values("SELECT 1 AS c0", DataType::Int64).await.unwrap(), ["1"]);
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let options = DatabaseOptions { connections: 1, connection_wait: 0, ..DatabaseOptions::default() };
    let file = File::with_options("CREATE TABLE t (i INTEGER)", &options);
    let context = RunContext { query_id: None, deadline: soon() };
    let rows = file.database.query(SqlQuery::whole(ROWS), schema(&[("n", DataType::Int64)]), context).await.unwrap();
    let error = file.values("SELECT 1 AS c0", DataType::Int64).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(message(&error).contains("`sources.shop.database.connections`"), "{error}");
    drop(rows);
}

#[tokio::test]
async fn a_query_reads_and_nothing_else() {
    let file = File::new("CREATE TABLE t (i INTEGER)");
    for sql in [
        "ATTACH ':memory:' AS x",
        "INSERT INTO t VALUES (1) RETURNING i",
        "CREATE TEMP TABLE x (i)",
        "PRAGMA query_only = 0",
        "PRAGMA trusted_schema = 1",
        "SELECT load_extension('x')",
        "VACUUM INTO 'x'",
    ] {
        let error = file.values(sql, DataType::Int64).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_query_may_have_long_lists() {
    let file = File::new("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (99999)");
    let list: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
    let sql = format!("SELECT t.i AS c0 FROM t AS t WHERE t.i IN ({})", list.join(", "));
    assert_eq!(file.values(&sql, DataType::Int64).await.unwrap(), ["99999"]);
}

#[tokio::test]
async fn an_error_shows_no_values() {
    let file = File::new("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES ('secret')");
    let error = file.values("SELECT t.i AS c0 FROM t AS t WHERE t.i = 'secret'", DataType::Int64).await.unwrap_err();
    assert!(!error.owner_chain().contains("secret"), "{error}");
    let error = file.values("SELECT t.missing AS c0 FROM t AS t WHERE t.i = 'secret'", DataType::Int64).await;
    let error = error.unwrap_err();
    assert!(
        !error.owner_chain().contains("secret") && message(&error).contains("no such column: t.missing"),
        "{error}"
    );
}
