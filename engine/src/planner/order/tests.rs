//! The order of joins for small queries over the fake mesh.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use super::order;
use crate::fake_mesh::{analysed, gateway, state_of};
use crate::planner::movement::Routes;
use crate::planner::normalise;

/// Returns the plan with its joins in order.
async fn ordered(sql: &str) -> LogicalPlan {
    let engine = gateway().await;
    let state = state_of(&engine);
    let plan = normalise::normalise(&state, &analysed(&engine, sql).await).unwrap();
    let view = engine.inner().mesh.view();
    let ordered = order(&plan, &state, Routes { view: &view, is_fragment: false }).unwrap();
    assert_eq!(ordered.schema().columns(), plan.schema().columns());
    ordered
}

/// Returns the ports that the plan reads, in the order of its printed form.
fn ports(plan: &LogicalPlan) -> Vec<String> {
    let mut ports = vec![];
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            ports.push(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    ports
}

fn joins(plan: &LogicalPlan) -> usize {
    let mut joins = 0;
    plan.apply(|node| {
        joins += usize::from(matches!(node, LogicalPlan::Join(_)));
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    joins
}

#[tokio::test]
async fn the_small_side_is_built_and_the_large_one_comes_last() {
    let plan = ordered(
        "SELECT l_quantity, c_name FROM sales.orders.lineitem JOIN sales.orders.orders ON l_orderkey = o_orderkey
         JOIN sales.customers.customer ON o_custkey = c_custkey WHERE c_name = 'x'",
    )
    .await;
    assert_eq!(ports(&plan), ["customer", "orders", "lineitem"]);
}

#[tokio::test]
async fn unconnected_relations_are_cross_joined_last() {
    let plan = ordered(
        "SELECT n_name, c_name, s_name FROM geo.places.region, sales.customers.customer, supply.suppliers.supplier,
         geo.places.nation WHERE n_regionkey = r_regionkey AND c_nationkey = s_nationkey",
    )
    .await;
    assert_eq!(joins(&plan), 3);
    let products = plan.display_indent().to_string().matches("Cross Join").count();
    assert_eq!(products, 1, "{}", plan.display_indent());
}

#[tokio::test]
async fn conditions_over_three_inputs_are_kept() {
    let plan = ordered(
        "SELECT count(*) FROM sales.customers.customer, supply.suppliers.supplier, geo.places.nation
         WHERE c_nationkey = n_nationkey AND s_nationkey = n_nationkey AND c_acctbal + s_acctbal > n_nationkey",
    )
    .await;
    let text = plan.display_indent().to_string();
    assert!(text.contains("c_acctbal"), "{text}");
    assert!(text.contains("Filter: ") && text.contains(" > "), "{text}");
}

#[tokio::test]
async fn outer_joins_stay_and_their_smaller_side_is_built() {
    let plan = ordered(
        "SELECT c_name, n_name FROM sales.customers.customer LEFT JOIN geo.places.nation ON c_nationkey = n_nationkey",
    )
    .await;
    assert!(plan.display_indent().to_string().contains("Right Join"), "{}", plan.display_indent());
    assert_eq!(ports(&plan), ["nation", "customer"]);
}

#[tokio::test]
async fn not_in_keeps_its_sides() {
    let plan = ordered(
        "SELECT p_name FROM supply.parts.part WHERE p_partkey NOT IN (SELECT l_partkey FROM sales.orders.lineitem)",
    )
    .await;
    assert!(plan.display_indent().to_string().contains("LeftAnti Join"), "{}", plan.display_indent());
}

#[tokio::test]
async fn many_relations_are_ordered_in_bounded_time() {
    // Too many relations for dynamic programming: the greedy search joins the pair with the fewest result rows.
    let tables: Vec<String> = (0..30).map(|i| format!("geo.places.nation n{i}")).collect();
    let conditions: Vec<String> = (1..30).map(|i| format!("n{}.n_nationkey = n{i}.n_nationkey", i - 1)).collect();
    let started = Instant::now();
    let plan =
        ordered(&format!("SELECT n0.n_name FROM {} WHERE {}", tables.join(", "), conditions.join(" AND "))).await;
    assert_eq!((joins(&plan), ports(&plan).len()), (29, 30));
    // This is not a benchmark: a search of all orders would never end.
    assert!(started.elapsed().as_secs() < 60);
}

#[tokio::test]
async fn a_subquery_inside_is_ordered_too() {
    let plan = ordered(
        "SELECT n_name FROM geo.places.nation WHERE n_nationkey IN (SELECT s_nationkey FROM supply.suppliers.supplier
         JOIN sales.customers.customer ON s_nationkey = c_nationkey JOIN geo.places.region ON r_regionkey = s_suppkey)",
    )
    .await;
    assert_eq!(joins(&plan), 3);
    assert_eq!(ports(&plan).iter().filter(|p| *p == "customer").count(), 1);
}

#[tokio::test]
async fn an_equality_over_three_inputs_is_a_join_key_and_needs_no_cross_join() {
    let plan = ordered(
        "SELECT a.s_suppkey, b.s_suppkey, c_name FROM supply.suppliers.supplier a
         JOIN supply.suppliers.supplier b ON a.s_nationkey = b.s_nationkey
         JOIN sales.customers.customer ON c_custkey = a.s_suppkey + b.s_suppkey",
    )
    .await;
    let text = plan.display_indent().to_string();
    assert!(!text.contains("Cross Join"), "{text}");
    assert!(text.contains("Join: sales.customers.customer.c_custkey = a.s_suppkey + b.s_suppkey"), "{text}");
}

#[tokio::test]
async fn relations_that_a_third_makes_equal_are_joined_first_where_that_is_cheap() {
    let plan = ordered(
        "SELECT count(*) FROM supply.parts.part, sales.orders.lineitem, supply.parts.partsupp
         WHERE p_partkey = l_partkey AND ps_partkey = l_partkey AND ps_suppkey = l_suppkey AND p_name = 'x'",
    )
    .await;
    let text = plan.display_indent().to_string();
    assert_eq!(ports(&plan), ["part", "partsupp", "lineitem"], "{text}");
    assert!(text.contains("part.p_partkey = supply.parts.partsupp.ps_partkey"), "{text}");
    // There are two equalities with lineitem, not three: the third follows from them.
    assert_eq!(text.matches("l_partkey").count(), 2, "{text}");
}

#[tokio::test]
async fn a_condition_that_may_fail_is_evaluated_for_the_same_rows() {
    let plan = ordered(
        "SELECT count(*) FROM (SELECT * FROM sales.orders.lineitem JOIN sales.orders.orders ON l_orderkey = o_orderkey
         AND l_partkey / o_shippriority > 1) JOIN geo.places.nation ON n_nationkey = l_suppkey",
    )
    .await;
    assert_eq!(&ports(&plan)[..1], ["nation"]);
    let text = plan.display_indent().to_string();
    let below = text.find("l_partkey / ").map(|at| text[..at].matches("Join").count());
    assert_eq!(below, Some(2), "{text}");
}
