//! A NaN with a sign, which processors compute and files contain, is the same as any other NaN: one value, the largest.

use std::sync::Arc;

use arrow::array::{Float32Array, Float64Array, Int64Array};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nan_has_no_sign() {
    within(300, async {
        let negative = -f64::NAN;
        assert!(negative.is_sign_negative());
        let rows = |ids: [i64; 4], floats: [Option<f64>; 4]| {
            table(vec![
                ("id", Arc::new(Int64Array::from(ids.to_vec()))),
                ("v", Arc::new(Float64Array::from(floats.to_vec()))),
                ("f", Arc::new(Float32Array::from_iter(floats.iter().map(|v| v.map(|v| v as f32))))),
                ("z", Arc::new(Float64Array::from(vec![0.0, 0.0, 1.0, 1.0]))),
            ])
        };
        let east = rows([1, 2, 3, 4], [Some(negative), Some(f64::NAN), Some(1.5), None]);
        let west = rows([5, 6, 7, 8], [Some(negative), Some(f64::INFINITY), Some(0.0), None]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;

        // As stored.
        for column in ["v", "f"] {
            let table = "east.samples.a";
            ways.gives(&format!("SELECT id FROM {table} WHERE {column} = 'NaN'::DOUBLE"), &["1", "2"]).await;
            ways.gives(&format!("SELECT id FROM {table} WHERE {column} > 1e30"), &["1", "2"]).await;
            ways.gives(&format!("SELECT id FROM {table} WHERE {column} < 0"), &[]).await;
            ways.gives(&format!("SELECT max({column}), min({column}) FROM {table}"), &["NaN|1.5"]).await;
            ways.gives(&format!("SELECT count(DISTINCT {column}), count(DISTINCT id) FROM {table}"), &["2|4"]).await;
            ways.gives(
                &format!("SELECT {column}, count(*) FROM {table} GROUP BY {column}"),
                &["NaN|2", "1.5|1", "NULL|1"],
            )
            .await;
            ways.gives(&format!("SELECT id FROM {table} ORDER BY {column} NULLS LAST, id DESC"), &["3", "2", "1", "4"])
                .await;
            ways.gives(
                &format!("SELECT id, count(*) OVER (PARTITION BY {column}) FROM {table}"),
                &["1|2", "2|2", "3|1", "4|1"],
            )
            .await;
            ways.gives(
                &format!("SELECT a.id, b.id FROM {table} a JOIN west.samples.b b ON a.{column} = b.{column}"),
                &["1|5", "2|5"],
            )
            .await;
        }
        // Groups below a LIMIT.
        for (order, expected) in [("DESC NULLS LAST", "NaN"), ("NULLS LAST", "1.5")] {
            let sql = format!("SELECT DISTINCT v FROM east.samples.a ORDER BY v {order} LIMIT 1");
            ways.gives(&sql, &[expected]).await;
        }
        ways.gives("SELECT v, max(id) FROM east.samples.a GROUP BY v ORDER BY 2 DESC LIMIT 2", &["NULL|4", "1.5|3"])
            .await;
        ways.gives("SELECT v, max(id) AS m FROM east.samples.a GROUP BY v ORDER BY m LIMIT 1", &["NaN|2"]).await;
        // As computed: 0/0, inf - inf, inf * 0, the root of -1, 0 % 0.
        for value in
            ["z / z", "v - v", "v * (z - z)", "power(-1 - z, 0.5)", "(z - z) % (z - z)", "-(z / z)", "z / z + 1"]
        {
            let rows = "west.samples.b WHERE id = 6";
            ways.gives(
                &format!("SELECT {value} = 'NaN'::DOUBLE, {value} > 1e308, {value} IN (1, 'NaN'::DOUBLE) FROM {rows}"),
                &["true|true|true"],
            )
            .await;
            ways.gives(&format!("SELECT max(n), min(n) FROM (SELECT {value} AS n FROM {rows})"), &["NaN|NaN"]).await;
        }
        ways.gives(
            "SELECT id FROM west.samples.b ORDER BY (z - z) / (z - z) * id, v NULLS FIRST",
            &["8", "7", "6", "5"],
        )
        .await;
        ways.gives(
            "SELECT max(a / b) FROM (VALUES (0.0::DOUBLE, 0.0::DOUBLE), (1.0::DOUBLE, 1.0::DOUBLE)) t(a, b)",
            &["NaN"],
        )
        .await;
        ways.gives(
            "SELECT CAST(s AS DOUBLE) = 'NaN'::DOUBLE, CAST(s AS DOUBLE) > 0 FROM (VALUES ('-NaN'), ('1')) t(s)",
            &["true|true", "false|true"],
        )
        .await;
    })
    .await;
}
