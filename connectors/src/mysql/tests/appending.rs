//! Rows that are added, and rows that a table does not hold exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::server::{TestServer, server};
use super::{cells, context, read, relation};
use crate::databases::Database;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::MysqlDatabase;

fn stream(batches: Vec<Result<RecordBatch>>) -> BoxStream<'static, Result<RecordBatch>> {
    stream::iter(batches).boxed()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn append(database: &MysqlDatabase, table: &str, batch: RecordBatch) -> Result<u64> {
    let columns: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    database.append(&relation(table), &columns, stream(vec![Ok(batch)]), context()).await
}

async fn count(server: &TestServer, table: &str) -> u64 {
    use mysql_async::prelude::Queryable;
    server.admin().await.query_first(format!("SELECT count(*) FROM {table}")).await.unwrap().unwrap()
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let Some(server) = server().await else { return };
    let database = server
        .database(
            "added",
            "CREATE TABLE t (a BIGINT, b DECIMAL(10,2), c DOUBLE, d VARCHAR(10), e VARBINARY(4), f DATE, g DATETIME(6), \
             h TIMESTAMP(6) NULL, i TIME(6), j TINYINT(1))",
        )
        .await;
    let rows = batch(vec![
        ("a", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(0), None]))),
        (
            "b",
            Arc::new(
                Decimal128Array::from(vec![Some(-1), Some(9_999_999_999), None])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("c", Arc::new(Float64Array::from(vec![Some(-1.5), Some(5e-324), None]))),
        ("d", Arc::new(StringArray::from(vec![Some("it's \\ \0"), Some("é "), None]))),
        ("e", Arc::new(BinaryArray::from(vec![Some(&[0xff_u8, 0][..]), Some(&[]), None]))),
        ("f", Arc::new(Date32Array::from(vec![Some(-1), Some(2_932_896), None]))),
        ("g", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1), None]))),
        (
            "h",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_000_000), Some(1_000_001), None]).with_timezone("UTC"),
            ),
        ),
        ("i", Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), None]))),
        ("j", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
    ]);
    assert_eq!(append(&database, "t", rows).await.unwrap(), 3);
    let wanted = BTreeMap::from([("j".to_owned(), arrow::datatypes::DataType::Boolean)]);
    assert_eq!(
        cells(&read(&database, "t", &wanted).await.unwrap()),
        [
            "-9223372036854775808 | -0.01 | -1.5 | it's \\ \0 | ff00 | 1969-12-31 | 1969-12-31T23:59:59.999999 | \
             1970-01-01T00:00:01Z | 00:00:00 | true",
            "0 | 99999999.99 | 5e-324 | é |  | 9999-12-31 | 1970-01-01T00:00:00.000001 | 1970-01-01T00:00:01.000001Z | \
             23:59:59.999999 | false",
            " |  |  |  |  |  |  |  |  | ",
        ]
    );
    server.wait_until_clean("added").await;
}

#[tokio::test]
async fn many_rows_take_several_statements_of_one_transaction() {
    let Some(server) = server().await else { return };
    let database = server.database("many", "CREATE TABLE t (a BIGINT PRIMARY KEY, b MEDIUMTEXT)").await;
    let some = |from: i64, to: i64, width: usize| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
        let text = "x".repeat(width);
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|_| &text)));
        Ok(batch(vec![("a", numbers), ("b", texts)]))
    };
    let (table, columns) = (relation("t"), ["a".to_owned(), "b".to_owned()]);
    let added = stream(vec![some(0, 2500, 3), some(2500, 2510, 1_000_000), some(2510, 4000, 0)]);
    assert_eq!(database.append(&table, &columns, added, context()).await.unwrap(), 4000);
    assert_eq!(count(&server, "many.t").await, 4000);
    // A late duplicate takes back all rows.
    let error = database.append(&table, &columns, stream(vec![some(5000, 8000, 3), some(10, 11, 1)]), context());
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{error}");
    assert!(error.to_string().contains("Duplicate entry '10'"), "{error}");
    // So does an error of the rows, and a future that is dropped.
    let failing = stream(vec![some(5000, 8000, 3), Err(Error::new(ErrorKind::Cancelled, "the client has left"))]);
    let error = database.append(&table, &columns, failing, context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let endless = stream::iter(vec![some(5000, 8000, 3)]).chain(stream::pending()).boxed();
    let appended = database.append(&table, &columns, endless, context());
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), appended).await.is_err());
    server.wait_until_idle("many").await;
    assert_eq!(count(&server, "many.t").await, 4000);
    server.wait_until_clean("many").await;
}

#[tokio::test]
async fn a_value_that_the_table_would_change_is_refused() {
    let Some(server) = server().await else { return };
    let database = server
        .database(
            "exact",
            "CREATE TABLE t (a TINYINT, b DECIMAL(5,1), c FLOAT, d VARCHAR(3), e CHAR(3), f DATETIME, g TIME(2), \
             h TIMESTAMP NULL, i VARCHAR(9) CHARACTER SET latin1, j ENUM('x'), k BINARY(2), l INT AUTO_INCREMENT PRIMARY KEY, \
             m INT NOT NULL DEFAULT 1 CHECK (m > 0), n YEAR); \
             CREATE TABLE plain (a INT) ENGINE = MyISAM; CREATE VIEW v AS SELECT a FROM t",
        )
        .await;
    let integer = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let micros = |value: i64| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![value])) };
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let tenths: ArrayRef = Arc::new(Decimal128Array::from(vec![125]).with_precision_and_scale(10, 2).unwrap());
    let faults: Vec<(&str, ArrayRef, &str)> = vec![
        ("a", integer(128), "Out of range value for column 'a'"),
        ("b", tenths, "Data truncated for column 'b'"),
        ("c", Arc::new(Float64Array::from(vec![0.1])), "column `c`: it holds numbers of 32 bits, got `0.1`"),
        ("c", Arc::new(Float64Array::from(vec![f64::NAN])), "column `c`: it holds finite numbers only, got `NaN`"),
        ("d", text("abcd"), "Data too long for column 'd'"),
        ("d", text("abc "), "Data truncated for column 'd'"),
        ("e", text("a "), "column `e`: it drops blanks at the end, got `a `"),
        ("f", micros(500_000), "column `f`: it holds 0 digits of a second's fraction"),
        ("g", Arc::new(Time64MicrosecondArray::from(vec![1_000])), "column `g`: it holds 2 digits"),
        ("h", micros(-1_000_000), "Incorrect datetime value"),
        ("i", text("漢"), "Incorrect string value"),
        ("j", text("y"), "column `j`: it is enum('x'), got `y`"),
        ("j", text("1"), "column `j`: it is enum('x'), got `1`"),
        ("n", integer(70), "column `n`: it holds years of four digits, got `70`"),
        ("n", integer(1900), "Out of range value for column 'n'"),
        ("k", Arc::new(BinaryArray::from(vec![&b"a"[..]])), "column `k`: it fills values up to 2 bytes"),
        ("l", null.clone(), "column `l`: it may not be NULL"),
        ("m", null, "column `m`: it may not be NULL"),
        ("m", integer(0), "CONSTRAINT `t.m` failed"),
        ("f", micros(i64::MAX), "column `f`: it has no values"),
    ];
    for (column, values, expected) in faults {
        let error = append(&database, "t", batch(vec![(column, values)])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{column}: {}", error.owner_chain());
        assert!(error.to_string().contains(expected), "{column}: {error}");
    }
    assert_eq!(count(&server, "exact.t").await, 0);
    assert_eq!(append(&database, "t", batch(vec![("l", integer(0))])).await.unwrap(), 1);
    assert_eq!(cells(&read(&database, "v", &BTreeMap::new()).await.unwrap()).len(), 1, "0 is no request for a number");
    for (table, expected) in [("plain", "an engine without transactions"), ("v", "it is a view")] {
        let error = append(&database, table, batch(vec![("a", integer(1))])).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = append(&database, "t", batch(vec![("aa", integer(1))])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
