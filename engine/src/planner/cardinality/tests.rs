//! Estimates for queries over a small mesh. Its owner has full statistics for most ports, and none for some.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod overlap;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use portolan_catalog::{Column, ColumnStatistics, DomainCatalog, Port, PortRef, PortStatistics, StatisticValue};

use super::q_error::q_error;
use super::{Cardinality, estimate, estimate_operator, join_selectivity, matched_fraction};
use crate::Engine;
use crate::encode::keys::{InKeys, SentKeys};
use crate::fake_mesh::{FakePeer, analysed, state_of};
use crate::planner::normalise;

type Described = (&'static str, DataType, Option<ColumnStatistics>);

fn number(name: &'static str, distinct: u64, min: f64, max: f64) -> Described {
    let (min, max) = (Some(StatisticValue::Number(min)), Some(StatisticValue::Number(max)));
    let statistics = ColumnStatistics { distinct: Some(distinct), nulls: Some(0), min, max, ..Default::default() };
    (name, DataType::Int64, Some(statistics))
}

fn typed(data_type: DataType, (name, _, statistics): Described) -> Described {
    (name, data_type, statistics)
}

fn text(name: &'static str, distinct: u64, frequent: &[(&str, f64)]) -> Described {
    let frequent = frequent.iter().map(|(v, share)| (StatisticValue::Text((*v).into()), *share)).collect();
    let statistics = ColumnStatistics {
        distinct: Some(distinct),
        nulls: Some(0),
        width: Some(30.0),
        frequent,
        ..Default::default()
    };
    (name, DataType::Utf8View, Some(statistics))
}

fn nulls(nulls: u64, (name, data_type, statistics): Described) -> Described {
    (name, data_type, statistics.map(|s| ColumnStatistics { nulls: Some(nulls), ..s }))
}

fn frequent(frequent: &[(f64, f64)], (name, data_type, statistics): Described) -> Described {
    let frequent = frequent.iter().map(|(v, share)| (StatisticValue::Number(*v), *share)).collect();
    (name, data_type, statistics.map(|s| ColumnStatistics { frequent, ..s }))
}

fn unknown(name: &'static str, data_type: DataType) -> Described {
    (name, data_type, None)
}

fn port(name: &str, rows: Option<u64>, key: &[&str], columns: Vec<Described>) -> Port {
    let mut port = Port::new(PortRef::new("d", "p", name));
    let known = columns.iter().filter_map(|(name, _, s)| Some(((*name).to_owned(), s.clone()?)));
    port.statistics = Arc::new(PortStatistics { rows, columns: known.collect(), ..Default::default() });
    port.primary_key = key.iter().map(|k| (*k).to_owned()).collect();
    port.with_columns(columns.iter().map(|(name, data_type, _)| Column::new(*name).with_type(data_type.clone())))
}

fn ports() -> Vec<Port> {
    let day = |name, distinct| typed(DataType::Date32, number(name, distinct, 8035.0, 10440.0));
    let seconds = number("o_at", 1_400_000, 8035.0 * 86_400.0, 10440.0 * 86_400.0);
    let flag = (
        "o_flag",
        DataType::Boolean,
        Some(ColumnStatistics {
            distinct: Some(2),
            nulls: Some(0),
            frequent: vec![(StatisticValue::Number(0.0), 0.9), (StatisticValue::Number(1.0), 0.1)],
            ..Default::default()
        }),
    );
    vec![
        port(
            "orders",
            Some(1_500_000),
            &["o_orderkey"],
            vec![
                number("o_orderkey", 1_500_000, 1.0, 6_000_000.0),
                number("o_custkey", 100_000, 1.0, 150_000.0),
                day("o_orderdate", 2406),
                typed(DataType::Timestamp(TimeUnit::Microsecond, None), seconds),
                nulls(300_000, number("o_clerk", 1000, 1.0, 1000.0)),
                text("o_status", 3, &[("F", 0.49), ("O", 0.49)]),
                flag,
            ],
        ),
        port(
            "customer",
            Some(150_000),
            &["c_custkey"],
            vec![
                number("c_custkey", 150_000, 1.0, 150_000.0),
                number("c_nationkey", 25, 0.0, 24.0),
                text("c_segment", 5, &[("BUILDING", 0.4)]),
                text("c_name", 150_000, &[]),
            ],
        ),
        port(
            "lineitem",
            Some(6_000_000),
            &["l_orderkey", "l_line"],
            vec![
                number("l_orderkey", 1_500_000, 1.0, 6_000_000.0),
                number("l_line", 7, 1.0, 7.0),
                number("l_partkey", 200_000, 1.0, 200_000.0),
                number("l_suppkey", 10_000, 1.0, 10_000.0),
                typed(DataType::Decimal128(15, 2), number("l_quantity", 50, 1.0, 50.0)),
                typed(DataType::Decimal128(15, 2), number("l_discount", 11, 0.0, 0.1)),
                day("l_shipdate", 2406),
                day("l_commitdate", 2406),
            ],
        ),
        port(
            "partsupp",
            Some(800_000),
            &["ps_partkey", "ps_suppkey"],
            vec![number("ps_partkey", 200_000, 1.0, 200_000.0), number("ps_suppkey", 10_000, 1.0, 10_000.0)],
        ),
        port("nation", Some(25), &["n_nationkey"], vec![number("n_nationkey", 25, 0.0, 24.0), text("n_name", 25, &[])]),
        port(
            "calendar",
            Some(73_000),
            &["y_key"],
            vec![
                number("y_key", 73_000, 1.0, 73_000.0),
                number("y_year", 200, 1900.0, 2099.0),
                number("y_weekday", 7, 0.0, 6.0),
            ],
        ),
        port(
            "visits",
            Some(3_600_000),
            &[],
            vec![number("v_day", 1800, 35_001.0, 36_800.0), number("v_item", 1000, 1.0, 1000.0)],
        ),
        port(
            "stays",
            Some(1_000_000),
            &[],
            vec![frequent(&[(35_010.0, 0.4)], number("s_day", 1800, 35_001.0, 36_800.0))],
        ),
        port("early", Some(1000), &[], vec![number("e_n", 100, 0.0, 99.0)]),
        port("late", Some(1000), &[], vec![number("t_n", 100, 50.0, 149.0)]),
        port("bare", Some(1000), &["b_key"], vec![unknown("b_key", DataType::Int64), unknown("b_x", DataType::Int64)]),
        port("dark", None, &[], vec![unknown("d_x", DataType::Int64)]),
    ]
}

async fn mesh() -> Engine {
    let domain = DomainCatalog::new("d", ports());
    let engine = Engine::builder().cpu_threads(1).peer(FakePeer::new("grpc://d", vec![domain])).build().unwrap();
    engine.refresh().await;
    engine
}

async fn planned(engine: &Engine, sql: &str) -> LogicalPlan {
    let words: Vec<String> = sql.split_whitespace().map(str::to_owned).collect();
    let named = ports().iter().fold(words, |words, port| {
        let name = port.name.port.as_str();
        words.into_iter().map(|w| if w == name { format!("d.p.{name}") } else { w }).collect()
    });
    normalise::normalise(&state_of(engine), &analysed(engine, &named.join(" ")).await).unwrap()
}

async fn estimated(sql: &str) -> Cardinality {
    estimate(&planned(&mesh().await, sql).await)
}

/// Checks the estimated rows of each query. The estimate must be within 2 %, or one row.
async fn check(cases: &[(&str, f64)]) {
    let engine = mesh().await;
    let mut wrong = vec![];
    for (sql, expected) in cases {
        let plan = planned(&engine, sql).await;
        let rows = estimate(&plan).rows;
        if q_error(rows, *expected) > 1.02 && (rows - expected).abs() > 1.0 {
            wrong.push(format!("{sql}: {rows}, not {expected}\n{}", plan.display_indent()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Checks the share of rows that `SELECT o_orderkey FROM orders WHERE …` keeps, for each predicate.
async fn check_orders(cases: &[(&str, f64)]) {
    let cases: Vec<_> = cases
        .iter()
        .map(|(p, share)| (format!("SELECT o_orderkey FROM orders WHERE {p}"), 1_500_000.0 * share))
        .collect();
    check(&cases.iter().map(|(sql, rows)| (sql.as_str(), *rows)).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn equality_goes_by_distinct_counts_and_frequent_values() {
    check_orders(&[
        ("o_custkey = 5", 1e-5),
        ("5 = o_custkey", 1e-5),
        ("o_custkey <> 5", 1.0),
        ("o_orderkey = 77", 1.0 / 1.5e6),
        // A fifth is NULL, the rest has 1000 values.
        ("o_clerk = 5", 0.8 / 1000.0),
        ("o_clerk <> 5", 0.8 - 0.8 / 1000.0),
        ("o_status = 'F'", 0.49),
        // The only value that is not listed has the rest of the rows.
        ("o_status = 'P'", 0.02),
        ("o_status <> 'F'", 0.51),
        ("o_status IN ('F', 'P')", 0.51),
        ("o_status = 'F' OR o_status = 'O'", 0.98),
        ("o_status NOT IN ('F', 'O')", 0.02),
        ("o_custkey IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)", 1e-4),
        // No value is outside the range. But statistics may be old, so one row is left.
        ("o_custkey = 999999999", 1.0 / 1.5e6),
        ("o_flag", 0.1),
        ("NOT o_flag", 0.9),
        ("o_custkey = o_orderkey", 1.0 / 1.5e6),
        ("o_custkey = (SELECT max(c_custkey) FROM customer )", 1e-5),
    ])
    .await;
}

#[tokio::test]
async fn ranges_are_interpolated_and_two_ends_are_one_interval() {
    check_orders(&[
        ("o_custkey <= 75000", 0.5),
        ("75000 >= o_custkey", 0.5),
        ("o_custkey > 15000", 0.9),
        ("o_custkey >= 30000 AND o_custkey < 60000", 0.2),
        ("o_custkey BETWEEN 30000 AND 60000", 0.2),
        ("o_custkey NOT BETWEEN 30000 AND 60000", 0.8),
        ("o_custkey > 200000", 1.0 / 1.5e6),
        ("o_custkey < 200000", 1.0),
        ("o_custkey > 60000 AND o_custkey < 30000", 1.0 / 1.5e6),
        ("o_custkey IN (1, 2, 70000) AND o_custkey < 60000", 2e-5),
        ("o_orderdate >= DATE '1995-01-01' AND o_orderdate < DATE '1996-01-01'", 365.0 / 2406.0),
        ("o_orderdate < DATE '1992-01-11'", 10.0 / 2406.0),
        // The range of timestamps is in seconds, whatever type they are compared with.
        ("CAST(o_at AS DATE) < DATE '1995-04-18'", 0.5),
        ("o_at >= TIMESTAMP '1995-04-18 00:00:00'", 0.5),
        ("CAST(o_orderdate AS TIMESTAMP) >= TIMESTAMP '1995-04-18 12:00:00'", 0.5),
        ("o_clerk <= 500", 0.4),
        ("o_custkey > (SELECT avg(c_custkey) FROM customer )", 1.0 / 3.0),
        ("extract(year FROM o_orderdate) = 1995", 365.0 / 2406.0),
        ("extract(year FROM o_orderdate) + 1 = 1996", 1.0 / 7.0),
        ("o_custkey < 30000 OR o_custkey < 60000", 0.4),
        ("(o_custkey > 30000 AND o_custkey < 60000) OR o_custkey > 120000", 0.4),
        ("extract(month FROM o_orderdate) = 3", 1.0 / 12.0),
        ("o_orderkey * 2 > 6000000", 0.5),
    ])
    .await;
    check(&[
        ("SELECT l_line FROM lineitem WHERE l_quantity < 24", 6e6 * 23.0 / 50.0),
        ("SELECT l_line FROM lineitem WHERE l_discount BETWEEN 0.05 AND 0.07", 6e6 * 3.0 / 11.0),
        ("SELECT l_line FROM lineitem WHERE l_commitdate < l_shipdate", 6e6 * 0.5),
    ])
    .await;
}

#[tokio::test]
async fn nulls_patterns_and_combinations() {
    check_orders(&[
        ("o_clerk IS NULL", 0.2),
        ("o_clerk IS NOT NULL", 0.8),
        ("o_clerk IS NULL OR o_flag", 1.0 - 0.8 * 0.9),
        ("o_status LIKE 'F%'", 0.5),
        ("o_status NOT LIKE 'F%'", 0.5),
        ("o_status LIKE '%'", 1.0),
        ("o_flag AND o_custkey <= 75000", 0.05),
        // The third and fourth overlap with the first two.
        ("o_flag AND o_custkey <= 75000 AND o_clerk IS NOT NULL", 0.05 * 0.8f64.sqrt()),
        ("NOT (o_custkey <= 75000 AND o_status = 'F')", 1.0 - 0.245),
        ("o_custkey = NULL", 0.0),
        ("1 = 0", 0.0),
    ])
    .await;
    check(&[
        ("SELECT c_custkey FROM customer WHERE c_name LIKE 'Ann%'", 150_000.0 * 0.05),
        ("SELECT c_custkey FROM customer WHERE c_name LIKE '%ann%'", 150_000.0 * 0.1),
        ("SELECT c_custkey FROM customer WHERE c_segment LIKE 'BUILD%'", 150_000.0),
        ("SELECT c_custkey FROM customer WHERE substr(c_name, 1, 2) = '12'", 1500.0),
    ])
    .await;
}

#[tokio::test]
async fn inner_joins_go_by_the_values_before_filters() {
    let join = "SELECT c_custkey FROM orders JOIN customer ON o_custkey = c_custkey";
    check(&[
        (join, 1.5e6),
        // Each side's filter counts once.
        (&format!("{join} WHERE c_segment = 'BUILDING'"), 0.6e6),
        (&format!("{join} WHERE c_segment = 'BUILDING' AND o_flag"), 0.06e6),
        (&format!("{join} WHERE c_name = 'Ann' AND o_orderkey = 7"), 1.0),
        (&format!("{join} JOIN nation ON c_nationkey = n_nationkey"), 1.5e6),
        (&format!("{join} JOIN nation ON c_nationkey = n_nationkey WHERE n_name = 'PERU'"), 0.06e6),
        ("SELECT n_name FROM nation CROSS JOIN customer", 25.0 * 150_000.0),
        // A join that returns many more rows than it reads.
        ("SELECT a.c_name FROM customer AS a JOIN customer AS b ON a.c_nationkey = b.c_nationkey", 150_000.0 * 6000.0),
        // A composite key, of which partsupp has 800,000 values and not 2,000,000,000.
        ("SELECT l_line FROM lineitem JOIN partsupp ON l_partkey = ps_partkey AND l_suppkey = ps_suppkey", 6e6),
        ("SELECT n_name FROM nation JOIN customer ON n_nationkey < c_nationkey", 25.0 * 150_000.0 * 0.5),
    ])
    .await;
}

#[tokio::test]
async fn outer_semi_and_anti_joins() {
    let few = "(SELECT c_custkey FROM customer WHERE c_segment = 'BUILDING')";
    check(&[
        ("SELECT o_orderkey, c_name FROM orders LEFT JOIN customer ON o_custkey = c_custkey", 1.5e6),
        // A third of the customers has no order.
        ("SELECT o_orderkey, c_name FROM customer LEFT JOIN orders ON o_custkey = c_custkey", 1.55e6),
        ("SELECT o_orderkey, c_name FROM customer FULL JOIN orders ON o_custkey = c_custkey", 1.55e6),
        (&format!("SELECT o_orderkey FROM orders WHERE o_custkey IN {few}"), 0.6e6),
        (&format!("SELECT o_orderkey FROM orders WHERE o_custkey NOT IN {few}"), 0.9e6),
        ("SELECT c_name FROM customer WHERE c_custkey IN (SELECT o_custkey FROM orders )", 100_000.0),
        ("SELECT c_name FROM customer WHERE NOT EXISTS (SELECT 1 FROM orders WHERE o_custkey = c_custkey)", 50_000.0),
        // It is only an assumption that all rows have a match, so some have none.
        ("SELECT o_flag FROM orders WHERE NOT EXISTS (SELECT 1 FROM customer WHERE o_custkey = c_custkey)", 15_000.0),
    ])
    .await;
}

#[tokio::test]
async fn groups_and_what_a_key_determines() {
    check(&[
        ("SELECT count(*) FROM orders ", 1.0),
        ("SELECT o_status, count(*) FROM orders GROUP BY o_status", 3.0),
        // NULL is a group of its own.
        ("SELECT o_clerk, count(*) FROM orders GROUP BY o_clerk", 1001.0),
        ("SELECT DISTINCT o_status FROM orders ", 3.0),
        ("SELECT DISTINCT o_status, o_flag FROM orders ", 6.0),
        // Columns of one port are not independent: they make at most a tenth of the rows groups.
        ("SELECT o_custkey, o_orderdate FROM orders GROUP BY o_custkey, o_orderdate", 150_000.0),
        ("SELECT o_orderkey, o_orderdate, o_status FROM orders GROUP BY o_orderkey, o_orderdate, o_status", 1.5e6),
        // The customer determines the names of itself and of its nation.
        (
            "SELECT c_custkey, c_name, n_name, count(*) FROM customer JOIN nation ON c_nationkey = n_nationkey
             GROUP BY c_custkey, c_name, n_name",
            150_000.0,
        ),
        // The order of a line determines the customer.
        (
            "SELECT l_orderkey, o_orderdate, o_custkey, count(*) FROM lineitem JOIN orders ON l_orderkey = o_orderkey
             GROUP BY l_orderkey, o_orderdate, o_custkey",
            1.5e6,
        ),
        (
            "SELECT n_name, extract(year FROM o_orderdate) AS y, count(*) FROM orders
             JOIN customer ON o_custkey = c_custkey JOIN nation ON c_nationkey = n_nationkey GROUP BY 1, 2",
            175.0,
        ),
        ("SELECT o_status, o_flag, count(*) FROM orders GROUP BY ROLLUP (o_status, o_flag)", 10.0),
        ("SELECT o_status, o_flag, count(*) FROM orders GROUP BY CUBE (o_status, o_flag)", 12.0),
        // A filter leaves fewer values.
        ("SELECT c_custkey FROM customer WHERE c_segment = 'BUILDING' GROUP BY c_custkey", 60_000.0),
    ])
    .await;
}

#[tokio::test]
async fn the_other_operators() {
    check(&[
        ("SELECT o_orderkey FROM orders LIMIT 10", 10.0),
        ("SELECT n_name FROM nation LIMIT 10 OFFSET 20", 5.0),
        ("SELECT o_orderkey FROM orders ORDER BY o_custkey LIMIT 7", 7.0),
        ("SELECT c_custkey FROM customer UNION ALL SELECT o_custkey FROM orders ", 1.65e6),
        ("SELECT c_custkey FROM customer UNION SELECT o_custkey FROM orders ", 150_000.0),
        ("SELECT x FROM (VALUES (1), (2), (2)) AS v (x) GROUP BY x", 2.0),
        ("SELECT 1 AS one", 1.0),
        ("SELECT k FROM (SELECT o_custkey AS k FROM orders ) AS t WHERE k = 1", 15.0),
        ("SELECT sum(o_custkey) OVER (PARTITION BY o_flag) FROM orders ", 1.5e6),
        ("SELECT unnest(make_array(n_nationkey, 1)) FROM nation ", 100.0),
        // INTERSECT also joins NULLs.
        ("SELECT c_nationkey FROM customer INTERSECT SELECT n_nationkey FROM nation ", 25.0),
    ])
    .await;
}

#[tokio::test]
async fn unknown_statistics_have_defaults() {
    check(&[
        ("SELECT d_x FROM dark ", 100_000.0),
        ("SELECT b_x FROM bare WHERE b_x = 1", 100.0),
        ("SELECT b_x FROM bare WHERE b_x > 1", 1000.0 / 3.0),
        ("SELECT b_x FROM bare WHERE b_x BETWEEN 1 AND 2", 250.0),
        ("SELECT b_x FROM bare WHERE b_key = 1", 1.0),
        ("SELECT b_x FROM bare GROUP BY b_x", 100.0),
        // The smaller side is assumed to have the key.
        ("SELECT b_x FROM bare JOIN dark ON b_x = d_x", 100_000.0),
        ("SELECT b_x FROM bare JOIN dark ON b_key = d_x", 100_000.0),
    ])
    .await;
    assert!(estimated("SELECT b_x FROM bare ").await.known);
    assert!(!estimated("SELECT d_x FROM dark WHERE d_x = 1").await.known);
    assert!(!estimated("SELECT d_x FROM dark JOIN bare ON d_x = b_x").await.known);
    assert!(estimated("SELECT d_x FROM dark LIMIT 10").await.known);
}

#[tokio::test]
async fn columns_after_operators() {
    let few = estimated("SELECT o_custkey, o_orderkey, o_status FROM orders WHERE o_custkey < 30000").await;
    let column = |name: &str| {
        let found = few.columns.iter().find(|(c, _)| c.name == name);
        found.unwrap_or_else(|| panic!("no {name}: {:?}", few.columns)).1.clone()
    };
    assert!(q_error(column("o_custkey").distinct.unwrap() as f64, 20_000.0) < 1.01);
    assert_eq!(column("o_custkey").max, Some(StatisticValue::Number(30_000.0)));
    assert!(q_error(column("o_orderkey").distinct.unwrap() as f64, 300_000.0) < 1.01);
    assert_eq!(column("o_status").distinct, Some(3));
    let one = estimated("SELECT o_status AS s FROM orders WHERE o_status = 'F'").await;
    let status = one.columns.values().next().unwrap();
    assert_eq!((status.distinct, status.frequent[0].1), (Some(1), 1.0));
    assert_eq!(one.distinct(&col("s")), 1.0);
    assert_eq!(one.distinct(&lit(1)), 1.0);
    assert!(one.distinct(&col("nobody")) >= 1.0);
}

#[tokio::test]
async fn widths_are_those_of_types_and_of_statistics() {
    let engine = mesh().await;
    let plan = planned(&engine, "SELECT c_custkey, c_name FROM customer ").await;
    let bytes = estimate(&plan).row_bytes(plan.schema());
    assert!((bytes - (8.0 + 30.0 + 0.25)).abs() < 1e-9, "{bytes}");
    let plan = planned(&engine, "SELECT o_orderdate, o_flag FROM orders ").await;
    let bytes = estimate(&plan).row_bytes(plan.schema());
    assert!((bytes - (4.0 + 0.125 + 0.25)).abs() < 1e-9, "{bytes}");
}

#[tokio::test]
async fn matched_keys_and_pairs() {
    let engine = mesh().await;
    let few = estimate(&planned(&engine, "SELECT c_custkey FROM customer WHERE c_segment = 'BUILDING'").await);
    let one = estimate(&planned(&engine, "SELECT c_custkey FROM customer WHERE c_custkey = 5").await);
    let low = estimate(&planned(&engine, "SELECT c_custkey FROM customer WHERE c_custkey <= 15000").await);
    let orders = estimate(&planned(&engine, "SELECT o_custkey FROM orders ").await);
    let column = |c: &Cardinality| Expr::Column(c.columns.keys().next().unwrap().clone());
    for (build, expected) in [(&few, 0.4), (&one, 1.0 / 100_000.0), (&low, 0.1)] {
        let share = matched_fraction(&orders, build, &[(column(&orders), column(build))]);
        assert!((share / expected - 1.0).abs() < 0.6, "{share} is not {expected}");
    }
    let keys = [(column(&orders), column(&few))];
    assert!((join_selectivity(&orders, &few, &keys, None) * 150_000.0 - 1.0).abs() < 0.01);
    assert_eq!(join_selectivity(&orders, &few, &[], None), 1.0);
    assert_eq!(matched_fraction(&orders, &few, &[]), 1.0);
    assert_eq!(matched_fraction(&orders, &Cardinality::default(), &keys), 0.0);
}

#[tokio::test]
async fn keys_and_their_range_count_once() {
    let engine = mesh().await;
    let plan = planned(&engine, "SELECT o_custkey FROM orders ").await;
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1000).map(|key| 10 + 7 * key)));
    let has_key = InKeys::call(SentKeys::batch(&[keys]).unwrap(), vec![col("o_custkey")]);
    let rows = |predicate: Expr| {
        estimate(&LogicalPlanBuilder::from(plan.clone()).filter(predicate).unwrap().build().unwrap()).rows
    };
    let exact = rows(has_key.clone());
    let range = |least: i64, most: i64| col("o_custkey").gt_eq(lit(least)).and(col("o_custkey").lt_eq(lit(most)));
    let with_range = rows(has_key.clone().and(range(10, 7003)));
    assert!((with_range / exact - 1.0).abs() < 0.02, "{with_range} is not {exact}");
    // A range that excludes keys is another condition.
    let cut = rows(has_key.and(range(10, 3500)));
    assert!(cut < 0.5 * exact, "{cut} of {exact}");
}

#[tokio::test]
async fn deep_plans_and_odd_statistics_do_no_harm() {
    let engine = mesh().await;
    let mut plan = planned(&engine, "SELECT o_custkey FROM orders ").await;
    for _ in 0..3000 {
        plan = LogicalPlan::Limit(datafusion::logical_expr::Limit {
            skip: None,
            fetch: Some(Box::new(lit(1_000_000_i64))),
            input: Arc::new(plan),
        });
    }
    assert_eq!(estimate(&plan).rows, 1e6);
    let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0];
    let plan = planned(&engine, "SELECT a.c_name FROM customer AS a JOIN customer AS b ON a.c_name = b.c_name").await;
    for rows in odd {
        let input = Cardinality { rows, ..Cardinality::default() };
        let result = estimate_operator(&plan, &[input.clone(), input]);
        assert!(result.rows >= 0.0 && result.rows.is_finite(), "{rows}: {}", result.rows);
        assert!(result.row_bytes(plan.schema()).is_finite());
    }
}

#[tokio::test]
async fn statistics_that_make_no_sense_give_numbers() {
    let engine = mesh().await;
    let plan = planned(
        &engine,
        "SELECT o_custkey, o_status, count(*) FROM orders JOIN customer ON o_custkey = c_custkey AND o_clerk < c_nationkey
         WHERE o_custkey > 3 AND o_status LIKE '%a_' AND o_clerk BETWEEN 5 AND 2 GROUP BY o_custkey, o_status",
    )
    .await;
    for (distinct, nulls, end, share) in
        [(0, u64::MAX, f64::NAN, f64::NAN), (u64::MAX, 0, f64::INFINITY, 7.0), (1, 1, -1e308, -1.0)]
    {
        let broken = ColumnStatistics {
            distinct: Some(distinct),
            nulls: Some(nulls),
            min: Some(StatisticValue::Number(end)),
            max: Some(StatisticValue::Number(-end)),
            width: Some(end),
            frequent: vec![(StatisticValue::Text("xab".into()), share), (StatisticValue::Number(end), share)],
        };
        for rows in [0.0, 1.0, 1e300] {
            let mut pending = vec![&plan];
            while let Some(operator) = pending.pop() {
                let inputs = operator.inputs().into_iter().map(|i| Cardinality {
                    rows,
                    columns: i.schema().columns().into_iter().map(|c| (c, broken.clone())).collect(),
                    ..Cardinality::default()
                });
                let result = estimate_operator(operator, &inputs.collect::<Vec<_>>());
                assert!(result.rows >= 0.0 && result.rows.is_finite(), "{}: {}", operator.display(), result.rows);
                assert!(result.row_bytes(operator.schema()).is_finite());
                pending.extend(operator.inputs());
            }
        }
    }
}

#[test]
fn q_errors_go_both_ways() {
    assert_eq!(q_error(10.0, 100.0), 10.0);
    assert_eq!(q_error(100.0, 10.0), 10.0);
    assert_eq!(q_error(0.0, 1.0), 1.0);
    assert_eq!(q_error(0.0, 5.0), 5.0);
}
