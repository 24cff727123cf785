//! Columns that the database compares only after a check of their values.

use super::*;
use crate::error::ErrorKind;
use crate::sql::ColumnUsage::{All, Returned};

#[tokio::test]
async fn only_columns_with_values_of_one_class_are_compared() {
    let file = File::new(
        "CREATE TABLE t (i INTEGER, s TEXT, r REAL, f BOOLEAN, d DATE, n DECIMAL(10,2), b BLOB, x STRING);
         INSERT INTO t VALUES (1, 'a', 1.5, 1, '2024-01-01', 1.1, x'00', 'abc'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    );
    let clean = [("i", All), ("s", All), ("r", All), ("f", All), ("d", All), ("n", Returned), ("b", All), ("x", All)];
    assert_eq!(usages(&file.describe("t", &[]).await.unwrap()), clean);
    file.write("INSERT INTO t VALUES ('abc', 'a' || char(0), 'x', 2, '2024-02-30', 1, 'text', 12)");
    let dirty = file.describe("t", &[]).await.unwrap();
    assert!(usages(&dirty).iter().all(|(_, usage)| *usage == Returned), "{:?}", usages(&dirty));
    assert_eq!(dirty.columns[0].sql, "t.\"i\"");
}

#[tokio::test]
async fn a_strict_table_needs_no_check_of_numbers() {
    let file = File::new(
        "CREATE TABLE t (i INT, r REAL, b BLOB, s TEXT, a ANY) STRICT; INSERT INTO t VALUES (1, 1, x'00', 's', 'a')",
    );
    let table = file.describe("t", &[]).await.unwrap();
    assert_eq!(usages(&table), [("i", All), ("r", All), ("b", All), ("s", All), ("a", All)]);
    let checks = file.database.checks.clone();
    let read: Vec<String> = checks.conditions().into_iter().flatten().collect();
    assert_eq!((checks.conditions().len(), read), (5, vec!["s".to_owned(), "a".to_owned()]));
}

#[tokio::test]
async fn a_changed_value_fails_the_query_that_compares_it() {
    let file = File::new("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (1), (2), (3)");
    let table = file.describe("t", &[]).await.unwrap();
    assert_eq!(file.filtered(&table, "t", "q1.c0 > 1").await.unwrap(), ["2", "3"]);
    file.write("INSERT INTO t VALUES (4)");
    assert_eq!(file.filtered(&table, "t", "q1.c0 > 1").await.unwrap(), ["2", "3", "4"]);
    file.write("INSERT INTO t VALUES ('abc')");
    // SQLite holds a text to be greater than each number.
    let error = file.filtered(&table, "t", "q1.c0 > 3").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(message(&error).contains("column `i` has changed since its values were checked"), "{error}");
    // A query that only returns the column reads it, and finds the value.
    let error = file.values(&format!("SELECT {} AS c0 FROM \"t\" AS t", table.columns[0].sql), DataType::Int64).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidData);
    let table = file.describe("t", &[]).await.unwrap();
    assert_eq!(usages(&table), [("i", Returned)]);
    file.write("DELETE FROM t WHERE typeof(i) = 'text'");
    let table = file.describe("t", &[]).await.unwrap();
    assert_eq!(file.filtered(&table, "t", "q1.c0 > 3").await.unwrap(), ["4"]);
}

#[tokio::test]
async fn a_changed_table_fails_the_query_that_compares_it() {
    let file = File::new("CREATE TABLE t (i INT) STRICT; INSERT INTO t VALUES (1)");
    let table = file.describe("t", &[]).await.unwrap();
    file.write("CREATE TABLE other (x)");
    assert_eq!(file.filtered(&table, "t", "q1.c0 > 0").await.unwrap(), ["1"]);
    file.write("DROP TABLE t; CREATE TABLE t (i INT); INSERT INTO t VALUES (1)");
    let error = file.filtered(&table, "t", "q1.c0 > 0").await.unwrap_err();
    assert!(message(&error).contains("column `i` has changed"), "{error}");
    file.write("DROP TABLE t; CREATE TABLE t (x INT)");
    let error = file.filtered(&table, "t", "q1.c0 > 0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
}

/// Describes a column of timestamps with these values, and returns what it has for comparisons.
async fn timestamps(declared: &str, values: &str) -> (File, DescribedTable) {
    let file = File::new(&format!("CREATE TABLE t (z {declared}); INSERT INTO t VALUES {values}"));
    let table = file.describe("t", &[("z", MICROS)]).await.unwrap();
    (file, table)
}

#[tokio::test]
async fn timestamps_compare_in_each_uniform_form() {
    for (declared, values) in [
        ("DATETIME", "('2024-01-01 10:00:00'), ('2024-01-01 10:00:01'), ('2024-01-01 10:00:00.500')"),
        ("TEXT", "('2024-01-01 10:00:00.000'), ('2024-01-01 10:00:01.000000'), ('2024-01-01 10:00:00.500000')"),
        ("TIMESTAMP", "('2024-01-01T10:00:00'), ('2024-01-01T10:00:01.000'), ('2024-01-01T10:00:00.500')"),
        ("", "('2024-01-01T10:00:00.000Z'), ('2024-01-01T10:00:01Z'), ('2024-01-01T10:00:00.500Z')"),
        (
            "REAL",
            "(julianday('2024-01-01 10:00:00')), (julianday('2024-01-01 10:00:01')), (julianday('2024-01-01 10:00:00.500'))",
        ),
    ] {
        let (file, table) = timestamps(declared, values).await;
        assert_eq!(usages(&table), [("z", All)], "{declared}");
        for (condition, expected) in [
            ("q1.c0 = '2024-01-01 10:00:00'", vec!["2024-01-01T10:00:00"]),
            ("q1.c0 > '2024-01-01 10:00:00.499999'", vec!["2024-01-01T10:00:01", "2024-01-01T10:00:00.500"]),
            ("q1.c0 = '2024-01-01 10:00:00.500'", vec!["2024-01-01T10:00:00.500"]),
            ("q1.c0 < '2024-01-01 10:00:00.500'", vec!["2024-01-01T10:00:00"]),
        ] {
            let rows = file.filtered(&table, "t", condition).await.unwrap();
            assert_eq!(rows, expected, "{declared} {condition}");
        }
    }
    let (file, table) = timestamps("INTEGER", "(1704103200), (1704103201), (-1)").await;
    assert_eq!(usages(&table), [("z", All)]);
    assert_eq!(
        file.filtered(&table, "t", "q1.c0 < '2024-01-01 10:00:01'").await.unwrap(),
        ["2024-01-01T10:00:00", "1969-12-31T23:59:59"]
    );
}

#[tokio::test]
async fn timestamps_in_several_forms_are_only_returned() {
    for (values, expected) in [
        ("('2024-01-01 10:00:00'), ('2024-01-01T10:00:00')", vec!["2024-01-01T10:00:00", "2024-01-01T10:00:00"]),
        ("('2024-01-01'), ('2024-01-01 10:00')", vec!["2024-01-01T00:00:00", "2024-01-01T10:00:00"]),
        ("('2024-01-01T10:00:00+02:00')", vec!["2024-01-01T08:00:00"]),
    ] {
        let (file, table) = timestamps("DATETIME", values).await;
        assert_eq!(usages(&table), [("z", Returned)], "{values}");
        let sql = format!("SELECT {} AS c0 FROM \"t\" AS t", table.columns[0].sql);
        assert_eq!(file.values(&sql, MICROS).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn converted_values_are_never_hidden() {
    for (declared, data_type, value) in [
        ("INTEGER", DataType::Date32, "86401"),
        ("INTEGER", DataType::Date32, "'2024-01-01'"),
        ("INTEGER", MICROS, "1704103200000"),
        ("INTEGER", MICROS, "1.5"),
        ("REAL", DataType::Date32, "2460000.75"),
        ("REAL", MICROS, "5373484.49999"),
        ("REAL", MICROS, "'2024-01-01 00:00:00'"),
    ] {
        let file = File::new(&format!("CREATE TABLE t (z {declared}); INSERT INTO t VALUES ({value})"));
        let table = file.describe("t", &[("z", data_type.clone())]).await.unwrap();
        assert_eq!(usages(&table), [("z", Returned)], "{value}");
        let sql = format!("SELECT {} AS c0 FROM \"t\" AS t", table.columns[0].sql);
        let error = file.values(&sql, data_type).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{value}");
    }
}

#[tokio::test]
async fn text_compares_by_its_bytes() {
    let file = File::new(
        "CREATE TABLE t (s TEXT COLLATE NOCASE); INSERT INTO t VALUES ('a'), ('A'), ('a ');
         CREATE TABLE n (s STRING); INSERT INTO n VALUES ('!x'), ('abc')",
    );
    let table = file.describe("t", &[]).await.unwrap();
    assert_eq!(file.filtered(&table, "t", "q1.c0 = 'a'").await.unwrap(), ["a"]);
    let grouped = format!(
        "SELECT count(*) FROM (SELECT DISTINCT q1.c0 FROM (SELECT {} AS c0 FROM \"t\" AS t) AS q1) AS q2",
        table.columns[0].sql
    );
    assert_eq!(file.values(&grouped, DataType::Int64).await.unwrap(), ["3"]);
    // The declared type would make a number of the literal, and each number is smaller than each text.
    let table = file.describe("n", &[]).await.unwrap();
    assert_eq!(file.filtered(&table, "n", "q1.c0 < '12'").await.unwrap(), ["!x"]);
}

#[tokio::test]
async fn other_encodings_are_only_returned() {
    let file =
        File::new("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (s TEXT, i INTEGER); INSERT INTO t VALUES ('é', 1)");
    let table = file.describe("t", &[]).await.unwrap();
    assert_eq!(usages(&table), [("s", Returned), ("i", Returned)]);
    assert_eq!(file.values("SELECT t.\"s\" AS c0 FROM t AS t", DataType::Utf8).await.unwrap(), ["é"]);
}
