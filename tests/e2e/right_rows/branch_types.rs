//! `UNION` and `CASE` have the type that holds the values of all branches, not that of the first.

use std::sync::Arc;

use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_keep_their_values() {
    within(300, async {
        let decimals = |values: [i128; 2], precision, scale| {
            Decimal128Array::from_iter_values(values).with_precision_and_scale(precision, scale).unwrap()
        };
        let east = table(vec![
            ("x", Arc::new(Int64Array::from(vec![1, 3]))),
            ("price", Arc::new(decimals([100, 200], 10, 2))),
            ("day", Arc::new(Date32Array::from(vec![0, 19_723]))),
        ]);
        let west = table(vec![
            ("x", Arc::new(Float64Array::from(vec![1.5, -0.25]))),
            ("price", Arc::new(decimals([10_009, 20_000], 14, 4))),
            ("day", Arc::new(TimestampMicrosecondArray::from(vec![1, 1_000_000]))),
        ]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;

        ways.gives("SELECT 1 AS c UNION ALL SELECT 1.5", &["1.0", "1.5"]).await;
        ways.gives("SELECT 1.5 AS c UNION ALL SELECT 1", &["1.0", "1.5"]).await;
        ways.gives("SELECT 1 AS c UNION SELECT 1.5 UNION SELECT 2", &["1.0", "1.5", "2.0"]).await;
        ways.gives("SELECT NULL AS c UNION ALL SELECT 2", &["NULL", "2"]).await;
        ways.gives("SELECT x, CASE WHEN x = 1 THEN 0 ELSE x / 2.0 END FROM east.samples.a", &["1|0.0", "3|1.5"]).await;
        ways.gives("SELECT x, CASE WHEN x = 1 THEN 1 ELSE 'small' END FROM east.samples.a", &["1|1", "3|small"]).await;
        ways.gives(
            "SELECT x FROM east.samples.a UNION ALL SELECT x FROM west.samples.b",
            &["1.0", "3.0", "1.5", "-0.25"],
        )
        .await;
        ways.gives(
            "SELECT x FROM west.samples.b UNION ALL SELECT x FROM east.samples.a",
            &["1.0", "3.0", "1.5", "-0.25"],
        )
        .await;
        ways.gives(
            "SELECT price FROM east.samples.a UNION ALL SELECT price FROM west.samples.b",
            &["1.0000", "1.0009", "2.0000", "2.0000"],
        )
        .await;
        ways.gives("SELECT price FROM east.samples.a INTERSECT SELECT price FROM west.samples.b", &["2.0000"]).await;
        ways.gives("SELECT price FROM west.samples.b EXCEPT SELECT price FROM east.samples.a", &["1.0009"]).await;
        ways.gives(
            "SELECT day FROM east.samples.a UNION ALL SELECT day FROM west.samples.b",
            &["1970-01-01T00:00:00", "2024-01-01T00:00:00", "1970-01-01T00:00:00.000001", "1970-01-01T00:00:01"],
        )
        .await;
        ways.gives("SELECT coalesce(NULL, 1, 1.5), nullif(1, 1.5), greatest(1, 1.5)", &["1.0|1.0|1.5"]).await;
        ways.gives("SELECT * FROM (VALUES (1), (1.5)) AS t", &["1.0", "1.5"]).await;
        ways.gives(
            "WITH RECURSIVE t(c) AS (SELECT 1 UNION ALL SELECT c + 1 FROM t WHERE c < 3) SELECT c FROM t",
            &["1", "2", "3"],
        )
        .await;
    })
    .await;
}

/// Numbers of rows and ranks are BIGINT.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_counts_are_divided_as_integers() {
    within(300, async {
        let ways = super::two_owners().await;
        // `id` is 1, 2, 3 and NULL.
        let number = "row_number() OVER (ORDER BY id NULLS LAST)";
        ways.gives(
            &format!("SELECT n / 2, n % 2, 7 / n, -7 / n FROM (SELECT {number} AS n FROM east.samples.a)"),
            &["0|1|7|-7", "1|0|3|-3", "1|1|2|-2", "2|0|1|-1"],
        )
        .await;
        ways.gives(
            "SELECT r / 3 FROM (SELECT rank() OVER (ORDER BY id NULLS LAST) AS r FROM east.samples.a)",
            &["0", "0", "1", "1"],
        )
        .await;
        let ranks = "rank() OVER (ORDER BY x), dense_rank() OVER (ORDER BY x), ntile(2) OVER (ORDER BY x)";
        ways.gives(
            &format!("SELECT {number}, -{number}, nullif({number}, 1) / 2, {ranks} FROM east.samples.a"),
            &["1|-1|NULL|1|1|1", "2|-2|1|4|4|2", "3|-3|1|3|3|2", "4|-4|2|2|2|1"],
        )
        .await;
        ways.gives(
            &format!("SELECT DISTINCT arrow_typeof({number}), arrow_typeof(r) FROM (SELECT id, ntile(2) OVER (ORDER BY id) AS r FROM east.samples.a)"),
            &["Int64|Int64"],
        )
        .await;
        ways.gives("SELECT CAST(7 AS BIGINT UNSIGNED) / 2, CAST(7 AS BIGINT UNSIGNED) / 2.0", &["3|3.5"]).await;
        ways.refuses(
            "SELECT CAST(18446744073709551615 AS BIGINT UNSIGNED) / CAST(x AS BIGINT) FROM east.samples.a",
            portolan_engine::ErrorKind::InvalidQuery,
            &["BIGINT"],
        )
        .await;
    })
    .await;
}

/// An expression in grouping sets keeps its name, whatever its literals become.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grouping_sets_keep_the_names_of_their_expressions() {
    within(300, async {
        let ways = super::two_owners().await;
        let rows = "(VALUES (CAST(1.5 AS DECIMAL(10, 2))), (CAST(1.5 AS DECIMAL(10, 2))), (NULL)) t(x)";
        ways.gives(
            &format!("SELECT x - 0.1, count(*), grouping(x - 0.1) FROM {rows} GROUP BY ROLLUP (x - 0.1)"),
            &["1.40|2|0", "NULL|1|0", "NULL|3|1"],
        )
        .await;
        ways.gives(
            &format!(
                "SELECT x * 2.5 AS y, nullif(x, 1.5), count(*) FROM {rows} GROUP BY CUBE (x * 2.5, nullif(x, 1.5))"
            ),
            &["3.750|NULL|2", "NULL|NULL|1", "3.750|NULL|2", "NULL|NULL|1", "NULL|NULL|3", "NULL|NULL|3"],
        )
        .await;
        // `x` is 1, NULL, 3 and 2.
        ways.gives(
            "SELECT CASE WHEN x > 1.5 THEN 'more' ELSE 'less' END AS y, sum(id) FROM east.samples.a \
             GROUP BY GROUPING SETS ((CASE WHEN x > 1.5 THEN 'more' ELSE 'less' END), ())",
            &["more|3", "less|3", "NULL|6"],
        )
        .await;
        ways.gives(
            "SELECT CASE WHEN z IN (0.0, 2.0) THEN 1 ELSE 0 END, count(*) FROM (VALUES (-0.0::DOUBLE), (1.0)) t(z) \
             GROUP BY CUBE (CASE WHEN z IN (0.0, 2.0) THEN 1 ELSE 0 END)",
            &["1|1", "0|1", "NULL|2"],
        )
        .await;
    })
    .await;
}
