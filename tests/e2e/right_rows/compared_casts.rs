//! A comparison of a cast with a literal compares the values of the cast, not those of its operand.

use std::sync::Arc;

use arrow::array::{Decimal128Array, Int64Array, TimestampMicrosecondArray};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

/// 2024-01-01 in microseconds.
const NEW_YEAR: i64 = 1_704_067_200_000_000;
const HOUR: i64 = 3_600_000_000;

/// Rows in the east; the west has their ids.
///
/// | id | price       | n       | at                  | zoned: the clock two hours east of Greenwich |
/// |----|-------------|---------|---------------------|------------------------------------------|
/// | 1  | 8.79        | 3       | 2024-01-01 00:00:00 | 2024-01-01 00:00:00                      |
/// | 2  | 0.07        | 100000  | 2024-01-01 02:00:00 | 2024-01-01 02:00:00                      |
/// | 3  | 12345678.91 | -100000 | 2023-12-31 22:00:00 | 2023-12-31 22:00:00                      |
/// | 4  | NULL        | NULL    | NULL                | NULL                                     |
/// | 5  | 10.00       | 4       | 2024-01-01 00:00:00 | 2024-01-01 00:00:00                      |
async fn ways() -> Ways {
    let prices = Decimal128Array::from(vec![Some(879), Some(7), Some(1_234_567_891), None, Some(1_000)]);
    let clock = [Some(NEW_YEAR), Some(NEW_YEAR + 2 * HOUR), Some(NEW_YEAR - 2 * HOUR), None, Some(NEW_YEAR)];
    let instants = clock.map(|at| Some(at? - 2 * HOUR));
    let ids = || Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
    let east = table(vec![
        ("id", ids()),
        ("price", Arc::new(prices.with_precision_and_scale(15, 2).expect("they fit"))),
        ("n", Arc::new(Int64Array::from(vec![Some(3), Some(100_000), Some(-100_000), None, Some(4)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter(clock))),
        ("zoned", Arc::new(TimestampMicrosecondArray::from_iter(instants).with_timezone("+02:00"))),
    ]);
    Ways::of_tables(&[("east", "a", east), ("west", "b", table(vec![("id", ids())]))]).await
}

/// Checks conditions on the rows of the east, below and above a join with the west.
async fn check(cases: &[(&str, &[&str])]) {
    let ways = ways().await;
    for (condition, expected) in cases {
        ways.gives(&format!("SELECT id FROM east.samples.a WHERE {condition}"), expected).await;
        let joined = "SELECT a.* FROM east.samples.a AS a JOIN west.samples.b AS b ON a.id = b.id";
        ways.gives(&format!("SELECT id FROM ({joined}) AS t WHERE {condition}"), expected).await;
        let values =
            format!("SELECT count(*) FROM (SELECT {condition} AS passes FROM ({joined}) AS t) AS v WHERE passes");
        ways.gives(&values, &[&expected.len().to_string()]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_that_round() {
    within(300, async {
        check(&[
            ("CAST(price AS DECIMAL(24,1)) = 8.8", &["1"]),
            ("8.8 = CAST(price AS DECIMAL(24,1))", &["1"]),
            ("CAST(price AS DECIMAL(24,1)) <> 8.8", &["2", "3", "5"]),
            ("CAST(price AS DECIMAL(24,1)) < 0.1", &[]),
            ("CAST(price AS DECIMAL(24,1)) >= 0.1 AND CAST(price AS DECIMAL(24,1)) < 8.8", &["2"]),
            ("CAST(price AS DECIMAL(24,1)) IN (0.1, 8.8)", &["1", "2"]),
            ("CAST(price AS DECIMAL(24,1)) NOT IN (0.1, 8.8, 1.0, 2.0)", &["3", "5"]),
            ("CAST(price AS DECIMAL(24,1)) BETWEEN 8.8 AND 10", &["1", "5"]),
            ("CAST(price AS DECIMAL(24,1)) IS NOT DISTINCT FROM 8.8", &["1"]),
            ("CAST(price AS DECIMAL(24,1)) IS DISTINCT FROM 8.8", &["2", "3", "4", "5"]),
            ("CAST(price AS BIGINT) = 8", &["1"]),
            ("CAST(price AS BIGINT) = 0", &["2"]),
            ("arrow_cast(price, 'Int64') = 8", &["1"]),
            ("arrow_cast(price, 'Timestamp(s)') = arrow_cast(0, 'Timestamp(s)')", &["2"]),
            ("arrow_cast(n, 'Decimal128(9, -2)') = 100000", &["2"]),
            ("cast_to_type(price, 1) = 0", &["2"]),
            ("CAST(price AS BIGINT) IN (0, 10)", &["2", "5"]),
            // A cast to more digits keeps the value.
            ("CAST(price AS DECIMAL(24,4)) = 8.79", &["1"]),
        ])
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_to_null() {
    within(300, async {
        check(&[
            ("TRY_CAST(price AS DECIMAL(3,1)) = 8.8", &["1"]),
            ("TRY_CAST(price AS DECIMAL(3,1)) <> 8.8", &["2", "5"]),
            ("TRY_CAST(n AS SMALLINT) <> 3", &["5"]),
            ("TRY_CAST(n AS SMALLINT) < 4", &["1"]),
            ("TRY_CAST(n AS SMALLINT) NOT IN (3, 5)", &["5"]),
            ("TRY_CAST(n AS SMALLINT) IS DISTINCT FROM 3", &["2", "3", "4", "5"]),
            ("arrow_try_cast(n, 'Int16') <> 3", &["5"]),
            ("try_cast_to_type(n, CAST(1 AS SMALLINT)) <> 3", &["5"]),
            ("TRY_CAST(n AS SMALLINT UNSIGNED) < 5", &["1", "5"]),
        ])
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_to_another_unit() {
    within(300, async {
        let nanoseconds = "TIMESTAMP '2024-01-01 00:00:00.000000001'";
        let milliseconds = "arrow_cast('2024-01-01 00:00:00', 'Timestamp(ms)')";
        check(&[
            (&format!("arrow_cast(at, 'Timestamp(ns)') = {nanoseconds}"), &[]),
            (&format!("CAST(at AS TIMESTAMP(9)) < {nanoseconds}"), &["1", "3", "5"]),
            (&format!("CAST(at AS TIMESTAMP(9)) IN ({nanoseconds})"), &[]),
            (&format!("CAST(zoned AS TIMESTAMP(9)) = {nanoseconds}"), &[]),
            (&format!("arrow_cast(at, 'Timestamp(ms)') = {milliseconds}"), &["1", "5"]),
            (&format!("at < {nanoseconds}"), &["1", "3", "5"]),
        ])
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_to_a_zone() {
    within(300, async {
        let zoned = "arrow_cast(at, 'Timestamp(us, \"+02:00\")')";
        let midnight = "arrow_cast('2024-01-01T00:00:00+02:00', 'Timestamp(us, \"+02:00\")')";
        check(&[
            (&format!("{zoned} = {midnight}"), &["1", "5"]),
            (&format!("{zoned} > {midnight}"), &["2"]),
            (&format!("{zoned} IN ({midnight})"), &["1", "5"]),
            (&format!("zoned = {midnight}"), &["1", "5"]),
            // The session's zone is UTC.
            ("CAST(zoned AS TIMESTAMP) = TIMESTAMP '2024-01-01 00:00:00'", &["2"]),
            ("CAST(zoned AS TIMESTAMP) <= TIMESTAMP '2023-12-31 22:00:00'", &["1", "3", "5"]),
            ("zoned = '2023-12-31T22:00:00Z'", &["1", "5"]),
        ])
        .await;
    })
    .await;
}
