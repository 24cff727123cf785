//! Sorts, windows and groups do not rely on an order or on equal values that an operator below does not keep.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outer_joins_add_nulls() {
    within(900, async {
        // `a.id` is 1, 2, 3 and NULL. `b` has one row left, (3, 5, 7).
        let ways = two_owners().await;
        let (a, b) = ("east.samples.a AS a", "(SELECT id, v, 7 AS c FROM west.samples.b WHERE v = 5) AS b");
        for join in [
            format!("{a} LEFT JOIN {b} ON a.id = b.id"),
            format!("{a} LEFT JOIN {b} ON a.id >= b.id"),
            format!("{b} RIGHT JOIN {a} ON a.id = b.id"),
            format!("{b} RIGHT JOIN {a} ON a.id >= b.id"),
            format!("{a} FULL JOIN {b} ON a.id = b.id"),
            format!("{b} FULL JOIN {a} ON a.id >= b.id"),
        ] {
            for (column, value) in [("v", "5"), ("c", "7")] {
                let cases: &[(&str, &[&str])] = &[
                    ("SELECT a.id, $c FROM $join ORDER BY $c, a.id", &["3|$v", "1|NULL", "2|NULL", "NULL|NULL"]),
                    ("SELECT a.id, $c FROM $join ORDER BY $c, a.id LIMIT 1", &["3|$v"]),
                    ("SELECT a.id, $c FROM $join ORDER BY $c DESC, a.id LIMIT 2", &["1|NULL", "2|NULL"]),
                    ("SELECT a.id, row_number() OVER (ORDER BY $c, a.id) FROM $join", &["3|1", "1|2", "2|3", "NULL|4"]),
                    ("SELECT a.id, count(*) OVER (PARTITION BY $c) FROM $join", &["1|3", "2|3", "3|1", "NULL|3"]),
                    ("SELECT $c, count(*) FROM $join GROUP BY $c", &["$v|1", "NULL|3"]),
                ];
                for (sql, expected) in cases {
                    let sql = sql.replace("$c", column).replace("$join", &join);
                    let expected: Vec<String> = expected.iter().map(|row| row.replace("$v", value)).collect();
                    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
                    ways.gives(&sql, &expected).await;
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_columns_of_an_outer_join_differ_in_nulls() {
    within(600, async {
        let ways = two_owners().await;
        // `c` is -1 for a NULL in a row, and NULL for a row without a match.
        ways.gives(
            "SELECT a.id, c FROM east.samples.a AS a \
             LEFT JOIN (SELECT id, v, coalesce(v, -1) AS c FROM west.samples.b) AS b ON a.id = b.id \
             ORDER BY coalesce(v, -1), c, a.id",
            &["1|-1", "2|NULL", "NULL|NULL", "1|1", "3|5"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grouping_sets_add_nulls() {
    within(600, async {
        let ways = two_owners().await;
        // The groups of (1, 1) and (1, NULL).
        let totals = "SELECT id, v, count(*) AS n FROM west.samples.b WHERE id = 1 GROUP BY ROLLUP (id, v)";
        ways.gives(
            &format!("{totals} ORDER BY id NULLS FIRST, v, n"),
            &["NULL|NULL|2", "1|1|1", "1|NULL|1", "1|NULL|2"],
        )
        .await;
        ways.gives(&format!("{totals} ORDER BY id NULLS FIRST, v LIMIT 1"), &["NULL|NULL|2"]).await;
        ways.gives(
            &format!("SELECT id, n, row_number() OVER (ORDER BY id NULLS FIRST, v, n) FROM ({totals}) AS t"),
            &["NULL|2|1", "1|1|2", "1|1|3", "1|2|4"],
        )
        .await;
        ways.gives(
            &format!("SELECT id, count(*) OVER (PARTITION BY id) FROM ({totals}) AS t"),
            &["NULL|1", "1|3", "1|3", "1|3"],
        )
        .await;
        // `id` and `x` are equal in (1, 1) and (3, 3), and only there.
        for sets in ["ROLLUP (id, x)", "GROUPING SETS ((id, x), (id), ())"] {
            ways.gives(
                &format!(
                    "SELECT id, x, row_number() OVER (ORDER BY x NULLS FIRST, id DESC) FROM east.samples.a WHERE id = x \
                     GROUP BY {sets}"
                ),
                &["NULL|NULL|1", "3|NULL|2", "1|NULL|3", "1|1|4", "3|3|5"],
            )
            .await;
        }
        ways.gives(
            "SELECT id, x FROM east.samples.a WHERE id = x GROUP BY CUBE (id, x) ORDER BY x NULLS FIRST, id",
            &["1|NULL", "3|NULL", "NULL|NULL", "1|1", "NULL|1", "3|3", "NULL|3"],
        )
        .await;
    })
    .await;
}

/// Expressions of grouping sets that have one value, or the same value, in the rows below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grouping_sets_add_nulls_to_expressions() {
    within(600, async {
        let ways = two_owners().await;
        ways.gives(
            "SELECT 'a' AS k, id, count(*) AS n FROM west.samples.b GROUP BY ROLLUP ('a', id) ORDER BY 1 NULLS FIRST, 2",
            &["NULL|NULL|3", "a|1|2", "a|3|1", "a|NULL|3"],
        )
        .await;
        let rows = "SELECT value % 3 AS j FROM generate_series(1, 9) AS s(value)";
        ways.gives(
            &format!(
                "SELECT 'a' AS k, j, count(*) FROM ({rows} UNION ALL {rows} UNION ALL {rows}) AS u GROUP BY ROLLUP ('a', j)"
            ),
            &["NULL|NULL|27", "a|NULL|27", "a|0|9", "a|1|9", "a|2|9"],
        )
        .await;
        ways.gives(
            "SELECT j, j * 1 AS y, count(*) AS n FROM (VALUES (2), (3), (3), (NULL)) AS t(j) GROUP BY ROLLUP (j, j * 1) \
             ORDER BY y NULLS FIRST, j DESC NULLS LAST, n",
            &["3|NULL|2", "2|NULL|1", "NULL|NULL|1", "NULL|NULL|1", "NULL|NULL|4", "2|2|1", "3|3|2"],
        )
        .await;
    })
    .await;
}

/// Sorted rows have the groups of several sets one after another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_several_sets_are_not_in_one_order() {
    within(600, async {
        let ways = two_owners().await;
        let sorted = "(SELECT value AS j FROM generate_series(1, 20000) AS s(value) ORDER BY j LIMIT 20000)";
        ways.gives(
            &format!(
                "SELECT n, count(*) FROM (SELECT j, count(*) AS n FROM ({sorted} UNION ALL {sorted} UNION ALL {sorted}) AS u \
                 GROUP BY ROLLUP (j)) AS t GROUP BY n"
            ),
            &["3|20000", "60000|1"],
        )
        .await;
        ways.gives(
            "SELECT n, count(*) FROM (SELECT count(*) AS n FROM (SELECT value / 20000 AS a, value % 20000 AS k \
             FROM generate_series(0, 39999) AS s(value) ORDER BY 1, 2 LIMIT 40000) AS s GROUP BY GROUPING SETS ((a, k), (k))) \
             AS t GROUP BY n",
            &["1|40000", "2|20000"],
        )
        .await;
        ways.gives(
            "SELECT j, max(r), count(*) FROM (SELECT j, row_number() OVER (PARTITION BY j ORDER BY v) AS r \
             FROM (VALUES (1, 1), (1, 2), (2, 3)) AS t(j, v)) AS w GROUP BY ROLLUP (j) ORDER BY j",
            &["1|2|2", "2|1|1", "NULL|2|3"],
        )
        .await;
        ways.gives(
            "SELECT j, k, count(*) AS n FROM (SELECT k, j FROM (VALUES (1, 2), (1, 3), (2, 3), (2, NULL)) AS t(k, j) \
             ORDER BY j, k LIMIT 100) AS t GROUP BY CUBE (j, k) ORDER BY j, k, n",
            &[
                "2|1|1", "2|NULL|1", "3|1|1", "3|2|1", "3|NULL|2", "NULL|1|2", "NULL|2|1", "NULL|2|2", "NULL|NULL|1",
                "NULL|NULL|4",
            ],
        )
        .await;
    })
    .await;
}

/// A hash join returns the rows of its build side once for each row of the probe side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_repeats_the_rows_of_a_side() {
    within(600, async {
        let ways = two_owners().await;
        let l = "(SELECT x, k FROM (VALUES (1, 1), (2, 1), (3, 2)) AS l(x, k) ORDER BY x LIMIT 100) AS l";
        let r = "(SELECT y, k2 FROM (VALUES (1, 1), (1, 1), (1, 9), (2, 2)) AS r(y, k2) ORDER BY y LIMIT 100) AS r";
        ways.gives(
            &format!("SELECT y, x, row_number() OVER (ORDER BY y, x) FROM {l} RIGHT JOIN {r} ON k = k2"),
            &["1|1|1", "1|1|2", "1|2|3", "1|2|4", "1|NULL|5", "2|3|6"],
        )
        .await;
        ways.gives(&format!("SELECT y, x FROM {l} JOIN {r} ON k = k2 ORDER BY y, x LIMIT 2"), &["1|1", "1|1"]).await;
        ways.gives(
            "SELECT b.id, a.x FROM (SELECT * FROM east.samples.a ORDER BY x LIMIT 9) AS a \
             JOIN (SELECT id / 4 AS id FROM west.samples.b ORDER BY id LIMIT 9) AS b ON a.id > b.id ORDER BY b.id, a.x LIMIT 4",
            &["0|1", "0|1", "0|1", "0|3"],
        )
        .await;
    })
    .await;
}

/// A running value is NULL before the first value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_values_begin_with_nulls() {
    within(600, async {
        let ways = two_owners().await;
        let values = "(VALUES (1, NULL), (2, 3), (3, 2), (4, NULL)) AS t(x, v)";
        for (running, order) in [
            ("max(v) OVER (ORDER BY x)", "f, x"),
            ("min(v) OVER (ORDER BY x ROWS UNBOUNDED PRECEDING)", "f DESC NULLS LAST, x"),
            ("sum(v) OVER (ORDER BY x)", "f, x"),
            ("sum(CAST(v AS BIGINT UNSIGNED)) OVER (ORDER BY x)", "f, x"),
            ("max(CAST(v AS DOUBLE)) OVER (ORDER BY x)", "f NULLS LAST, x"),
        ] {
            ways.gives(
                &format!("SELECT x FROM (SELECT x, {running} AS f FROM {values}) AS t ORDER BY {order} LIMIT 1"),
                &["2"],
            )
            .await;
        }
        // `v` is NULL, 2 and 3.
        ways.gives(
            "SELECT id, f FROM (SELECT id, max(v) OVER (ORDER BY id) AS f \
             FROM (SELECT id, nullif(id, 1) AS v FROM east.samples.a WHERE id > 0) AS a) AS t ORDER BY f LIMIT 1",
            &["2|2"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_zeros_are_not_the_same() {
    within(600, async {
        let rows = |zeros: [f64; 2]| {
            table(vec![
                ("id", Arc::new(Int64Array::from(vec![1, 2]))),
                ("f", Arc::new(Float64Array::from(zeros.to_vec()))),
            ])
        };
        let ways = Ways::of_tables(&[("east", "a", rows([0.0, -0.0])), ("west", "b", rows([-0.0, 0.0]))]).await;
        let joined = "east.samples.a AS a JOIN west.samples.b AS b ON a.f = b.f";
        for join in [joined.to_owned(), joined.replace("JOIN", "LEFT JOIN"), format!("{joined} AND a.id + b.id < 9")] {
            for (first, second) in [("1 / a.f", "1 / b.f"), ("CAST(a.f AS VARCHAR)", "CAST(b.f AS VARCHAR)")] {
                // The text of -0 and the inverse of -0 come first.
                let order = format!("{first}, {second} DESC");
                ways.gives(&format!("SELECT a.id, b.id FROM {join} ORDER BY {order}"), &["2|2", "2|1", "1|2", "1|1"]).await;
                let ranks = format!("SELECT a.id, b.id, rank() OVER (ORDER BY {order}) FROM {join}");
                ways.gives(&ranks, &["2|2|1", "2|1|2", "1|2|3", "1|1|4"]).await;
                let counts = format!(
                    "SELECT a.id, b.id, count(*) OVER (PARTITION BY {first}), count(*) OVER (PARTITION BY {first}, {second}) \
                     FROM {join}"
                );
                ways.gives(&counts, &["1|1|2|1", "1|2|2|1", "2|1|2|1", "2|2|2|1"]).await;
                let groups = format!("SELECT {first} AS x, {second} AS y, count(*) FROM {join} GROUP BY 1, 2");
                ways.gives(&format!("SELECT count(*) FROM ({groups})"), &["4"]).await;
            }
        }
        for equal in ["f = 0", "f = 0.0 AND id > 0", "f IN (0)", "f + 0 = 0", "f BETWEEN 0 AND 0"] {
            let a = format!("FROM east.samples.a WHERE {equal}");
            ways.gives(&format!("SELECT id {a} ORDER BY 1 / f"), &["2", "1"]).await;
            ways.gives(&format!("SELECT id, count(*) OVER (PARTITION BY f) {a}"), &["1|2", "2|2"]).await;
            ways.gives(&format!("SELECT id, count(*) OVER (PARTITION BY 1 / f) {a}"), &["1|1", "2|1"]).await;
            ways.gives(&format!("SELECT id, row_number() OVER (ORDER BY 1 / f, id) {a}"), &["2|1", "1|2"]).await;
            ways.gives(&format!("SELECT id, rank() OVER (ORDER BY f + 1) {a}"), &["1|1", "2|1"]).await;
            ways.gives(&format!("SELECT id, rank() OVER (PARTITION BY f ORDER BY id DESC) {a}"), &["1|2", "2|1"]).await;
        }
    })
    .await;
}
