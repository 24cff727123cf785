//! `INTERSECT ALL` and `EXCEPT ALL` count rows, and set operations compare values of one type.

use std::sync::Arc;

use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicate_rows_are_counted() {
    within(600, async {
        let decimals = |values: [Option<i128>; 4], precision, scale| {
            Decimal128Array::from_iter(values).with_precision_and_scale(precision, scale).unwrap()
        };
        let east = table(vec![
            ("x", Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(1), None]))),
            ("s", Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, None]))),
            ("p", Arc::new(decimals([Some(100), Some(100), Some(250), None], 10, 2))),
            ("f", Arc::new(Float64Array::from(vec![f64::NAN, f64::NAN, 1.5, f64::INFINITY]))),
        ]);
        let west = table(vec![
            ("x", Arc::new(Int64Array::from(vec![Some(1), Some(1), None, Some(3)]))),
            ("s", Arc::new(StringArray::from(vec![Some("a"), None, None, Some("")]))),
            ("p", Arc::new(decimals([Some(10_000), Some(10_001), None, None], 14, 4))),
            ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1.5), None, Some(1.5)]))),
        ]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let both = |columns: &str, operator: &str| {
            format!("SELECT {columns} FROM east.samples.a {operator} SELECT {columns} FROM west.samples.b")
        };

        ways.gives("SELECT * FROM (VALUES (1), (1), (1)) AS a(x) INTERSECT ALL SELECT 1", &["1"]).await;
        ways.gives(&both("x", "INTERSECT ALL"), &["1", "1", "NULL"]).await;
        ways.gives(&both("x", "EXCEPT ALL"), &["1"]).await;
        ways.gives(&both("x", "INTERSECT"), &["1", "NULL"]).await;
        ways.gives(&both("x", "EXCEPT"), &[]).await;
        // (1, a) twice, (1, NULL), (NULL, NULL) and (1, a), (1, NULL), (NULL, NULL), (3, '').
        ways.gives(&both("x, s", "INTERSECT ALL"), &["1|a", "1|NULL", "NULL|NULL"]).await;
        ways.gives(&both("x, s", "EXCEPT ALL"), &["1|a"]).await;
        ways.gives("SELECT x, s FROM west.samples.b EXCEPT ALL SELECT x, s FROM east.samples.a", &["3|"]).await;
        ways.gives(&both("p", "INTERSECT ALL"), &["1.0000", "NULL"]).await;
        ways.gives(&both("p", "EXCEPT ALL"), &["1.0000", "2.5000"]).await;
        ways.gives(&both("p", "EXCEPT"), &["2.5000"]).await;
        ways.gives(&both("f", "INTERSECT ALL"), &["NaN", "1.5"]).await;
        ways.gives(&both("f", "EXCEPT ALL"), &["NaN", "inf"]).await;
        // One side has no rows.
        ways.gives(
            "SELECT x FROM east.samples.a EXCEPT ALL SELECT x FROM west.samples.b WHERE x > 9",
            &["1", "1", "1", "NULL"],
        )
        .await;
        ways.gives("SELECT x FROM east.samples.a WHERE x > 9 INTERSECT ALL SELECT x FROM west.samples.b", &[]).await;
        // Below other operators, and several in a row.
        ways.gives(
            &format!("SELECT x, count(*) FROM ({}) AS t GROUP BY x", both("x", "INTERSECT ALL")),
            &["1|2", "NULL|1"],
        )
        .await;
        ways.gives(
            "SELECT x FROM east.samples.a EXCEPT ALL SELECT 1 EXCEPT ALL SELECT x FROM west.samples.b WHERE x IS NULL",
            &["1", "1"],
        )
        .await;
        ways.gives(
            &format!("SELECT y FROM (VALUES (1), (3)) AS t(y) WHERE y IN ({})", both("x", "EXCEPT ALL")),
            &["1"],
        )
        .await;
        ways.gives("SELECT 1 AS x INTERSECT SELECT 1.0", &["1.0"]).await;
        ways.gives("SELECT 1 AS x EXCEPT ALL SELECT 1.5", &["1.0"]).await;
        ways.gives("SELECT NULL AS x INTERSECT ALL SELECT NULL", &["NULL"]).await;
        // A literal beside a decimal is a decimal, and any other float makes a float of the decimal, as in UNION.
        ways.gives("SELECT 8.79 INTERSECT SELECT CAST('8.79' AS DECIMAL(12, 2))", &["8.79"]).await;
        ways.gives("SELECT 8.79 EXCEPT SELECT CAST('8.79' AS DECIMAL(12, 2))", &[]).await;
        ways.gives("SELECT CAST('8.79' AS DECIMAL(12, 2)) EXCEPT ALL SELECT 8.79", &[]).await;
        ways.gives("SELECT x FROM (VALUES (1e-20)) AS t(x) INTERSECT SELECT CAST('0' AS DECIMAL(12, 2))", &[]).await;
        ways.gives("SELECT x FROM (VALUES (1e300)) AS t(x) EXCEPT SELECT CAST('0' AS DECIMAL(12, 2))", &["1e300"])
            .await;
        ways.gives("SELECT f FROM east.samples.a EXCEPT SELECT p FROM east.samples.a", &["NaN", "1.5", "inf"]).await;
        ways.gives("SELECT p FROM east.samples.a WHERE p > 2 INTERSECT ALL SELECT f + 1 FROM east.samples.a", &["2.5"])
            .await;
        ways.refuses(
            "SELECT true AS x EXCEPT SELECT DATE '2024-01-01'",
            ErrorKind::InvalidQuery,
            &["`x`", "a boolean", "a date", "CAST"],
        )
        .await;
    })
    .await;
}
