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
