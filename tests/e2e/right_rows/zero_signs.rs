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

        // The sort keys after it decide.
        ways.gives("SELECT id FROM east.samples.a ORDER BY z NULLS LAST, id DESC", &["2", "1", "3", "4"]).await;
        ways.gives("SELECT id FROM west.samples.b ORDER BY z DESC NULLS LAST, id LIMIT 2", &["7", "5"]).await;
        ways.gives("SELECT array_agg(id ORDER BY z, id DESC) FROM east.samples.a WHERE id < 4", &["[2, 1, 3]"]).await;
        ways.gives("SELECT first_value(id ORDER BY z, id DESC) FROM west.samples.b WHERE id < 8", &["6"]).await;
        // Short and long lists, and predicates that become lists.
        for list in ["z IN (0.0, 9)", "z IN (-0.0, 9)", "z IN (0.0, 2, 3, 4, 5)", "z = 0 OR z = 2 OR z = 3 OR z = 4"] {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {list}"), &["1", "2"]).await;
            ways.gives(&format!("SELECT id FROM west.samples.b WHERE NOT ({list})"), &["7"]).await;
        }
        ways.gives("SELECT round(x) IN (0, 1) FROM (VALUES (-0.4::DOUBLE), (3.0::DOUBLE)) t(x)", &["true", "false"]).await;
        // Of two bounds of one column, the narrower one stays. Equal bounds are equally narrow.
        for bounds in ["z > CAST('-0.0' AS DOUBLE) AND z >= 0", "z >= 0.0 AND z > -0.0", "0 <= z AND 0.0 * -1 < z"] {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {bounds}"), &["3"]).await;
        }
        for bounds in ["z < 0.0 AND z <= -0.0", "z <= CAST('-0.0' AS DOUBLE) AND z < 0", "z BETWEEN 0 AND -0.0 AND z < 0"] {
            ways.gives(&format!("SELECT id FROM west.samples.b WHERE {bounds}"), &[]).await;
        }
        ways.gives("SELECT id FROM west.samples.b WHERE z BETWEEN 0 AND -0.0 AND z >= 0.0", &["5", "6"]).await;
        // Set operations, and joins for which NULL equals NULL.
        let (a, b) = ("SELECT z FROM east.samples.a WHERE id < 3", "SELECT z FROM west.samples.b WHERE id = 5 OR id = 8");
        ways.gives(&format!("SELECT count(*) FROM ({a} INTERSECT ALL {b})"), &["1"]).await;
        ways.gives(&format!("SELECT count(*) FROM ({a} INTERSECT {b})"), &["1"]).await;
        ways.gives(&format!("SELECT count(*) FROM ({a} EXCEPT ALL {b})"), &["1"]).await;
        ways.gives(&format!("SELECT count(*) FROM ({a} EXCEPT {b})"), &["0"]).await;
        ways.gives(
            "SELECT a.id, b.id FROM east.samples.a a JOIN west.samples.b b ON a.z IS NOT DISTINCT FROM b.z WHERE b.id <> 6",
            &["1|5", "2|5", "3|7", "4|8"],
        )
        .await;
        ways.gives("SELECT id FROM east.samples.a WHERE z IS NOT DISTINCT FROM 0.0", &["1", "2"]).await;
        // Aggregates of distinct values.
        ways.gives("SELECT avg(DISTINCT z), count(DISTINCT id) FROM east.samples.a", &["0.75|4"]).await;
        ways.gives("SELECT count(DISTINCT z) OVER () FROM east.samples.a WHERE id < 3", &["1", "1"]).await;
        // No value is copied, so nesting costs little. (DataFusion's pruning takes long for deeply nested CASE
        // expressions.)
        let nested = (0..40).fold("z".to_owned(), |inner, _| format!("nullif({inner}, 9)"));
        ways.gives(&format!("SELECT id FROM east.samples.a WHERE {nested} = 0"), &["1", "2"]).await;
        let nested = (0..12).fold("z".to_owned(), |inner, _| format!("CASE {inner} WHEN 0 THEN 1.5 ELSE 0.0 END"));
        ways.gives(&format!("SELECT id FROM east.samples.a WHERE {nested} = 0"), &["1", "2"]).await;
    })
    .await;
}
