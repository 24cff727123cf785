//! A filter of a group tests the group, and not each of its rows, if the group has zeros of both signs.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

/// In the east, the zeros -0.0, 0.0, 0.0 and the value 5, in this order. In the west, 0.0 and 5. A group shows 0.0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_of_groups_do_not_divide_equal_zeros() {
    within(600, async {
        let rows = |zeros: Vec<f64>| {
            table(vec![
                ("id", Arc::new(Int64Array::from_iter_values(1..=zeros.len() as i64))),
                ("f", Arc::new(Float64Array::from(zeros))),
            ])
        };
        let (east, west) = (rows(vec![-0.0, 0.0, 0.0, 5.0]), rows(vec![0.0, 5.0]));
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let groups = "SELECT f, count(*) AS n FROM east.samples.a GROUP BY f";
        ways.gives(&format!("{groups} HAVING 1 / f < 0"), &[]).await;
        ways.gives(&format!("{groups} HAVING 1 / f > 1"), &["0.0|3"]).await;
        ways.gives(&format!("{groups} HAVING 1 / f > 1 AND f < 1 AND count(*) > 1"), &["0.0|3"]).await;
        ways.gives(&format!("SELECT n FROM ({groups}) AS t WHERE CAST(f AS VARCHAR) = '0.0' AND f >= 0"), &["3"]).await;
        ways.gives(&format!("{groups} HAVING f = 0"), &["0.0|3"]).await;
        ways.gives(&format!("{groups} HAVING f > 1"), &["5.0|1"]).await;
        // A condition that may fail is tested after one that excludes its zeros.
        let counted = "SELECT f, id * 0 AS g, count(*) AS n FROM east.samples.a WHERE f < 1 GROUP BY f, id * 0 \
                       UNION ALL SELECT f, id, count(*) FROM east.samples.a WHERE f > 1 GROUP BY f, id";
        let divided = format!("SELECT f, g, sum(n) AS n FROM ({counted}) AS t GROUP BY f, g HAVING");
        ways.gives(&format!("{divided} 1 / f < 4 AND f + 0.0 < 40 / g"), &["5.0|4|1"]).await;
        ways.gives(&format!("{divided} 1 / f < 4 AND f > 1 AND 40 / g > 1"), &["5.0|4|1"]).await;
        ways.gives(&format!("{divided} 1 / f < 4 AND 40 / sum(g) > 1 AND f <> 7"), &["5.0|4|1"]).await;
        ways.gives(
            &format!("SELECT b.id, n FROM west.samples.b JOIN ({groups}) AS t ON b.f = t.f WHERE 1 / t.f <> 1"),
            &["1|3", "2|1"],
        )
        .await;
        // A join's filter of the groups, which a sort below takes.
        let sorted = "SELECT f, count(*) AS n, array_agg(id ORDER BY id) AS ids FROM east.samples.a GROUP BY f";
        ways.gives(
            &format!(
                "SELECT n FROM (VALUES ('0.0'), ('x')) AS v(s) JOIN ({sorted}) AS t ON v.s = CAST(t.f AS VARCHAR) \
                 WHERE ids[1] >= 0"
            ),
            &["3"],
        )
        .await;
        // A join's filter of the keys of a semi join, for its other side.
        let found = "SELECT f FROM (SELECT f, array_agg(id ORDER BY id) AS ids FROM west.samples.b WHERE id = 1 GROUP BY f) \
                     AS u WHERE ids[1] > 0";
        let semi = format!("SELECT id, CAST(f AS VARCHAR) AS s FROM east.samples.a WHERE f IN ({found})");
        ways.gives(
            &format!("SELECT x.id FROM (VALUES ('-0.0'), ('x')) AS v(s) JOIN ({semi}) AS x ON v.s = x.s"),
            &["1"],
        )
        .await;
        ways.gives(&format!("SELECT id FROM ({semi}) AS x ORDER BY s, id LIMIT 2"), &["1", "2"]).await;
    })
    .await;
}
