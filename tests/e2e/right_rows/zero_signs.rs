//! -0.0 and 0.0 are one value.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeros_are_equal_whatever_their_sign() {
    within(300, async {
        let zeros = |ids: [i64; 4]| {
            table(vec![
                ("id", Arc::new(Int64Array::from(ids.to_vec()))),
                ("z", Arc::new(Float64Array::from(vec![Some(-0.0), Some(0.0), Some(1.5), None]))),
            ])
        };
        let ways = Ways::of_tables(&[("east", "a", zeros([1, 2, 3, 4])), ("west", "b", zeros([5, 6, 7, 8]))]).await;

        ways.gives("SELECT id, count(*) OVER (PARTITION BY z) FROM east.samples.a", &["1|2", "2|2", "3|1", "4|1"]).await;
        ways.gives("SELECT id, rank() OVER (ORDER BY z) FROM east.samples.a", &["1|1", "2|1", "3|3", "4|4"]).await;
        ways.gives(
            "SELECT a.id, count(*) OVER (PARTITION BY b.z) FROM east.samples.a a JOIN west.samples.b b ON a.id = b.id - 4",
            &["1|2", "2|2", "3|1", "4|1"],
        )
        .await;
        ways.gives("SELECT id FROM east.samples.a WHERE nullif(z, 0) IS NULL", &["1", "2", "4"]).await;
        ways.gives("SELECT id, nullif(z, 1.5) IS NULL FROM west.samples.b", &["5|false", "6|false", "7|true", "8|true"])
            .await;
        ways.gives(
            "SELECT id, CASE z WHEN 0 THEN 'zero' WHEN 1.5 THEN 'more' ELSE 'none' END FROM east.samples.a",
            &["1|zero", "2|zero", "3|more", "4|none"],
        )
        .await;
        ways.gives("SELECT count(DISTINCT z), count(DISTINCT id) FROM east.samples.a", &["2|4"]).await;
        ways.gives("SELECT count(DISTINCT z) FILTER (WHERE id < 8), sum(id) FROM west.samples.b", &["2|26"]).await;
        ways.gives(
            "SELECT count(*) FROM east.samples.a a JOIN west.samples.b b ON a.z = b.z",
            &["5"],
        )
        .await;
        ways.gives("SELECT count(*) FROM (SELECT DISTINCT z FROM east.samples.a) AS t", &["3"]).await;
    })
    .await;
}
