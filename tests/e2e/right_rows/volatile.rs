//! A volatile function is evaluated once for each row that calls it. The tests check conditions that hold for each of
//! its values.

use std::sync::Arc;

use arrow::array::Int64Array;
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

/// Enough rows that a value computed twice differs in one of them.
const ROWS: i64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volatile_values_are_computed_once() {
    within(600, async {
        let numbers = |from: i64| table(vec![("x", Arc::new(Int64Array::from_iter_values(from..from + ROWS)))]);
        let ways = Ways::of_tables(&[("east", "a", numbers(0)), ("west", "b", numbers(100))]).await;
        // 200 rows.
        let joined = "east.samples.a AS a JOIN west.samples.b AS b ON a.x = b.x";

        for (sql, expected) in [
            // The value is read twice, in a struct and outside of it.
            ("SELECT count(*) FROM (SELECT named_struct('a', random()) AS s FROM FROM_A) AS t WHERE s['a'] = s['a']", "300"),
            (
                "SELECT count(*) FROM (SELECT s['a'] AS l, s['a'] AS r, s FROM (SELECT named_struct('a', random()) AS s FROM FROM_BOTH) \
                 AS t) AS u WHERE l = r AND s['a'] = l",
                "200",
            ),
            (
                "SELECT count(*) FROM (SELECT named_struct('a', uuid()) AS s FROM FROM_A ORDER BY 1) AS t WHERE s['a'] = s['a'] AND \
                 substr(s['a'], 1, 4) = left(s['a'], 4)",
                "300",
            ),
            // The query groups by the value and filters it.
            ("SELECT max(r) < 0.5 FROM (SELECT random() AS r FROM FROM_A GROUP BY random()) AS t WHERE r < 0.5", "true"),
            ("SELECT max(r) < 0.5 FROM (SELECT random() AS r FROM FROM_BOTH GROUP BY r HAVING r < 0.5) AS t", "true"),
            (
                "SELECT sum(n) FROM (SELECT floor(random() * 3) AS g, count(*) AS n FROM FROM_BOTH GROUP BY floor(random() * 3)) AS t \
                 WHERE g IN (0, 1, 2)",
                "200",
            ),
            ("SELECT sum(n) FROM (SELECT count(*) AS n FROM FROM_A GROUP BY ROLLUP (floor(random() * 3))) AS t", "600"),
            // The operator repeats its operand.
            ("SELECT count(*) FROM FROM_A WHERE floor(random() * 3) IN (0, 1, 2)", "300"),
            ("SELECT count(*) FROM FROM_BOTH WHERE floor(random() * 2) BETWEEN 0 AND 1 AND a.x >= 0", "200"),
            ("SELECT count(*) BETWEEN 1 AND 100 FROM FROM_A WHERE random() BETWEEN 0.4 AND 0.6", "true"),
            ("SELECT count(coalesce(nullif(floor(random() * 2), 0), 5)) FROM FROM_A", "300"),
            (
                "SELECT count(CASE floor(random() * 3) WHEN 0 THEN 'a' WHEN 1 THEN 'b' WHEN 2 THEN 'c' END) FROM FROM_BOTH",
                "200",
            ),
            ("SELECT count(*) FROM FROM_A WHERE CASE WHEN random() < 0.5 THEN true ELSE true END", "300"),
            // The query orders and partitions by the value.
            (
                "SELECT count(*) FROM (SELECT r, lag(r) OVER (ORDER BY r) AS l FROM (SELECT random() AS r FROM FROM_A) AS t) AS u WHERE \
                 l > r",
                "0",
            ),
            (
                "SELECT count(*) FROM (SELECT g, max(c) AS m, count(*) AS n FROM (SELECT g, row_number() OVER (PARTITION BY g) AS c FROM \
                 (SELECT floor(random() * 3) AS g FROM FROM_A) AS t) AS u GROUP BY g) AS v WHERE m = n",
                "3",
            ),
            (
                "SELECT count(*) FROM (SELECT count(*) OVER (PARTITION BY floor(random() * 1)) AS c FROM FROM_BOTH) AS t WHERE c = 200",
                "200",
            ),
            // A condition on pairs of rows.
            ("SELECT count(*) FROM east.samples.a AS a JOIN west.samples.b AS b ON a.x = b.x AND floor(random() * 2) IN (0, 1)", "200"),
        ] {
            let sql = sql.replace("FROM_A", "east.samples.a AS a").replace("FROM_BOTH", joined);
            ways.gives(&sql, &[expected]).await;
        }
        // A comparison of rows repeats their values, unless it is `=` or `<>`.
        for condition in [
            "(floor(random() * 2), 1) IN ((0.0, 1), (1.0, 1))",
            "(floor(random() * 2), 1) < (1.0, 2)",
            "(1.0, 2) >= (random(), 2)",
            "((SELECT random()), 1) NOT IN ((0.0, 1), (1.0, 1))",
        ] {
            let sql = format!("SELECT count(*) FROM east.samples.a AS a WHERE {condition}");
            ways.refuses(&sql, ErrorKind::Unsupported, &["a volatile function", "FROM (SELECT random() AS r"]).await;
        }
        for condition in [
            "(floor(random() * 1), x) = (0.0, x)",
            "(x, floor(random() * 1)) <= (x, 0.0)",
            "(floor(random() * 1), x) NOT IN ((1.0, x))",
        ] {
            ways.gives(&format!("SELECT count(*) FROM east.samples.a AS a WHERE {condition}"), &["300"]).await;
        }
        ways.gives(
            "SELECT count(*) FROM (SELECT floor(random() * 2) AS r FROM east.samples.a) AS t WHERE (r, 1) IN ((0.0, 1), (1.0, 1))",
            &["300"],
        )
        .await;
        ways.gives("WITH t AS (SELECT random() AS r) SELECT r = r FROM t", &["true"]).await;
        for (sql, expected) in [
            ("WITH t AS (SELECT random() AS r) SELECT l.r = r.r FROM t AS l, t AS r", "true"),
            (
                "WITH t AS (SELECT x, uuid() AS r FROM east.samples.a), u AS (SELECT * FROM t) SELECT count(DISTINCT r) FROM \
                 (SELECT r FROM u UNION ALL SELECT r FROM u) AS v",
                "300",
            ),
            ("WITH t AS (SELECT x FROM east.samples.a LIMIT 7) SELECT count(*) FROM t AS l JOIN t AS r ON l.x = r.x", "7"),
        ] {
            ways.gives(sql, &[expected]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_volatile_projections_are_computed_separately() {
    within(600, async {
        let x = |values: Vec<i64>| table(vec![("x", Arc::new(Int64Array::from(values)))]);
        let ways = Ways::of_tables(&[("east", "a", x(vec![1, 5])), ("west", "b", x(vec![10]))]).await;
        ways.gives("SELECT x + 1 AS x FROM (SELECT x + 1 AS x FROM (SELECT 1 AS x))", &["3"]).await;
        ways.gives(
            "SELECT x * 2 AS x FROM (SELECT x * 2 AS x FROM (SELECT x * 2 AS x FROM (SELECT x + 0 AS x FROM east.samples.a)))",
            &["8", "40"],
        )
        .await;
        ways.gives("SELECT x + 1 AS x FROM (SELECT x FROM (SELECT x + 1 AS x FROM (SELECT -x AS x FROM west.samples.b)))", &["-8"])
            .await;
        ways.gives(
            "SELECT -x AS x FROM (SELECT -x AS x FROM (SELECT x + 0 AS x FROM east.samples.a UNION ALL SELECT x FROM west.samples.b) \
             WHERE x <> 5)",
            &["1", "10"],
        )
        .await;
        ways.gives(
            "SELECT sum(x) FROM (SELECT x + 1 AS x, x AS y FROM (SELECT x + 1 AS x, x AS y FROM (SELECT 1 AS x, 2 AS y)))",
            &["3"],
        )
        .await;
        ways.gives("SELECT concat(s, 'a') AS s FROM (SELECT concat(s, 'a') AS s FROM (SELECT NULL AS s))", &["aa"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_subqueries_with_volatile_functions_are_evaluated_separately() {
    within(600, async {
        let numbers = |from: i64| table(vec![("x", Arc::new(Int64Array::from_iter_values(from..from + ROWS)))]);
        let ways = Ways::of_tables(&[("east", "a", numbers(0)), ("west", "b", numbers(100))]).await;
        let largest = "(SELECT max(r) FROM (SELECT random() AS r FROM east.samples.a) AS t)";
        // 200 rows of `a` have a match.
        let correlated = "(SELECT max(random() + b.x) FROM west.samples.b AS b WHERE b.x = a.x)";
        for (sql, expected) in [
            ("SELECT (SELECT random()) = (SELECT random())", "false"),
            ("SELECT (SELECT random() AS r) = (SELECT random() AS r)", "false"),
            ("SELECT (SELECT uuid()) = (SELECT uuid())", "false"),
            ("SELECT CASE WHEN (SELECT random()) = (SELECT random()) THEN 'same' ELSE 'other' END", "other"),
            ("SELECT count(*) FROM FROM_A WHERE (SELECT random()) = (SELECT random())", "0"),
            ("SELECT (SELECT (SELECT random())) = (SELECT (SELECT random()))", "false"),
            ("SELECT LARGEST = LARGEST", "false"),
            ("SELECT count(*) FROM FROM_A WHERE CORRELATED = CORRELATED", "0"),
            ("SELECT count(*) FROM FROM_A WHERE CORRELATED <> CORRELATED", "200"),
            (
                "SELECT l.r = r.r FROM (SELECT (SELECT random()) AS r) AS l, (SELECT (SELECT random()) AS r) AS r",
                "false",
            ),
            (
                "SELECT count(DISTINCT r) FROM (SELECT (SELECT random()) AS r UNION ALL SELECT (SELECT random())) AS t",
                "2",
            ),
            // One subquery has one value, wherever a name or an operator repeats it.
            ("SELECT count(DISTINCT r) FROM (SELECT (SELECT random()) AS r FROM FROM_A) AS t", "1"),
            ("SELECT r = r FROM (SELECT (SELECT random()) AS r) AS t", "true"),
            ("SELECT count(*) FROM FROM_A WHERE floor((SELECT random()) * 3) IN (0, 1, 2)", "300"),
            ("SELECT count(*) FROM FROM_A WHERE floor((SELECT random()) * 3) BETWEEN 0 AND 2", "300"),
            ("SELECT sum(n) FROM (SELECT (SELECT random()) AS r, count(*) AS n FROM FROM_A GROUP BY r HAVING r < 2) AS t", "300"),
            (
                "SELECT count(*) FROM (SELECT (SELECT random()) AS r, count(*) AS n FROM FROM_A HAVING r < 0.5) AS t WHERE r >= 0.5",
                "0",
            ),
            // A `WITH` query has one value for all of its readings.
            ("WITH t AS (SELECT (SELECT random()) AS r) SELECT l.r = r.r FROM t AS l, t AS r", "true"),
            // A stable function has the same value everywhere.
            ("SELECT (SELECT now()) = (SELECT now())", "true"),
            // Subqueries of other kinds.
            ("SELECT 1 IN (SELECT 1 WHERE random() < 2), (1, 2) IN (SELECT 1, 2 WHERE random() < 2)", "true|true"),
            ("SELECT EXISTS (SELECT 1 WHERE random() < 2) AND NOT EXISTS (SELECT 1 WHERE random() > 2)", "true"),
            ("SELECT count(*) FROM FROM_A WHERE x IN (SELECT b.x FROM west.samples.b AS b WHERE random() < 2)", "200"),
            ("SELECT count(*) FROM FROM_A WHERE x NOT IN (SELECT b.x FROM west.samples.b AS b WHERE random() < 2)", "100"),
            (
                "SELECT count(*) FROM FROM_A WHERE EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.x = a.x AND random() < 2)",
                "200",
            ),
        ] {
            let sql = sql.replace("FROM_A", "east.samples.a AS a");
            ways.gives(&sql.replace("LARGEST", largest).replace("CORRELATED", correlated), &[expected]).await;
        }
    })
    .await;
}
