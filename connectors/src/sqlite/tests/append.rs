//! Rows that are added.

use std::future::pending;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::*;
use crate::error::ErrorKind;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn ids(values: Vec<i64>) -> RecordBatch {
    batch(vec![("id", Arc::new(Int64Array::from(values)))])
}

fn stream_of(batches: Vec<Result<RecordBatch>>) -> BoxStream<'static, Result<RecordBatch>> {
    stream::iter(batches).boxed()
}

impl File {
    async fn append(&self, columns: &[&str], rows: BoxStream<'static, Result<RecordBatch>>) -> Result<u64> {
        let relation = DatabaseRelation::Table { schema: None, name: "t".to_owned() };
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let context = RunContext { query_id: None, deadline: Instant::now() + Duration::from_secs(5) };
        self.database.append(&relation, &columns, rows, context).await
    }

    async fn count(&self) -> String {
        self.values("SELECT count(*) AS c0 FROM t AS t", DataType::Int64).await.unwrap().concat()
    }
}

#[tokio::test]
async fn rows_are_added_in_one_transaction() {
    let file = File::new("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    assert_eq!(file.append(&["id"], stream_of(vec![Ok(ids(vec![1, 2])), Ok(ids(vec![3]))])).await.unwrap(), 3);
    assert_eq!(file.count().await, "3");
    let error = file.append(&["id"], stream_of(vec![Ok(ids(vec![4])), Ok(ids(vec![1]))])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert_eq!(message(&error), "SQLite `shop`: a row was rejected: UNIQUE constraint failed: t.id");
    let broken = Error::new(ErrorKind::InvalidData, "the upload is broken");
    let error = file.append(&["id"], stream_of(vec![Ok(ids(vec![4])), Err(broken)])).await.unwrap_err();
    assert_eq!(message(&error), "the upload is broken");
    assert_eq!(file.count().await, "3");
}

#[tokio::test]
async fn a_dropped_future_adds_nothing_and_frees_the_lock() {
    let file = File::new("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let endless = stream::iter([Ok(ids(vec![1]))]).chain(stream::once(pending())).boxed();
    drop(tokio::time::timeout(Duration::from_millis(200), file.append(&["id"], endless)).await);
    assert_eq!(file.append(&["id"], stream_of(vec![Ok(ids(vec![2]))])).await.unwrap(), 1);
    assert_eq!(file.count().await, "1");
}

#[tokio::test]
async fn values_are_stored_so_that_they_are_read_again() {
    let file = File::new("CREATE TABLE t (n DECIMAL(20,2), d DATE, s TEXT)");
    let decimals = Decimal128Array::from(vec![Some(110), None]).with_precision_and_scale(20, 2).unwrap();
    let rows = batch(vec![
        ("n", Arc::new(decimals)),
        ("d", Arc::new(Date32Array::from(vec![Some(0), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("007"), None]))),
    ]);
    assert_eq!(file.append(&["n", "d", "s"], stream_of(vec![Ok(rows)])).await.unwrap(), 2);
    let read = |column: &str, data_type| {
        let sql = format!("SELECT t.{column} AS c0 FROM t AS t");
        let file = &file;
        async move { file.values(&sql, data_type).await.unwrap() }
    };
    assert_eq!(read("n", DataType::Decimal128(20, 2)).await, ["1.10", "NULL"]);
    assert_eq!(read("d", DataType::Date32).await, ["1970-01-01", "NULL"]);
    assert_eq!(read("s", DataType::Utf8).await, ["007", "NULL"]);
    let decimals = Decimal128Array::from(vec![1_234_567_890_123_456_789]).with_precision_and_scale(20, 2).unwrap();
    let error = file.append(&["n"], stream_of(vec![Ok(batch(vec![("n", Arc::new(decimals))]))])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(message(&error).starts_with("SQLite `shop`: column `n`: the column stores floating-point"), "{error}");
    assert_eq!(file.count().await, "2");
}

#[tokio::test]
async fn a_table_rejects_what_does_not_fit() {
    let file = File::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE t (id INT REFERENCES p, x REAL NOT NULL CHECK (x > 0)) STRICT; CREATE VIEW v AS SELECT id FROM t",
    );
    let row = |id, x: Option<f64>| {
        let columns: Vec<(&str, ArrayRef)> =
            vec![("id", Arc::new(Int64Array::from(vec![id]))), ("x", Arc::new(Float64Array::from(vec![x])))];
        stream_of(vec![Ok(batch(columns))])
    };
    for (rows, expected) in [
        (row(None, None), "NOT NULL constraint failed: t.x"),
        (row(None, Some(-1.0)), "CHECK constraint failed: x > 0"),
        (row(Some(1), Some(1.0)), "FOREIGN KEY constraint failed"),
    ] {
        let error = file.append(&["id", "x"], rows).await.unwrap_err();
        assert_eq!(
            (error.kind(), message(&error)),
            (ErrorKind::InvalidQuery, format!("SQLite `shop`: a row was rejected: {expected}"))
        );
    }
    let error = file.append(&["y"], stream_of(vec![])).await.unwrap_err();
    assert_eq!(message(&error), "SQLite `shop`: the table `t` has no column `y`");
    let relation = DatabaseRelation::Table { schema: None, name: "v".to_owned() };
    let context = RunContext { query_id: None, deadline: soon() };
    let error = file.database.append(&relation, &["id".to_owned()], stream_of(vec![]), context).await.unwrap_err();
    assert_eq!(message(&error), "SQLite `shop`: expected a table, got `v`, which accepts no rows");
    assert_eq!(file.count().await, "0");
}

#[tokio::test]
async fn a_locked_file_accepts_no_rows() {
    let options = DatabaseOptions { connection_wait: 1, ..DatabaseOptions::default() };
    let file = File::with_options("CREATE TABLE t (id INTEGER)", &options);
    let writer = Connection::open(file.path()).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = file.append(&["id"], stream_of(vec![Ok(ids(vec![1]))])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(message(&error).contains("locked by a writer"), "{error}");
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(file.append(&["id"], stream_of(vec![Ok(ids(vec![1]))])).await.unwrap(), 1);
}
