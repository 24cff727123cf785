//! A decimal is compared with a literal as the number that the query writes, and with a float as a float.

use std::sync::Arc;

use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

fn decimals<const N: usize>(values: [Option<i128>; N], precision: u8, scale: i8) -> Arc<Decimal128Array> {
    Arc::new(Decimal128Array::from_iter(values).with_precision_and_scale(precision, scale).unwrap())
}

/// | id | price | rate | wide | and in the west | price | n | s |
/// |---|---|---|---|---|---|---|---|
/// | 1 | 8.79 | 8.79 | 37 nines, 2 of them after the point | | 8.7900 | 2^53 + 1 | 8.794 |
/// | 2 | 0.07 | 0.07 | 1.12 | | 0.0699 | 1 | 0.070 |
/// | 3 | 12345678.91 | 1e300 | -0.01 | | 12345678.9100 | 2^53 | 12345678.91 |
/// | 4 | NULL | 1.5 | NULL | | 10.0000 | NULL | NULL |
/// | 5 | 10.00 | NULL | 10.00 | | NULL | 5 | 10 |
async fn ways() -> Ways {
    let nines = 10_i128.pow(37) - 1;
    let east = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        ("price", decimals([Some(879), Some(7), Some(1_234_567_891), None, Some(1_000)], 12, 2)),
        ("rate", Arc::new(Float64Array::from(vec![Some(8.79), Some(0.07), Some(1e300), Some(1.5), None]))),
        ("wide", decimals([Some(nines), Some(112), Some(-1), None, Some(1_000)], 38, 2)),
    ]);
    let west = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        ("price", decimals([Some(87_900), Some(699), Some(123_456_789_100), Some(100_000), None], 14, 4)),
        (
            "n",
            Arc::new(Int64Array::from(vec![
                Some(9_007_199_254_740_993),
                Some(1),
                Some(9_007_199_254_740_992),
                None,
                Some(5),
            ])),
        ),
        ("s", Arc::new(StringArray::from(vec![Some("8.794"), Some("0.070"), Some("12345678.91"), None, Some("10")]))),
    ]);
    Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn literals_compare_exactly() {
    within(300, async {
        let ways = ways().await;
        let ids = async |condition: &str, expected: &[&str]| {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {condition}"), expected).await;
        };
        ways.gives("SELECT CAST('8.79' AS DECIMAL(12,2)) = 8.79", &["true"]).await;
        ids("price = 8.79", &["1"]).await;
        ids("12345678.91 = price", &["3"]).await;
        ids("price <> 8.79", &["2", "3", "5"]).await;
        ids("price IN (0.07, 12345678.91)", &["2", "3"]).await;
        // A float that no decimal can represent makes all operands floats.
        ids("price IN (0.07, 1e300)", &["2"]).await;
        ids("price NOT IN (8.79, 0.07)", &["3", "5"]).await;
        ids("price BETWEEN 0.06 - 0.01 AND 0.06 + 0.01", &["2"]).await;
        ids("price NOT BETWEEN 8.79 AND 10.0", &["2", "3"]).await;
        ids("price IS DISTINCT FROM 8.79", &["2", "3", "4", "5"]).await;
        ids("price IS NOT DISTINCT FROM 8.79", &["1"]).await;
        // The literal is between two values of the column.
        ids("price > 8.785 AND price < 8.795", &["1"]).await;
        ids("price = 8.7900000000000000000001", &[]).await;
        ids("price < 8.7900000000000000000001", &["1", "2"]).await;
        ids("price = '8.790'", &["1"]).await;
        ids("price >= '8.791'", &["3", "5"]).await;
        ids("price * 1.1 = 9.669", &["1"]).await;
        ids("price + 0.001 = 8.791 AND price % 0.7 = 0.39", &["1"]).await;
        ids("id > 100 AND price = 8.79", &[]).await;
        ways.gives(
            "SELECT id, sum(price) FROM east.samples.a GROUP BY id HAVING sum(price) = 12345678.91",
            &["3|12345678.91"],
        )
        .await;
        ways.gives(
            "SELECT id, CASE price WHEN 8.79 THEN 'a' WHEN 0.07 THEN 'b' ELSE 'c' END FROM east.samples.a",
            &["1|a", "2|b", "3|c", "4|c", "5|c"],
        )
        .await;
        ways.gives(
            "SELECT a.id FROM east.samples.a JOIN west.samples.b ON a.id = b.id AND a.price BETWEEN b.price AND 8.79",
            &["1", "2"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_digit_is_lost() {
    within(300, async {
        let ways = ways().await;
        // Together the decimals have more than 38 digits.
        ways.gives("SELECT id FROM east.samples.a WHERE wide > 1.1199999999", &["1", "2", "5"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE wide = 99999999999999999999999999999999999.99", &["1"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE wide = 99999999999999999999999999999999999.98", &[]).await;
        ways.gives("SELECT CAST('1' AS DECIMAL(38,30)) < 9223372036854775807", &["true"]).await;
        ways.gives(
            "SELECT a.id, b.id FROM east.samples.a JOIN west.samples.b
             ON a.wide = CAST(b.price AS DECIMAL(38,20))",
            &["5|4"],
        )
        .await;
        ways.gives(
            "SELECT CAST('12345678901234567.89' AS DECIMAL(38,2)) = 12345678901234567.89,
                    CAST('12345678901234567.89' AS DECIMAL(38,2)) = 12345678901234567.88,
                    CAST('-12345678901234567.89' AS DECIMAL(38,2)) = -12345678901234567.89",
            &["true|false|true"],
        )
        .await;
        // As floats, 2^53 and its successor are equal.
        ways.gives("SELECT id FROM west.samples.b WHERE n = 9007199254740992.0", &["3"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE n IN (9007199254740993.0, 5.0)", &["1", "5"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE n < 9007199254740992.5", &["2", "3", "5"]).await;
        // Beside a literal with a point, too.
        ways.gives("SELECT id FROM west.samples.b WHERE n IN (0.5, 9007199254740992)", &["3"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE n NOT IN (0.5, 9007199254740992)", &["1", "2", "5"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE n IN (0.5, id + 9007199254740991)", &[]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE n BETWEEN 0.5 AND 9007199254740992", &["2", "3", "5"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE n NOT BETWEEN 0.5 AND 9007199254740992", &["1"]).await;
        ways.gives(
            "SELECT id, CASE n WHEN 0.5 THEN 'half' WHEN 9007199254740992 THEN 'even' END FROM west.samples.b
             WHERE id <> 2",
            &["1|NULL", "3|even", "4|NULL", "5|NULL"],
        )
        .await;
        ways.gives("SELECT x FROM (VALUES (9007199254740993)) AS t(x) WHERE x IN (0.5, 9007199254740992)", &[]).await;
        // A cast keeps the digits that the query writes.
        ways.gives("SELECT CAST(8.79 AS DECIMAL(30,20))", &["8.79000000000000000000"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decimals_compare_with_floats_as_floats() {
    within(300, async {
        let ways = ways().await;
        ways.gives("SELECT id FROM east.samples.a WHERE price = rate", &["1", "2"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE price < rate", &["3"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE price IN (rate, 10.0)", &["1", "2", "5"]).await;
        ways.gives("SELECT a.id, b.id FROM east.samples.a JOIN west.samples.b ON a.rate = b.price", &["1|1"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE price IN (SELECT rate FROM east.samples.a)", &["1"]).await;
        ways.gives(
            "SELECT id FROM east.samples.a WHERE rate IN (SELECT price FROM west.samples.b WHERE price IS NOT NULL)",
            &["1"],
        )
        .await;
        // DataFusion cuts these to 15 digits after the point, and to 30 in all.
        ways.gives("SELECT coalesce(rate, price) FROM east.samples.a", &["8.79", "0.07", "1e300", "1.5", "10.0"]).await;
        ways.gives(
            "SELECT price FROM west.samples.b WHERE id = 2 UNION ALL SELECT rate FROM east.samples.a WHERE id = 3",
            &["0.0699", "1e300"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_and_subqueries() {
    within(300, async {
        let ways = ways().await;
        ways.gives(
            "SELECT coalesce(price, 0.5) FROM east.samples.a",
            &["8.79", "0.07", "12345678.91", "0.50", "10.00"],
        )
        .await;
        ways.gives("SELECT nullif(price, 8.79) FROM east.samples.a WHERE id < 3", &["NULL", "0.07"]).await;
        ways.gives(
            "SELECT price FROM east.samples.a WHERE id = 1 UNION ALL SELECT 8.795",
            &["8.790", "8.795"],
        )
        .await;
        ways.gives(
            "SELECT x FROM (SELECT price AS x FROM east.samples.a UNION ALL SELECT price FROM west.samples.b UNION ALL
             SELECT 0.0699) AS t WHERE x <= 0.0699",
            &["0.0699", "0.0699"],
        )
        .await;
        ways.gives("SELECT count(*) FROM (VALUES (1.5), (CAST('8.79' AS DECIMAL(12,2)))) AS t(x) WHERE x = 8.79", &["1"])
            .await;
        ways.gives(
            "SELECT id FROM west.samples.b WHERE EXISTS
             (SELECT 1 FROM (SELECT price * 1.1 AS p FROM east.samples.a) AS t WHERE t.p = b.price * 1.1)",
            &["1", "3", "4"],
        )
        .await;
        ways.gives(
            "SELECT x.id FROM (SELECT id, price * 1.1 AS p FROM east.samples.a) AS x
             WHERE x.p > (SELECT min(b.price) * 1.1 FROM west.samples.b WHERE b.id = x.id)",
            &["2"],
        )
        .await;
        // A string column is read with all of its digits.
        ways.gives(
            "SELECT a.id FROM east.samples.a JOIN west.samples.b ON a.id = b.id AND b.s = a.price",
            &["2", "3", "5"],
        )
        .await;
        // The first branch is no longer a decimal once it meets the recursive table: the promised type is a float.
        ways.gives(
            "WITH RECURSIVE t(p) AS (SELECT CAST('1.10' AS DECIMAL(10,2)) * 1.1 UNION ALL SELECT p * 2 FROM t WHERE p < 3)
             SELECT p FROM t",
            &["1.21", "2.42", "4.84"],
        )
        .await;
        // Without a decimal, a literal stays a float.
        ways.gives(
            "SELECT arrow_typeof(1.5), arrow_typeof(1.5 + 1), arrow_typeof(id * 0.5), arrow_typeof(price / 4.0)
             FROM east.samples.a WHERE id = 1",
            &["Float64|Float64|Float64|Float64"],
        )
        .await;
    })
    .await;
}
