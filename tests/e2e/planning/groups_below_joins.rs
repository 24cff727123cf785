//! An aggregate over a join whose owner groups its rows before the join: the groups have the values that the rows have,
//! and no sum fails for rows that the join drops.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, UInt64Array};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, lines, table};

/// The rows of the port whose rows are grouped.
const ROWS: i64 = 12_000;

fn column(values: impl Fn(i64) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..ROWS).map(values)))
}

/// Returns ten rows, with `k` from 0 to 9. The `f` of the first ones are 0 and 1, and of no other one.
fn groups() -> (&'static str, &'static str, arrow::array::RecordBatch) {
    let rows = table(vec![
        ("k", Arc::new(Int64Array::from_iter_values(0..10))),
        ("f", Arc::new(Float64Array::from_iter_values((0..10).map(|k| f64::from(if k < 2 { k } else { k + 10 }))))),
        ("name", Arc::new(StringArray::from_iter_values((0..10).map(|k| if k % 2 == 0 { "even" } else { "odd" })))),
    ]);
    ("west", "groups", rows)
}

async fn is_grouped_at_owner(ways: &Ways, sql: &str) -> bool {
    let (_, plan) = ways.at_gateway(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
    lines(&plan).iter().any(|line| line.contains("__part_"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeros_with_a_sign_stay_apart_in_expressions() {
    within(600, async {
        // A third of the rows has -0, a third 0, and a third 1. The sums of `x` are 4,000, 8,000 and 12,000.
        let zeros = (0..ROWS).map(|i| [-0.0, 0.0, 1.0][i as usize % 3]);
        let facts = table(vec![
            ("k", column(|i| i % 10)),
            ("f", Arc::new(Float64Array::from_iter_values(zeros))),
            ("x", column(|i| i % 3 + 1)),
        ]);
        let ways = Ways::of_tables(&[("east", "facts", facts), groups()]).await;
        let over = |columns: &str, condition: &str, group: &str| {
            format!(
                "SELECT {columns} FROM east.samples.facts f JOIN west.samples.groups g ON {condition} GROUP BY {group}"
            )
        };
        let plain = over("f.f = 0, sum(f.x)", "f.k = g.k", "1");
        assert!(is_grouped_at_owner(&ways, &plain).await, "the owner groups rows of this size");
        for (group, condition, expected) in [
            ("f.f = 0", "f.k = g.k", &["true|12000", "false|12000"][..]),
            ("f.f", "f.f = g.f", &["0.0|12000", "1.0|12000"]),
            ("CAST(f.f AS VARCHAR)", "f.k = g.k", &["-0.0|4000", "0.0|8000", "1.0|12000"]),
            ("CAST(f.f AS VARCHAR)", "f.f = g.f", &["-0.0|4000", "0.0|8000", "1.0|12000"]),
            ("1 / f.f", "f.k = g.k", &["-inf|4000", "inf|8000", "1.0|12000"]),
            ("1 / f.f", "f.f = g.f", &["-inf|4000", "inf|8000", "1.0|12000"]),
            ("atan2(f.f, -1.0) < 0", "f.k = g.k", &["true|4000", "false|20000"]),
            (
                "CASE WHEN 1 / f.f < 0 THEN 'neg' ELSE 'pos' END",
                "f.k = g.k AND f.f <= g.f + 100",
                &["neg|4000", "pos|20000"],
            ),
            ("g.name", "f.k = g.k AND (1 / f.f < 0 OR g.k < 0)", &["even|2000", "odd|2000"]),
        ] {
            ways.gives(&over(&format!("{group}, sum(f.x)"), condition, "1"), expected).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_rows_that_the_join_drops_do_not_fail() {
    within(600, async {
        // Every tenth row has a `k` that no group has, and values whose sum does not fit any type.
        let is_dropped = |i: i64| i % 10 == 9;
        let wide = (0..ROWS).map(|i| if is_dropped(i) { u64::MAX } else { 2 });
        let digits = (0..ROWS).map(|i| if is_dropped(i) { 9 * 10_i128.pow(37) } else { 2 });
        let big = table(vec![
            ("k", column(|i| if is_dropped(i) { 99 } else { i % 2 })),
            ("u", Arc::new(UInt64Array::from_iter_values(wide))),
            ("d", Arc::new(Decimal128Array::from_iter_values(digits).with_precision_and_scale(38, 0).unwrap())),
            ("i", column(|i| if is_dropped(i) { i64::MAX } else { 2 })),
        ]);
        let ways = Ways::of_tables(&[("east", "big", big), groups()]).await;
        let over = |value: &str| {
            format!("SELECT g.name, {value} FROM east.samples.big b JOIN west.samples.groups g ON b.k = g.k GROUP BY 1")
        };
        for value in ["sum(b.i)", "sum(b.i * b.i)"] {
            assert!(is_grouped_at_owner(&ways, &over(value)).await, "the owner groups rows of this size: {value}");
        }
        // 6,000 of the rows have an even number, and 4,800 an odd one.
        for value in ["sum(b.u)", "sum(b.d)", "sum(b.d * 1)", "sum(b.i)"] {
            ways.gives(&over(value), &["even|12000", "odd|9600"]).await;
        }
        ways.gives(&over("sum(b.i * b.i), count(*)"), &["even|24000|6000", "odd|19200|4800"]).await;
    })
    .await;
}
