//! Filters, orders and joins over nested queries, each of which reads the column of the one below six times. Written out,
//! an expression over twelve levels would have 6^12 parts.

use std::sync::Arc;

use arrow::array::Int64Array;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

/// Enough levels that no query ends if one rule writes them out.
const LEVELS: usize = 12;

/// Returns queries in one another, each of which selects `expr` from the one below.
fn nested(levels: usize, expr: &str, from: &str) -> String {
    (0..levels).fold(from.to_owned(), |below, level| format!("(SELECT {expr} FROM {below}) AS q{level}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_queries_do_not_grow() {
    within(600, async {
        let x = |values: Vec<i64>| table(vec![("x", Arc::new(Int64Array::from(values)))]);
        let ways = Ways::of_tables(&[("east", "a", x(vec![1, 2, 7])), ("west", "b", x(vec![5, 6, 9]))]).await;
        // 1 becomes 3, which becomes 6, which becomes 3 again. 2 becomes 5, which stays 5. 7 becomes 0, which stays 0.
        let third = "(x * x + x * x + x * x) % 7 AS x";
        ways.gives(&format!("SELECT x FROM {} WHERE x > 2", nested(3, third, "east.samples.a")), &["3", "5"]).await;
        let rows = nested(LEVELS, third, "east.samples.a");
        let joined = nested(LEVELS, third, "(SELECT a.x FROM east.samples.a AS a LEFT JOIN west.samples.b AS b ON a.x = b.x) AS j");
        let unnamed = (0..LEVELS).fold("east.samples.a".to_owned(), |below, _| format!("(SELECT {third} FROM {below})"));
        let ctes: Vec<_> = (0..LEVELS).map(|level| format!("c{} AS (SELECT {third} FROM c{level})", level + 1)).collect();
        let ctes = format!("WITH c0 AS (SELECT x FROM east.samples.a), {} SELECT x FROM c{LEVELS}", ctes.join(", "));
        for (sql, expected) in [
            (format!("SELECT x FROM {rows}"), "0 5 6"),
            (format!("SELECT x FROM {rows} WHERE x > 2"), "5 6"),
            (format!("SELECT x FROM {unnamed} WHERE x > 2 AND x < 6"), "5"),
            (format!("{ctes} WHERE x > 2"), "5 6"),
            (format!("SELECT x FROM {joined} WHERE x > 2"), "5 6"),
            (format!("SELECT x FROM {rows} ORDER BY x DESC LIMIT 2"), "6 5"),
            (format!("SELECT max(x) FROM {rows}"), "6"),
            (format!("SELECT x, count(*) FROM {rows} GROUP BY x HAVING x > 2"), "5|1 6|1"),
            (
                format!(
                    "SELECT x FROM (SELECT x, row_number() OVER (PARTITION BY x ORDER BY x) AS n FROM {rows}) AS t WHERE x > 2 AND n = 1"
                ),
                "5 6",
            ),
            (
                format!("SELECT x FROM (SELECT x FROM {rows} UNION ALL SELECT x FROM west.samples.b) AS t WHERE x > 5"),
                "6 6 9",
            ),
            (format!("SELECT b.x FROM (SELECT x FROM {rows}) AS n JOIN west.samples.b AS b ON n.x = b.x"), "5 6"),
            (
                format!(
                    "SELECT b.x, n.x FROM west.samples.b AS b LEFT JOIN (SELECT x FROM {rows}) AS n ON n.x = b.x AND n.x > 5"
                ),
                "5|NULL 6|6 9|NULL",
            ),
            (format!("SELECT x FROM west.samples.b WHERE x IN (SELECT x FROM {rows})"), "5 6"),
            (format!("SELECT x FROM west.samples.b WHERE x NOT IN (SELECT x FROM {rows})"), "9"),
            (
                format!("SELECT b.x, EXISTS (SELECT 1 FROM {unnamed} WHERE x = b.x) FROM west.samples.b AS b"),
                "5|true 6|true 9|false",
            ),
            (format!("SELECT x FROM west.samples.b WHERE x > (SELECT max(x) FROM {rows})"), "9"),
        ] {
            ways.gives(&sql, &expected.split(' ').collect::<Vec<_>>()).await;
        }
        // The value stays the same, and each level reads it five times.
        let case = nested(LEVELS, "CASE WHEN x > 3 THEN x WHEN x < 3 THEN x ELSE x END AS x", "east.samples.a");
        ways.gives(&format!("SELECT x FROM {case} WHERE x > 1"), &["2", "7"]).await;
        let fields = nested(
            LEVELS,
            "named_struct('a', s['a'] + s['b'] - s['b'], 'b', s['b'] + s['a'] - s['a']) AS s",
            "(SELECT named_struct('a', x, 'b', 10) AS s FROM east.samples.a) AS t",
        );
        ways.gives(&format!("SELECT s['a'], s['b'] FROM {fields}"), &["1|10", "2|10", "7|10"]).await;
        ways.gives(&format!("SELECT s['a'] FROM {fields} WHERE s['a'] > 1"), &["2", "7"]).await;
    })
    .await;
}
