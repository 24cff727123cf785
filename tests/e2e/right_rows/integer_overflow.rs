//! An integer result that does not fit its type is an error, never another number.

use std::sync::Arc;

use arrow::array::{Decimal128Array, Int32Array, Int64Array, UInt64Array};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

/// The parts of an error message: the fault, and its fix.
const SAYS: &[&str] = &["integer overflow", "CAST"];

async fn ways() -> Ways {
    let east = table(vec![
        ("g", Arc::new(Int64Array::from(vec![1, 1, 2, 2]))),
        ("big", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(1), None, Some(-5)]))),
        ("small", Arc::new(Int32Array::from(vec![Some(i32::MAX), Some(2), None, Some(3)]))),
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(1), None, Some(0)]))),
    ]);
    let west = table(vec![
        ("k", Arc::new(Int64Array::from(vec![1, 2]))),
        ("big", Arc::new(Int64Array::from(vec![10, -20]))),
        ("least", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
    ]);
    Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_are_exact_or_refused() {
    within(600, async {
        let ways = ways().await;
        let invalid = ErrorKind::InvalidQuery;
        ways.refuses("SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)", invalid, SAYS).await;
        ways.refuses("SELECT sum(big) FROM east.samples.a WHERE g = 1", invalid, SAYS).await;
        ways.refuses("SELECT g, sum(big) FROM east.samples.a GROUP BY g", invalid, SAYS).await;
        ways.refuses("SELECT sum(DISTINCT big), count(*) FROM east.samples.a WHERE g = 1", invalid, SAYS).await;
        ways.refuses("SELECT sum(big) FILTER (WHERE big > 0) FROM east.samples.a", invalid, SAYS).await;
        ways.refuses("SELECT sum(u) FROM east.samples.a", invalid, SAYS).await;
        ways.refuses("SELECT sum(least) + sum(least) FROM west.samples.b", invalid, SAYS).await;
        ways.refuses(
            "SELECT sum(big) FROM (SELECT big FROM east.samples.a WHERE g = 1 UNION ALL SELECT k FROM west.samples.b)",
            invalid,
            SAYS,
        )
        .await;
        ways.refuses("SELECT sum(a.big + b.big) FROM east.samples.a JOIN west.samples.b ON a.g = b.k", invalid, SAYS)
            .await;
        ways.refuses("SELECT sum(big) OVER (ORDER BY big) FROM east.samples.a WHERE g = 1", invalid, SAYS).await;

        // 9223372036854775807 + 1 - 5, in any order.
        ways.gives("SELECT sum(big), sum(DISTINCT big) FROM east.samples.a", &["9223372036854775803|9223372036854775803"])
            .await;
        // Beside DISTINCT: the part of group 1 alone does not fit.
        ways.gives("SELECT count(DISTINCT g), sum(big) FROM east.samples.a", &["2|9223372036854775803"]).await;
        ways.gives(
            "SELECT small > 2, sum(big), count(DISTINCT g) FROM east.samples.a WHERE small > 0 GROUP BY small > 2",
            &["false|1|1", "true|9223372036854775802|2"],
        )
        .await;
        // The part of east alone does not fit: 9223372036854775807 + 1 + 10 - 20.
        ways.gives(
            "SELECT sum(big) FROM (SELECT big FROM east.samples.a WHERE g = 1 UNION ALL SELECT big FROM west.samples.b)",
            &["9223372036854775798"],
        )
        .await;
        ways.gives(
            "SELECT b.k, sum(a.small) FROM east.samples.a JOIN west.samples.b ON a.g = b.k GROUP BY b.k",
            &["1|2147483649", "2|3"],
        )
        .await;
        ways.gives("SELECT sum(big), sum(u), sum(small) FROM east.samples.a WHERE g > 2", &["NULL|NULL|NULL"]).await;
        ways.gives("SELECT sum(CAST(big AS DECIMAL(38, 0))) FROM east.samples.a WHERE g = 1", &["9223372036854775808"])
            .await;
        ways.gives("SELECT avg(big) > 4611686018427387000.0 FROM east.samples.a WHERE g = 1", &["true"]).await;
        // A sliding window: each row and the one before it.
        ways.gives(
            "SELECT big, sum(big) OVER (ORDER BY big ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM \
             (SELECT big FROM east.samples.a WHERE big < 10 UNION ALL SELECT big FROM west.samples.b)",
            &["-20|-20", "-5|-25", "1|-4", "10|11"],
        )
        .await;
        ways.gives(
            "SELECT sum(x) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM \
             (VALUES (1, 9223372036854775807), (2, -1), (3, NULL), (4, 9223372036854775807)) t(i, x)",
            &["9223372036854775807", "9223372036854775806", "-1", "9223372036854775807"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arithmetic_fits_or_is_refused() {
    within(600, async {
        let ways = ways().await;
        let invalid = ErrorKind::InvalidQuery;
        ways.refuses("SELECT 9223372036854775807 + 1", invalid, SAYS).await;
        ways.refuses("SELECT y + 1 FROM (SELECT 9223372036854775807 AS y) t", invalid, SAYS).await;
        ways.refuses("SELECT 10000000000 * 10000000000", invalid, SAYS).await;
        ways.refuses("SELECT CAST(127 AS TINYINT) + CAST(1 AS TINYINT)", invalid, &["TINYINT", "BIGINT"]).await;
        ways.refuses("SELECT CAST(32767 AS SMALLINT) * CAST(2 AS SMALLINT)", invalid, &["SMALLINT"]).await;
        ways.refuses("SELECT big + 1 FROM east.samples.a", invalid, SAYS).await;
        ways.refuses("SELECT small + small FROM east.samples.a", invalid, SAYS).await;
        ways.refuses("SELECT -least FROM west.samples.b", invalid, SAYS).await;
        ways.refuses("SELECT abs(least) FROM west.samples.b", invalid, &["overflow"]).await;
        ways.refuses("SELECT least / -1 FROM west.samples.b", invalid, &["overflow"]).await;
        ways.refuses("SELECT least - 1 FROM west.samples.b", invalid, SAYS).await;
        ways.refuses("SELECT u - CAST(2 AS BIGINT UNSIGNED) FROM east.samples.a", invalid, SAYS).await;
        ways.refuses("SELECT * FROM east.samples.a WHERE big * 2 > 0", invalid, SAYS).await;
        ways.refuses("SELECT * FROM east.samples.a ORDER BY big * 3", invalid, SAYS).await;
        ways.refuses("SELECT a.g FROM east.samples.a JOIN west.samples.b ON a.big + 1 = b.least", invalid, SAYS).await;
        ways.refuses("SELECT max(big * 2) FROM east.samples.a", invalid, SAYS).await;
        ways.refuses("SELECT big + 1, count(*) FROM east.samples.a GROUP BY big + 1", invalid, SAYS).await;
        ways.refuses("SELECT (SELECT max(big) FROM east.samples.a) + 1 FROM west.samples.b", invalid, SAYS).await;

        ways.gives("SELECT least % -1 FROM west.samples.b", &["0", "NULL"]).await;
        ways.gives("SELECT u + 1 FROM east.samples.a", &["18446744073709551616", "2", "NULL", "1"]).await;
        ways.gives("SELECT small + 1 FROM east.samples.a", &["2147483648", "3", "NULL", "4"]).await;
        ways.gives(
            "SELECT CAST(big AS DECIMAL(38, 0)) + 1 FROM east.samples.a",
            &["9223372036854775808", "2", "NULL", "-4"],
        )
        .await;
        ways.gives("SELECT big + 1 FROM east.samples.a WHERE g > 2", &[]).await;
        ways.gives(
            "SELECT 9223372036854775806 + 1, -9223372036854775807 - 1, 3 * -4 + 2",
            &["9223372036854775807|-9223372036854775808|-10"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excluded_rows_do_not_overflow() {
    within(600, async {
        let ways = ways().await;
        ways.gives(
            "SELECT CASE WHEN big < 1000 THEN big * 9000000000000000 ELSE 0 END FROM east.samples.a",
            &["0", "9000000000000000", "0", "-45000000000000000"],
        )
        .await;
        ways.gives(
            "SELECT CASE WHEN g > 2 THEN 9223372036854775807 + 1 ELSE g END FROM east.samples.a",
            &["1", "1", "2", "2"],
        )
        .await;
        ways.gives("SELECT big FROM east.samples.a WHERE big < 1000 AND big * 2 < 1", &["-5"]).await;
        ways.gives("SELECT big FROM east.samples.a WHERE big * 2 < 1 AND big < 1000", &["-5"]).await;
        ways.gives("SELECT g FROM east.samples.a WHERE big > 1000 OR big * 2 < 0", &["1", "2"]).await;
        ways.gives("SELECT big FROM east.samples.a WHERE big < 9 AND big * 2 > -99 AND big * 2 < 99", &["1", "-5"])
            .await;
        ways.gives("SELECT g FROM east.samples.a WHERE big <> 1 AND g = 2 AND 10 / (big - 1) < 0", &["2"]).await;
        ways.gives("SELECT sum(big * 2) FILTER (WHERE big < 1000) FROM east.samples.a", &["-8"]).await;
        ways.gives(
            "SELECT y FROM (SELECT big * 2 AS y FROM east.samples.a WHERE big < 1000) t WHERE y > -100",
            &["2", "-10"],
        )
        .await;
        ways.gives(
            "SELECT b.k, sum(a.big * b.big) FROM east.samples.a JOIN west.samples.b ON a.g = b.k \
             WHERE a.big < 1000 GROUP BY b.k",
            &["1|10", "2|100"],
        )
        .await;
        // A row that does not match does not overflow, wherever the rows are grouped.
        ways.gives(
            "SELECT b.k, sum(a.big * a.big), count(*) FROM east.samples.a JOIN west.samples.b ON a.g = b.k \
             WHERE b.big < 0 GROUP BY b.k",
            &["2|25|2"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_other_types_are_checked() {
    within(600, async {
        let decimals = |values: [i128; 2]| {
            Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(38, 0).unwrap())
        };
        let most = 99_999_999_999_999_999_999_999_999_999_999_999_999;
        let east = table(vec![("full", decimals([most, 1]))]);
        let west = table(vec![("full", decimals([most, -most]))]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let invalid = ErrorKind::InvalidQuery;
        let says = &["overflow", "CAST"];
        ways.refuses("SELECT sum(full) FROM east.samples.a", invalid, says).await;
        ways.refuses("SELECT sum(full), full > 0 FROM east.samples.a GROUP BY 2", invalid, says).await;
        ways.refuses("SELECT sum(DISTINCT full) FROM east.samples.a", invalid, says).await;
        ways.gives("SELECT sum(full) FROM west.samples.b", &["0"]).await;
        ways.gives(
            "SELECT sum(full) FROM \
             (SELECT full FROM east.samples.a WHERE full = 1 UNION ALL SELECT full FROM west.samples.b)",
            &["1"],
        )
        .await;
        // A sum of decimals beside DISTINCT has the type that a comparison expects.
        ways.gives(
            "SELECT k, sum(CAST(d AS DECIMAL(5, 2))) AS s, count(DISTINCT x) FROM \
             (VALUES (1, 1.25, 7), (1, 2.50, 7), (1, 0.25, 8), (2, NULL, 9), (3, 0.50, 9)) t(k, d, x) \
             GROUP BY k HAVING s > 0.75 OR s IS NULL",
            &["1|4.00|2", "2|NULL|1"],
        )
        .await;
        ways.gives(
            "SELECT a.n, b.full FROM (SELECT count(DISTINCT full) AS n, sum(full) AS s FROM west.samples.b) a \
             JOIN east.samples.a b ON a.s < b.full WHERE b.full = 1",
            &["2|1"],
        )
        .await;
        // 73,048 and 73,049 days.
        ways.gives(
            "SELECT avg(y - x) FROM (VALUES (TIMESTAMP(9) '1800-01-01', TIMESTAMP(9) '2000-01-01'), \
             (TIMESTAMP(9) '1801-01-01', TIMESTAMP(9) '2001-01-01'), (NULL, TIMESTAMP(9) '2001-01-01')) t(x, y)",
            &["PT6311390400S"],
        )
        .await;
        ways.gives(
            "SELECT sum(y - x) FROM (VALUES (TIMESTAMP '1800-01-01', TIMESTAMP '2000-01-01'), \
             (TIMESTAMP '1801-01-01', TIMESTAMP '2001-01-01')) t(x, y)",
            &["PT12622780800S"],
        )
        .await;
        // Two spans of 200 years are more nanoseconds than a duration holds.
        ways.refuses(
            "SELECT sum(y - x) FROM (VALUES (TIMESTAMP(9) '1800-01-01', TIMESTAMP(9) '2000-01-01'), \
             (TIMESTAMP(9) '1801-01-01', TIMESTAMP(9) '2001-01-01')) t(x, y)",
            invalid,
            &["overflow", "DECIMAL"],
        )
        .await;
    })
    .await;
}

/// Two readings of a `WITH` query share an aggregate. The name of its column contains a FILTER with arithmetic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_of_shared_aggregates_keep_their_names() {
    within(300, async {
        let ways = ways().await;
        let summed = "SELECT small + 150 AS c, count(*) AS n FROM east.samples.a WHERE g = 2 GROUP BY small + 150";
        let found = format!("WITH w AS ({summed}) SELECT c FROM w INTERSECT SELECT c FROM w WHERE c >= 2");
        ways.gives(&found, &["153"]).await;
        let joined = format!(
            "WITH w AS ({summed}) SELECT x.c, y.n FROM w AS x LEFT JOIN (SELECT * FROM w WHERE c > 9) AS y USING (c)"
        );
        ways.gives(&joined, &["153|1", "NULL|NULL"]).await;
    })
    .await;
}
