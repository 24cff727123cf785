//! Each type with its extremes, NULL, and the values of another storage class that a column may hold.

use super::*;
use crate::error::ErrorKind;

/// Reads one value, written as SQL.
async fn read(value: &str, data_type: DataType) -> std::result::Result<String, String> {
    let file = File::new("CREATE TABLE one (x); INSERT INTO one VALUES (NULL)");
    let sql = format!("SELECT {value} AS c0 FROM one AS t");
    match file.values(&sql, data_type).await {
        Ok(values) => Ok(values.join(",")),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{value}: {error}");
            let text = message(&error);
            let text = text.strip_prefix("SQLite `shop`: column `x`: expected ").unwrap().to_owned();
            Err(text.split("; correct the value").next().unwrap().to_owned())
        }
    }
}

fn ok(text: &str) -> std::result::Result<String, String> {
    Ok(text.to_owned())
}

fn fault(text: &str) -> std::result::Result<String, String> {
    Err(text.to_owned())
}

#[tokio::test]
async fn integers_are_integers_in_range() {
    use DataType as T;
    assert_eq!(read("9223372036854775807", T::Int64).await, ok("9223372036854775807"));
    assert_eq!(read("-9223372036854775808", T::Int64).await, ok("-9223372036854775808"));
    assert_eq!(read("9223372036854775808", T::Int64).await, fault("an integer, got a floating-point number"));
    assert_eq!(read("1.0", T::Int64).await, fault("an integer, got a floating-point number"));
    assert_eq!(read("'1'", T::Int64).await, fault("an integer, got text"));
    assert_eq!(read("x'31'", T::Int64).await, fault("an integer, got a blob"));
    assert_eq!(read("NULL", T::Int64).await, ok("NULL"));
    assert_eq!(read("2147483647", T::Int32).await, ok("2147483647"));
    assert_eq!(
        read("2147483648", T::Int32).await,
        fault("an integer in the range of Int32, got an integer out of range")
    );
    assert_eq!(read("-1", T::UInt64).await, fault("an integer in the range of UInt64, got an integer out of range"));
}

#[tokio::test]
async fn floats_hold_integers_that_are_equal() {
    use DataType as T;
    assert_eq!(read("1.5", T::Float64).await, ok("1.5"));
    assert_eq!(read("9e999", T::Float64).await, ok("inf"));
    assert_eq!(read("9007199254740992", T::Float64).await, ok("9007199254740992.0"));
    assert_eq!(
        read("9007199254740993", T::Float64).await,
        fault("a floating-point number, got an integer that none is equal to")
    );
    assert_eq!(read("'1.5'", T::Float64).await, fault("a floating-point number, got text"));
    assert_eq!(read("0.5", T::Float32).await, ok("0.5"));
    assert_eq!(read("0.1", T::Float32).await, fault("a number of 32 bits, got one of 64 bits"));
}

#[tokio::test]
async fn text_and_blobs_are_not_mixed() {
    use DataType as T;
    assert_eq!(read("'é' || char(0) || 'b'", T::Utf8).await, ok("é\0b"));
    assert_eq!(read("''", T::Utf8).await, ok(""));
    assert_eq!(read("1", T::Utf8).await, fault("text, got an integer"));
    assert_eq!(read("CAST(x'ff' AS TEXT)", T::Utf8).await, fault("text, got text that is not valid UTF-8"));
    assert_eq!(read("x'00ff'", T::Binary).await, ok("00ff"));
    assert_eq!(read("x''", T::Binary).await, ok(""));
    assert_eq!(read("'a'", T::Binary).await, fault("a blob, got text"));
    assert_eq!(read("'a'", T::Utf8View).await, ok("a"));
}

#[tokio::test]
async fn booleans_are_zero_and_one() {
    let read = |value| read(value, DataType::Boolean);
    assert_eq!(read("1").await, ok("true"));
    assert_eq!(read("FALSE").await, ok("false"));
    assert_eq!(read("2").await, fault("0 or 1, got another integer"));
    assert_eq!(read("'true'").await, fault("0 or 1, got text"));
    assert_eq!(read("1.0").await, fault("0 or 1, got a floating-point number"));
}

#[tokio::test]
async fn decimals_are_exact_or_refused() {
    let read = |value| read(value, DataType::Decimal128(10, 2));
    assert_eq!(read("1.1").await, ok("1.10"));
    assert_eq!(read("'99999999.99'").await, ok("99999999.99"));
    assert_eq!(read("-3").await, ok("-3.00"));
    let digits = "a decimal number with at most 10 digits, 2 of them after the point, got";
    assert_eq!(read("0.1 + 0.2").await, fault(&format!("{digits} a floating-point number with more digits")));
    assert_eq!(read("100000000").await, fault(&format!("{digits} an integer with more digits")));
    assert_eq!(read("'1.005'").await, fault(&format!("{digits} other text")));
    assert_eq!(read("x'31'").await, fault(&format!("{digits} a blob")));
}

#[tokio::test]
async fn dates_and_times_are_text() {
    use DataType as T;
    assert_eq!(read("'2024-02-29'", T::Date32).await, ok("2024-02-29"));
    let date = "a date as text, `YYYY-MM-DD`, got";
    assert_eq!(read("'2023-02-29'", T::Date32).await, fault(&format!("{date} other text")));
    assert_eq!(read("2460000", T::Date32).await, fault(&format!("{date} an integer")));
    assert_eq!(read("2460000.5", T::Date32).await, fault(&format!("{date} a floating-point number")));
    assert_eq!(read("'2024-01-01T10:00:00.5Z'", MICROS).await, ok("2024-01-01T10:00:00.500"));
    assert_eq!(read("'2024-01-01T10:00:00+02:00'", MICROS).await, ok("2024-01-01T08:00:00"));
    assert_eq!(read("'9999-12-31 23:59:59.999999'", MICROS).await, ok("9999-12-31T23:59:59.999999"));
    let timestamp = "a timestamp as text, `YYYY-MM-DD HH:MM:SS`, got";
    assert_eq!(
        read("'2024-01-01 10:00:00.1234567'", MICROS).await,
        fault(&format!("{timestamp} more digits of the second than the type has"))
    );
    assert_eq!(read("1700000000", MICROS).await, fault(&format!("{timestamp} an integer")));
    let time = T::Time64(TimeUnit::Microsecond);
    assert_eq!(read("'23:59:59.999999'", time.clone()).await, ok("23:59:59.999999"));
    assert_eq!(read("'24:00:00'", time).await, fault("a time of day as text, `HH:MM:SS`, got other text"));
}

#[tokio::test]
async fn a_query_without_columns_counts_rows() {
    let file = File::new("CREATE TABLE t (a); INSERT INTO t VALUES (1), (NULL), ('x')");
    let batches = file.rows("SELECT 1 AS c0 FROM t AS t", &[]).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

#[tokio::test]
async fn many_rows_come_in_batches() {
    let file = File::new(
        "CREATE TABLE t (a INTEGER); WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO t SELECT i FROM n",
    );
    let batches = file.rows("SELECT t.a AS c0 FROM t AS t", &[("a", DataType::Int64)]).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [8192, 8192, 3616]);
}

#[tokio::test]
async fn an_unsupported_type_is_refused() {
    let file = File::new("CREATE TABLE t (a)");
    let list = DataType::new_list(DataType::Int64, true);
    let error = file.values("SELECT 1", list).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(message(&error).starts_with("SQLite `shop`: column `x`: SQLite has no values of type List"), "{error}");
}
