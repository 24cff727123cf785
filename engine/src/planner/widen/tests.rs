//! Queries whose parts differ in their columns or conditions, over tables of this node: the parts that run once, and the
//! rows with and without sharing. The expected values are from the formulas of the tables.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{col, lit};
use futures::TryStreamExt;

use super::widen;
use crate::{Engine, Principal, Session};

/// A session with a table `t` of 1,000 rows: `a` from 1, its last digit `d`, its square `s`, and `k`, which is NULL in each
/// third row. And `names`, with a name for each digit but 9.
async fn session() -> Session {
    let session = Engine::builder().cpu_threads(2).build().unwrap().session(Principal::anonymous());
    let t = "CREATE TABLE t AS SELECT value AS a, value % 10 AS d, value * value AS s, \
             CASE WHEN value % 3 = 0 THEN NULL ELSE value % 7 END AS k FROM generate_series(1, 1000)";
    rows(&session, t).await;
    rows(&session, "CREATE TABLE names AS SELECT value AS d, 'digit ' || value AS name FROM generate_series(0, 8)")
        .await;
    session
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let batches: Vec<RecordBatch> = session.sql(sql).await.unwrap().try_collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" ");
    text.lines().skip(3).filter(|line| line.starts_with('|')).map(cells).collect()
}

/// Checks the rows of a query with and without sharing, and the readers of its shared parts.
async fn check(session: &Session, sql: &str, expected: &[&str], readers: &[usize]) {
    session.set("portolan.share", "off").unwrap();
    assert_eq!(rows(session, sql).await, expected, "{sql}, without sharing");
    session.set("portolan.share", "on").unwrap();
    assert_eq!(rows(session, sql).await, expected, "{sql}");
    let text = rows(session, &format!("EXPLAIN ANALYZE {sql}")).await.join("\n");
    for (part, readers) in (1..).zip(readers) {
        assert!(text.contains(&format!("part={part}, readers={readers}")), "{sql}\n{text}");
    }
    assert!(!text.contains(&format!("part={},", readers.len() + 1)), "{sql}\n{text}");
}

#[tokio::test]
async fn readings_with_other_columns_share_one_part() {
    let session = session().await;
    let by_digit = "WITH w AS (SELECT d, count(*) AS n, sum(a) AS total, max(s) AS most FROM t GROUP BY d)";
    // Other aggregates, other orders, and all columns.
    check(
        &session,
        &format!("{by_digit} SELECT u.d, u.total, v.most FROM w u JOIN w v ON v.d = u.d + 1 WHERE u.total = 50500"),
        &["0 50500 982081"],
        &[2],
    )
    .await;
    check(
        &session,
        &format!(
            "{by_digit} SELECT u.d, u.n, x.all_rows FROM w u JOIN (SELECT sum(n) AS all_rows, max(most) AS most FROM w) x \
             ON u.most = x.most JOIN (SELECT * FROM w) v ON v.total = u.total"
        ),
        &["0 100 1000"],
        &[3],
    )
    .await;
    // One reading needs no aggregate at all.
    check(
        &session,
        &format!(
            "{by_digit} SELECT count(*), sum(v.n) FROM (SELECT d FROM w) u JOIN w v ON u.d = v.d WHERE v.total > 50000"
        ),
        &["5 500"],
        &[2],
    )
    .await;
}

#[tokio::test]
async fn joins_windows_and_repeated_subqueries_share_one_part() {
    let session = session().await;
    // The optimizer leaves the name out of one reading. The join stays, because it drops the digit 9.
    check(
        &session,
        "WITH w AS (SELECT name, t.d, count(*) AS n, count(k) AS k FROM t JOIN names ON names.d = t.d GROUP BY name, t.d) \
         SELECT u.name, v.n, v.k FROM w u JOIN w v ON v.d = u.d + 8 AND v.n = u.n",
        &["digit 0 100 67"],
        &[2],
    )
    .await;
    check(
        &session,
        "WITH w AS (SELECT a, s, row_number() OVER (ORDER BY a) AS i, sum(a) OVER (ORDER BY a) AS upto FROM t) \
         SELECT u.a, v.upto FROM w u JOIN w v ON v.i = u.i + 1 WHERE u.s = 16",
        &["4 15"],
        &[2],
    )
    .await;
    // No WITH: the text repeats the subquery.
    check(
        &session,
        "SELECT u.n, v.total FROM (SELECT d, count(*) AS n FROM t GROUP BY d) u \
         JOIN (SELECT d, sum(a) AS total FROM t GROUP BY d) v ON u.d = v.d WHERE v.total = 50500",
        &["100 50500"],
        &[2],
    )
    .await;
    check(
        &session,
        "SELECT (SELECT max(n) FROM (SELECT d, count(k) AS n FROM t GROUP BY d)), \
         (SELECT min(total) FROM (SELECT d, sum(a) AS total FROM t GROUP BY d))",
        &["67 49600"],
        &[2],
    )
    .await;
}

#[tokio::test]
async fn what_differs_in_more_than_columns_stays_apart() {
    let session = session().await;
    for (sql, expected) in [
        // Other groups, other joins, other tables, DISTINCT.
        (
            "SELECT u.n, v.n FROM (SELECT d, count(*) AS n FROM t GROUP BY d) u \
             JOIN (SELECT d % 5 AS d, count(*) AS n, max(a) AS a FROM t GROUP BY d % 5) v ON u.d = v.d WHERE u.d = 4",
            "100 200",
        ),
        (
            "SELECT count(u.d), sum(v.n) FROM (SELECT t.d, max(a) AS n FROM t LEFT JOIN names ON t.d = names.d GROUP BY t.d) u \
             RIGHT JOIN (SELECT t.d, count(*) AS n FROM t JOIN names ON t.d = names.d GROUP BY t.d) v ON u.d = v.d",
            "9 900",
        ),
        (
            "SELECT (SELECT count(*) FROM (SELECT DISTINCT d FROM t)), (SELECT count(*) FROM (SELECT DISTINCT d, k FROM t))",
            "10 80",
        ),
        (
            "SELECT sum(x) FROM (SELECT d, max(a) AS x FROM t GROUP BY d UNION ALL SELECT d, count(*) AS x FROM names GROUP BY d)",
            "9964",
        ),
        // Windows in other orders, and aggregates that need other orders: DataFusion evaluates no two of them together.
        (
            "WITH w AS (SELECT a, row_number() OVER (ORDER BY a) AS i, row_number() OVER (ORDER BY a DESC) AS j FROM t) \
             SELECT u.a, v.a FROM w u JOIN w v ON u.i = v.j WHERE u.a = 1",
            "1 1000",
        ),
        (
            "WITH w AS (SELECT d, max(a) AS m, string_agg(CAST(a AS VARCHAR), ',' ORDER BY a) AS x, \
             string_agg(CAST(a AS VARCHAR), ',' ORDER BY a DESC) AS y FROM t WHERE a > 990 GROUP BY d) \
             SELECT u.x, v.y FROM w u JOIN w v ON u.d = v.d AND u.m = v.m WHERE u.m = 1000",
            "1000 1000",
        ),
        // Subqueries over other tables with the same name.
        (
            "SELECT u.n, v.m FROM \
             (SELECT d, count(*) AS n FROM t WHERE a > (SELECT max(value) FROM generate_series(1, 10)) GROUP BY d) u \
             JOIN (SELECT d, sum(a) AS m FROM t WHERE a > (SELECT max(value) FROM generate_series(1, 20)) GROUP BY d) v \
             ON u.d = v.d WHERE v.m = 49588",
            "99 49588",
        ),
    ] {
        check(&session, sql, &[expected], &[]).await;
    }
}

#[tokio::test]
async fn readings_with_other_conditions_share_one_part() {
    let session = session().await;
    // Groups that only one of them has are not seen by the other.
    for (sql, expected, readers) in [
        (
            "SELECT u.d, u.n, v.n, v.a FROM (SELECT d, count(*) AS n FROM t WHERE a > 995 GROUP BY d) u \
             FULL JOIN (SELECT d, count(k) AS n, max(a) AS a FROM t WHERE a < 4 GROUP BY d) v ON u.d = v.d \
             ORDER BY u.d, v.a",
            &["0 1  ", "6 1  ", "7 1  ", "8 1  ", "9 1  ", "  1 1", "  1 2", "  0 3"][..],
            2,
        ),
        // Without groups, each has its row, also if no row meets the condition.
        (
            "SELECT u.*, v.*, w.* FROM \
             (SELECT count(*) AS n, sum(a) AS total, count(DISTINCT d) AS digits FROM t WHERE a <= 10) u CROSS JOIN \
             (SELECT count(*) AS m, min(s) AS least, count(DISTINCT d) AS others FROM t WHERE a > 990) v CROSS JOIN \
             (SELECT count(*) AS o, sum(a) AS none FROM t WHERE a < 0) w",
            &["10 55 10 10 982081 10 0 "],
            3,
        ),
        // The condition is on a column that the part does not return, and one reading has none.
        (
            "WITH w AS (SELECT t.a, t.d, name FROM t JOIN names ON names.d = t.d) \
             SELECT (SELECT count(*) FROM (SELECT a, name FROM w)), (SELECT max(a) FROM (SELECT a FROM w WHERE a < 500)), \
             (SELECT min(name) FROM (SELECT name FROM w WHERE a > 995))",
            &["900 498 digit 0"],
            3,
        ),
        // A condition above the groups, and one of the same name for another value.
        (
            "WITH w AS (SELECT d, k, count(*) AS n FROM t GROUP BY d, k) \
             SELECT u.d, u.n, v.n FROM (SELECT d, n FROM w WHERE k = 1) u JOIN (SELECT d, n FROM w WHERE k = 2) v \
             ON u.d = v.d WHERE u.d < 3 ORDER BY u.d",
            &["0 9 9", "1 10 9", "2 10 10"],
            2,
        ),
        (
            "WITH w AS (SELECT s, name, t.d FROM t JOIN names ON names.d = t.d WHERE t.a < 500), b AS ( \
             SELECT s % 100 AS x, name FROM w WHERE s < 900 INTERSECT SELECT s % 100 AS x, name FROM w WHERE s > 810000 \
             INTERSECT SELECT s % 100 AS x, name FROM w WHERE s > 10000) SELECT count(*) FROM b",
            &["0"],
            3,
        ),
        // A semi join keeps rows of one side, and an outer join all of them.
        (
            "WITH w AS (SELECT t.d, t.a FROM t LEFT SEMI JOIN names ON names.d = t.d AND name <> 'digit 3') \
             SELECT (SELECT count(*) FROM w WHERE a > 900), (SELECT sum(a) FROM w WHERE a < 5)",
            &["80 7"],
            2,
        ),
        (
            "WITH w AS (SELECT t.a, name FROM t LEFT JOIN names ON names.d = t.d AND names.d < 2) \
             SELECT (SELECT count(name) FROM w WHERE a > 900), (SELECT count(*) FROM w WHERE a < 5)",
            &["20 4"],
            2,
        ),
    ] {
        check(&session, sql, expected, &[readers]).await;
    }
}

/// The filters of a scan leave out rows of its result, and the table is read all the same.
#[test]
fn a_table_is_read_once_for_scans_with_filters() {
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
    let table = provider_as_source(Arc::new(MemTable::try_new(Arc::new(schema), vec![vec![]]).unwrap()));
    let count_of = |value: i64, alias: &str| {
        let filters = vec![col("t.b").gt(lit(0_i64)), col("t.a").eq(lit(value))];
        let scan = LogicalPlanBuilder::scan_with_filters("t", Arc::clone(&table), None, filters.clone()).unwrap();
        let rows = scan.filter(conjunction(filters).unwrap()).unwrap();
        let count = rows.aggregate(Vec::<Expr>::new(), [count(col("t.a"))]).unwrap();
        count.alias(alias).unwrap().build().unwrap()
    };
    let plan = LogicalPlanBuilder::from(count_of(1, "u")).cross_join(count_of(2, "v")).unwrap().build().unwrap();
    let mut aggregates = vec![];
    widen(plan)
        .unwrap()
        .apply(|operator| {
            aggregates.extend(matches!(operator, LogicalPlan::Aggregate(_)).then(|| operator.clone()));
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
    assert!(aggregates.len() == 2 && aggregates[0] == aggregates[1], "{aggregates:?}");
}

/// An expression that fails for a row of no reading, and names of a side that a semi join drops.
#[tokio::test]
async fn fused_parts_read_nothing_but_rows_and_columns_of_their_readings() {
    let session = session().await;
    rows(&session, "CREATE TABLE x AS SELECT value AS k, value * 10 AS z, value * 100 AS x FROM generate_series(1, 5)")
        .await;
    rows(&session, "CREATE TABLE y AS SELECT value AS y FROM generate_series(3, 9)").await;
    let by_quotient = |condition: &str, having: &str| {
        format!(
            "SELECT sum(s) FROM (SELECT 10 / (d - 3) AS q, sum(n) AS s FROM (SELECT d, count(*) AS n FROM t WHERE {condition} \
             GROUP BY d HAVING {having}) GROUP BY 10 / (d - 3))"
        )
    };
    for (sql, expected) in [
        (
            format!(
                "SELECT ({}), ({})",
                by_quotient("a > 990", "count(*) > 5"),
                by_quotient("a < 3", "count(*) < 5")
            ),
            " 2",
        ),
        (
            "SELECT (SELECT max(w.k + w.z + w.x) FROM (SELECT * FROM x LEFT SEMI JOIN (SELECT y AS x FROM y) v ON x.k = v.x) w), \
             (SELECT max(w.k + w.z) FROM (SELECT * FROM x LEFT SEMI JOIN (SELECT y AS z FROM y) v ON x.k = v.z) w)"
                .to_owned(),
            "555 55",
        ),
        // Two names of one value: the groups and the columns stay two.
        (
            "WITH w AS (SELECT DISTINCT d AS c, d AS e FROM t) SELECT u.e, v.n FROM w u CROSS JOIN \
             (SELECT count(*) AS n FROM (SELECT e AS c FROM w WHERE e NOT IN (1, 2, 3))) v WHERE u.e = 4 GROUP BY v.n, u.e"
                .to_owned(),
            "4 7",
        ),
        (
            "WITH w AS (SELECT count(*) AS n, sum(a) AS total, count(*) AS m FROM t GROUP BY d) \
             SELECT u.n, v.b FROM w u RIGHT JOIN (SELECT sum(m) AS a, sum(total) AS b FROM w) v ON u.n = v.a / 10 \
             WHERE u.n > 2 GROUP BY u.n, v.b"
                .to_owned(),
            "100 500500",
        ),
    ] {
        for share in ["off", "on"] {
            session.set("portolan.share", share).unwrap();
            assert_eq!(rows(&session, &sql).await, [expected], "{sql}, share {share}");
        }
    }
}

/// A condition that may fail, a limit, a window and the side that an outer join fills with NULL: each would change the rows,
/// or make the query fail.
#[tokio::test]
async fn conditions_that_do_not_commute_stay_apart() {
    let session = session().await;
    for (sql, expected) in [
        ("SELECT (SELECT sum(10 / (a - 1)) FROM t WHERE a > 1), (SELECT count(*) FROM t WHERE a < 5)", "27 4"),
        (
            "SELECT (SELECT max(a) FROM (SELECT a FROM t WHERE a > 10 ORDER BY a LIMIT 2)), \
             (SELECT max(a) FROM (SELECT a FROM t WHERE a > 20 ORDER BY a LIMIT 2))",
            "12 22",
        ),
        (
            "SELECT (SELECT max(i) FROM (SELECT a, row_number() OVER (ORDER BY a) AS i FROM t WHERE a > 10)), \
             (SELECT max(i) FROM (SELECT a, row_number() OVER (ORDER BY a) AS i FROM t WHERE a > 20))",
            "990 980",
        ),
        (
            "SELECT (SELECT count(*) FROM t LEFT JOIN (SELECT d, name FROM names WHERE d > 2) n ON t.d = n.d WHERE name IS NULL), \
             (SELECT count(*) FROM t LEFT JOIN (SELECT d, name FROM names WHERE d > 4) n ON t.d = n.d WHERE name IS NULL)",
            "400 600",
        ),
    ] {
        check(&session, sql, &[expected], &[]).await;
    }
}

/// DataFusion compares the tables of plans by their names.
#[tokio::test]
async fn calls_with_other_arguments_are_other_tables() {
    let session = session().await;
    for (sql, expected) in [
        (
            "SELECT (SELECT max(value) FROM generate_series(1, 10)), (SELECT max(value) FROM generate_series(1, 20))",
            "10 20",
        ),
        ("SELECT (SELECT max(value) FROM range(1, 10)) + (SELECT max(value) FROM range(1, 20))", "28"),
        ("SELECT (SELECT count(*) FROM LATERAL range(10)), (SELECT count(*) FROM LATERAL range(20))", "10 20"),
    ] {
        check(&session, sql, &[expected], &[]).await;
    }
}

/// A name in a view can mean another table than in the statement around it.
#[tokio::test]
async fn namesakes_are_other_tables() {
    let session = session().await;
    let sql = "SELECT (SELECT max(value) FROM \"generate_series(1, 10)\" AS \"generate_series()\"), \
               (SELECT max(value) FROM generate_series(1, 10)), (SELECT max(value) FROM generate_series(1, 10))";
    rows(&session, "CREATE TABLE \"generate_series(1, 10)\" AS SELECT value + 5 AS value FROM generate_series(1, 10)")
        .await;
    check(&session, sql, &["15 10 10"], &[]).await;
}

/// Parts of widened parts that occur elsewhere too.
#[tokio::test]
async fn parts_within_parts_are_shared() {
    let session = session().await;
    let joined = "SELECT t.d, t.a, t.s, name FROM t LEFT JOIN names ON names.d = t.d";
    check(
        &session,
        &format!(
            "WITH j AS ({joined}), w AS (SELECT d, count(name) AS n, max(a) AS most FROM j GROUP BY d) \
             SELECT u.n, v.most, (SELECT max(s) FROM j) FROM w u JOIN w v ON u.d = v.d AND v.most = 999"
        ),
        &["0 999 1000000"],
        &[2, 2],
    )
    .await;
}

#[tokio::test]
async fn columns_with_one_name_are_not_confused() {
    let session = session().await;
    for (sql, expected) in [
        // `x` is another aggregate in each subquery.
        (
            "SELECT u.x, v.x FROM (SELECT d, count(*) AS x FROM t GROUP BY d) u \
             JOIN (SELECT d, sum(a) AS x FROM t GROUP BY d) v ON u.d = v.d WHERE u.d = 3",
            "100 49800",
        ),
        // Both sides of the join below have the column `d`.
        (
            "WITH w AS (SELECT l.d AS d, r.d AS e, count(*) AS n, max(r.a) AS m FROM t l JOIN t r ON l.a = r.a + 1 \
             GROUP BY l.d, r.d) SELECT u.d, u.n, v.e, v.m FROM w u JOIN w v ON u.d = v.e WHERE u.d = 0",
            "0 100 0 990",
        ),
        (
            "WITH w AS (SELECT l.a, l.s, r.s AS s2, l.d FROM t l JOIN t r ON l.a = r.a + 1), \
             v AS (SELECT d, max(s) AS most, min(s2) AS least FROM w GROUP BY d) \
             SELECT x.d, x.most, y.least FROM v x JOIN v y ON x.d = y.d WHERE x.d = 5",
            "5 990025 16",
        ),
    ] {
        session.set("portolan.share", "off").unwrap();
        assert_eq!(rows(&session, sql).await, [expected], "{sql}, without sharing");
        session.set("portolan.share", "on").unwrap();
        assert_eq!(rows(&session, sql).await, [expected], "{sql}");
    }
}
