//! Each type at its ends, and the values that have no Arrow value.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};

use super::server::server;
use super::{cells, read, relation, rows, soon};
use crate::databases::Database;
use crate::error::ErrorKind;

#[tokio::test]
async fn every_type_is_read_at_its_ends() {
    let Some(server) = server().await else { return };
    let database = server
        .database(
            "types",
            "CREATE TABLE n (a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT, d INT UNSIGNED, e BIGINT, f BIGINT UNSIGNED, \
             g DECIMAL(10,2), h DECIMAL(38,10), i DECIMAL(65,30), j FLOAT, k DOUBLE, l YEAR, m BIT(64), n BIT(1)); \
             INSERT INTO n VALUES (-128, 65535, -8388608, 4294967295, -9223372036854775808, 18446744073709551615, \
             -99999999.99, 9999999999999999999999999999.9999999999, \
             -99999999999999999999999999999999999.999999999999999999999999999999, -3.40282e38, 5e-324, 2155, \
             0xFFFFFFFFFFFFFFFF, b'1'), (0, 0, 0, 0, 0, 0, 0, 0.0000000001, 0, 0.1, -0e0, 1901, 0, b'0'), \
             (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL); \
             CREATE TABLE s (a CHAR(4), b VARCHAR(10), c TEXT, d ENUM('b','a'), e SET('x','y'), f JSON, g UUID, h INET6, \
             i VARCHAR(10) CHARACTER SET latin1, j BINARY(3), k BLOB, l DATE, m DATETIME(6), n TIMESTAMP(6) NULL, o TIME(6)); \
             INSERT INTO s VALUES ('a ', 'é ', '', 'b', 'y,x', '{\"k\": [1]}', \
             '123e4567-e89b-12d3-a456-426655440000', '::1', 'ß', 'a', 0xFF00, '9999-12-31', '9999-12-31 23:59:59.999999', \
             '2038-01-19 03:14:07.999999', '23:59:59.999999'), \
             ('', 'A', '漢\\0', 'a', '', 'null', NULL, 'ffff::', '', '', '', '1000-01-01', '1000-01-01 00:00:00', \
             '1970-01-01 00:00:01', '00:00:00')",
        )
        .await;
    let described = database.describe(&relation("n"), &BTreeMap::new(), soon()).await.unwrap();
    let types: Vec<_> = described.columns.iter().map(|column| column.data_type.clone().unwrap()).collect();
    use DataType as T;
    assert_eq!(
        types,
        [
            T::Int8,
            T::UInt16,
            T::Int32,
            T::UInt32,
            T::Int64,
            T::UInt64,
            T::Decimal128(10, 2),
            T::Decimal128(38, 10),
            T::Decimal256(65, 30),
            T::Float32,
            T::Float64,
            T::Int16,
            T::UInt64,
            T::UInt64
        ]
    );
    assert_eq!(
        cells(&read(&database, "n", &BTreeMap::new()).await.unwrap()),
        [
            "-128 | 65535 | -8388608 | 4294967295 | -9223372036854775808 | 18446744073709551615 | -99999999.99 | \
             9999999999999999999999999999.9999999999 | \
             -99999999999999999999999999999999999.999999999999999999999999999999 | -3.40282e38 | 5e-324 | 2155 | \
             18446744073709551615 | 1",
            "0 | 0 | 0 | 0 | 0 | 0 | 0.00 | 0.0000000001 | 0.000000000000000000000000000000 | 0.1 | 0.0 | 1901 | 0 | 0",
            " |  |  |  |  |  |  |  |  |  |  |  |  | ",
        ]
    );
    assert_eq!(
        cells(&read(&database, "s", &BTreeMap::new()).await.unwrap()),
        [
            "a | é | | b | x,y | {\"k\": [1]} | 123e4567-e89b-12d3-a456-426655440000 | ::1 | ß | 610000 | ff00 | 9999-12-31 | \
             9999-12-31T23:59:59.999999 | 2038-01-19T03:14:07.999999Z | 23:59:59.999999"
                .replace("| |", "|  |"),
            "| A | 漢\0 | a |  | null |  | ffff:: |  | 000000 |  | 1000-01-01 | 1000-01-01T00:00:00 | 1970-01-01T00:00:01Z | \
             00:00:00"
                .replacen('|', " |", 1),
        ]
    );
}

#[tokio::test]
async fn a_value_without_an_arrow_value_is_an_error() {
    let Some(server) = server().await else { return };
    let database = server
        .database(
            "faulty",
            "SET sql_mode = ''; CREATE TABLE f (id INT, d DATE, dt DATETIME, t TIME, b TINYINT(1)); \
             INSERT INTO f VALUES (1, '0000-00-00', '2020-00-15 10:00:00', '24:00:00', 5), \
             (2, '2020-00-15', '0000-00-00', '-00:00:01', -1), (3, '2021-02-28', '2021-02-28', '838:59:59', 1)",
        )
        .await;
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let time = DataType::Time64(TimeUnit::Microsecond);
    for (column, data_type, id, expected) in [
        ("d", DataType::Date32, 1, "expected a date of the calendar, got `0000-00-00`"),
        ("d", DataType::Date32, 2, "got `2020-00-15`"),
        ("dt", timestamp.clone(), 1, "expected a date of the calendar with a time, got `2020-00-15 10:00:00.000000`"),
        ("dt", timestamp, 2, "got `0000-00-00`"),
        ("t", time.clone(), 1, "expected a time of day from 00:00:00 to 23:59:59.999999, got `24:00:00.000000`"),
        ("t", time.clone(), 2, "got `-0:00:01.000000`"),
        ("t", time, 3, "got `838:59:59.000000`"),
        ("b", DataType::Boolean, 1, "expected 0 or 1 for false or true, got `5`"),
        ("d", DataType::Int64, 3, "expected a value of the type Int64, got `2021-02-28`"),
    ] {
        let query = format!("SELECT t.{column} AS c0 FROM f AS t WHERE t.id = {id}");
        let error = rows(&database, &query, &[(column, data_type)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(error.to_string().starts_with(&format!("MariaDB `faulty`, column `{column}`: ")), "{error}");
        assert!(error.to_string().ends_with(", got another value"), "{error}");
        assert!(error.owner_chain().contains(expected), "{}", error.owner_chain());
    }
    server.wait_until_clean("faulty").await;
}

#[tokio::test]
async fn other_numbers_than_0_and_1_are_no_booleans_wherever_the_server_reads_them() {
    let Some(server) = server().await else { return };
    let database = server
        .database(
            "flags",
            "CREATE TABLE f (id INT, b TINYINT(1)); INSERT INTO f VALUES (1, 0), (2, 1), (3, NULL), (4, 5)",
        )
        .await;
    let wanted = BTreeMap::from([("b".to_owned(), DataType::Boolean)]);
    let described = database.describe(&relation("f"), &wanted, soon()).await.unwrap();
    let sql = &described.columns[1].sql;
    let columns = [("id", DataType::Int32), ("b", DataType::Boolean)];
    let query = |condition: &str| format!("SELECT t.id AS c0, {sql} AS c1 FROM f AS t WHERE {condition} ORDER BY 1");
    let valid = rows(&database, &query("t.id < 4"), &columns).await.unwrap();
    assert_eq!(cells(&valid), ["1 | false", "2 | true", "3 |"].map(|line| line.replace("3 |", "3 | ")));
    for text in [
        query("TRUE"),
        format!("SELECT q.id AS c0, NULL AS c1 FROM (SELECT t.id, {sql} AS b FROM f AS t) AS q WHERE q.b"),
        format!(
            "SELECT CAST(count(*) AS SIGNED) AS c0, NULL AS c1 FROM (SELECT {sql} AS b FROM f AS t) AS q WHERE NOT q.b"
        ),
    ] {
        let error = rows(&database, &text, &columns).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{text}: {error}");
    }
}
