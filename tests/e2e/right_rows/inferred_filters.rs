//! A filter on a key of a join says nothing of the other key, if the keys may have signs of zero.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_zeros_have_filters_of_their_own() {
    within(600, async {
        let rows = |zeros: Vec<f64>| {
            table(vec![
                ("id", Arc::new(Int64Array::from_iter_values(1..=zeros.len() as i64))),
                ("f", Arc::new(Float64Array::from(zeros))),
            ])
        };
        let (east, west) = (rows(vec![0.0, -0.0, 5.0]), rows(vec![-0.0, 0.0, 5.0]));
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let of = async |from: &str, condition: &str, expected: &[&str]| {
            let joined = from.replace("a.f", "east.samples.a AS a").replace("b.f", "west.samples.b AS b");
            ways.gives(&format!("SELECT a.id, b.id FROM {joined} ON a.f = b.f {condition}"), expected).await;
        };
        for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN"] {
            let from = format!("a.f {join} b.f");
            of(&from, "WHERE 1 / a.f > 1", &["1|1", "1|2"]).await;
            of(&from, "WHERE 1 / b.f < 0", &["1|1", "2|1"]).await;
            of(&from, "WHERE CAST(a.f AS VARCHAR) = '0.0' AND b.f >= 0", &["1|1", "1|2"]).await;
            of(&from, "WHERE a.f > 1 AND b.id > 0", &["3|3"]).await;
        }
        of("a.f JOIN b.f", "AND 1 / a.f > 1", &["1|1", "1|2"]).await;
        of("a.f LEFT JOIN b.f", "AND 1 / a.f > 1", &["1|1", "1|2", "2|NULL", "3|NULL"]).await;
        // A sort above the join takes the filter that the join makes of its keys.
        ways.gives(
            "SELECT a.id, b.id FROM east.samples.a AS a JOIN west.samples.b AS b ON a.f = b.f ORDER BY a.id, b.id",
            &["1|1", "1|2", "2|1", "2|2", "3|3"],
        )
        .await;
        for zero in [1, 2] {
            let one = format!("(SELECT * FROM west.samples.b WHERE id = {zero})");
            let joined = format!("FROM east.samples.a AS a JOIN {one} AS b ON a.f = b.f");
            ways.gives(&format!("SELECT a.id {joined} ORDER BY a.id"), &["1", "2"]).await;
            ways.gives(&format!("SELECT a.id, row_number() OVER (ORDER BY a.id) {joined}"), &["1|1", "2|2"]).await;
            let found = format!("SELECT id FROM east.samples.a AS a WHERE f IN (SELECT f FROM {one} AS b) ORDER BY id");
            ways.gives(&found, &["1", "2"]).await;
        }
        let kept = "SELECT id FROM east.samples.a WHERE 1 / f > 1 AND";
        ways.gives(&format!("{kept} f IN (SELECT f FROM west.samples.b WHERE id = 1)"), &["1"]).await;
        let exists = "EXISTS (SELECT 1 FROM west.samples.b WHERE b.f = a.f AND id = 1)";
        ways.gives(&format!("{kept} {exists}"), &["1"]).await;
    })
    .await;
}
