//! `min` and `max` of floats do not depend on groups: NaN is the largest value, and infinities are values.

use std::sync::Arc;

use arrow::array::{Float32Array, Float64Array, Int64Array};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

const NAN: f64 = f64::NAN;
const INFINITY: f64 = f64::INFINITY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extrema_of_floats_by_group() {
    within(600, async {
        let east = table(vec![
            ("g", Arc::new(Int64Array::from(vec![1, 1, 2, 2, 3, 4, 5, 6]))),
            (
                "x",
                Arc::new(Float64Array::from(vec![
                    Some(NAN),
                    Some(1.0),
                    Some(1.0),
                    Some(NAN),
                    Some(-INFINITY),
                    Some(INFINITY),
                    Some(NAN),
                    None,
                ])),
            ),
        ]);
        let west = table(vec![
            ("g", Arc::new(Int64Array::from(vec![1, 2, 2, 3]))),
            ("x", Arc::new(Float32Array::from(vec![f32::NEG_INFINITY, f32::NAN, -0.5, 0.25]))),
        ]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;

        ways.gives(
            "SELECT g, min(x), max(x) FROM east.samples.a GROUP BY g",
            &["1|1.0|NaN", "2|1.0|NaN", "3|-inf|-inf", "4|inf|inf", "5|NaN|NaN", "6|NULL|NULL"],
        )
        .await;
        ways.gives("SELECT min(x), max(x) FROM east.samples.a", &["-inf|NaN"]).await;
        ways.gives("SELECT g, max(x) FROM west.samples.b GROUP BY g", &["1|-inf", "2|NaN", "3|0.25"]).await;
        ways.gives("SELECT g, min(x) FROM west.samples.b GROUP BY g", &["1|-inf", "2|-0.5", "3|0.25"]).await;
        ways.gives(
            "SELECT a.g, max(a.x), min(b.x) FROM east.samples.a a JOIN west.samples.b b ON a.g = b.g GROUP BY a.g",
            &["1|NaN|-inf", "2|NaN|-0.5", "3|-inf|0.25"],
        )
        .await;
        ways.gives(
            "SELECT g % 2 AS o, min(x), max(x) FROM \
             (SELECT g, x FROM east.samples.a UNION ALL SELECT g, x FROM west.samples.b) GROUP BY g % 2",
            &["0|-0.5|NaN", "1|-inf|NaN"],
        )
        .await;
        ways.gives(
            "SELECT g, max(x) FROM east.samples.a GROUP BY g ORDER BY max(x) DESC NULLS LAST, g LIMIT 4",
            &["1|NaN", "2|NaN", "5|NaN", "4|inf"],
        )
        .await;
        ways.gives(
            "SELECT g, max(x) FILTER (WHERE x < 'NaN'::double) FROM east.samples.a WHERE g < 4 GROUP BY g",
            &["1|1.0", "2|1.0", "3|-inf"],
        )
        .await;
        ways.gives(
            "SELECT g, max(x) OVER (PARTITION BY g) FROM east.samples.a WHERE g IN (1, 3)",
            &["1|NaN", "1|NaN", "3|-inf"],
        )
        .await;
        ways.gives("SELECT g, max(x) FROM east.samples.a WHERE g > 99 GROUP BY g", &[]).await;
    })
    .await;
}
