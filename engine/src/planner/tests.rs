//! Snapshots of the plan before and after each pass for small queries, and of the placement of the 22 TPC-H queries.
//! After an intended change, run the tests with `INSTA_UPDATE=always` to write the snapshots again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use portolan_catalog::DomainName;

use super::passes::PASSES;
use super::resolve::ExplainOptions;
use super::{Draft, plan, plan_observed};
use crate::fake_mesh::{FakePeer, analysed, gateway, owned, rules_of, state_of, tpch_domain};
use crate::plan::Planned;
use crate::{Engine, Settings, explain};

/// Plans a query and snapshots the plan after each pass. The columns stay the same.
async fn check(engine: &Engine, name: &str, sql: &str) {
    check_with(engine, name, sql, &Settings::default()).await;
}

async fn check_with(engine: &Engine, name: &str, sql: &str, settings: &Settings) {
    let before = analysed(engine, sql).await;
    let (mut text, mut previous) = (sql.to_owned(), None);
    let mut observe = |pass: &'static str, draft: &Draft| {
        same_columns(before.schema(), draft.plan.schema(), pass);
        let title = match pass {
            "analyse" => "analysed",
            "normalise" => "normalised",
            "order" => "ordered",
            other => other,
        };
        // The rows of EXPLAIN below show the sites, and the cut.
        if draft.placed.is_some() {
            return;
        }
        let previous = previous.replace(draft.plan.clone());
        // Without policies, these passes change nothing.
        if matches!(pass, "govern" | "enclose") {
            assert!(previous.is_some_and(|plan| plan == draft.plan), "{pass}");
            return;
        }
        let _ = match previous {
            Some(plan) if plan == draft.plan && pass != "normalise" => write!(text, "\n\n-- {title}: as before"),
            _ => write!(text, "\n\n-- {title}\n{}", show(&draft.plan)),
        };
    };
    let view = engine.inner().mesh.view();
    let planned =
        plan_observed(&state_of(engine), &before, settings, &view, &rules_of(engine), false, &mut observe).unwrap();
    for (what, plan) in rows(&planned) {
        let _ = write!(text, "\n\n-- {what}\n{plan}");
    }
    let _ = write!(text, "\n\n-- here\n{}", show(&planned.plan));
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

fn show(plan: &LogicalPlan) -> String {
    plan.display_indent().to_string()
}

/// Checks that names and types stay the same. Nullability may change.
fn same_columns(before: &DFSchemaRef, after: &DFSchemaRef, pass: &str) {
    let columns = |schema: &DFSchemaRef| -> Vec<_> {
        schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    };
    assert_eq!(columns(before), columns(after), "{pass} changed the columns");
}

/// Returns the rows of EXPLAIN about placement and fragments.
fn rows(planned: &Planned) -> Vec<(String, String)> {
    let physical: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(Arc::new(arrow::datatypes::Schema::empty())));
    let rows = explain::rows(planned, &physical, ExplainOptions::default(), None).unwrap();
    rows.into_iter().filter(|(what, _)| what != "edges").collect()
}

/// A test that takes one query through the passes at a gateway whose three peers own everything.
macro_rules! passes {
    ($($(#[$doc:meta])* $name:ident: $sql:expr;)*) => {$(
        $(#[$doc])*
        #[tokio::test]
        async fn $name() {
            check(&gateway().await, stringify!($name), $sql).await;
        }
    )*};
}

passes! {
    limit_above_a_window_stays_above:
        "SELECT r_name, count(*) OVER () AS n FROM geo.places.region ORDER BY r_name LIMIT 1";
    top_n_over_a_left_join_is_split:
        "SELECT c_name, n_name FROM sales.customers.customer LEFT JOIN geo.places.nation ON c_nationkey = n_nationkey
         ORDER BY c_acctbal DESC LIMIT 3";
    avg_of_floats_over_a_union_is_split:
        "SELECT k, avg(f), count(*) FROM (SELECT c_nationkey AS k, CAST(c_custkey AS DOUBLE) AS f
         FROM sales.customers.customer UNION ALL SELECT s_nationkey, CAST(s_suppkey AS DOUBLE)
         FROM supply.suppliers.supplier) t GROUP BY k";
    aggregate_is_grouped_below_a_join_of_two_owners:
        "SELECT n_name, sum(c_acctbal), count(c_acctbal) FROM sales.customers.customer
         JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name";
    aggregate_by_month_is_grouped_by_month_below_a_join:
        "SELECT s_nationkey, date_part('month', l_shipdate), sum(l_quantity) FROM sales.orders.lineitem
         JOIN supply.suppliers.supplier ON l_suppkey = s_suppkey
         GROUP BY s_nationkey, date_part('month', l_shipdate)";
    aggregate_that_might_fail_is_not_moved_below_a_join:
        "SELECT n_name, sum(1 / (c_custkey - 7)) FROM sales.customers.customer
         JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name";
    filter_and_projection_go_to_the_owner:
        "SELECT c_name FROM sales.customers.customer WHERE c_acctbal > 100";
    aggregate_goes_to_the_owner:
        "SELECT o_orderstatus, count(*), sum(o_totalprice) FROM sales.orders.orders GROUP BY o_orderstatus";
    join_within_a_domain_goes_to_the_owner:
        "SELECT o_orderdate, l_quantity FROM sales.orders.orders JOIN sales.orders.lineitem ON o_orderkey = l_orderkey";
    subquery_within_a_domain_goes_to_the_owner:
        "SELECT count(*) FROM sales.orders.orders
         WHERE o_totalprice > (SELECT avg(o_totalprice) FROM sales.orders.orders)";
    not_in_stays_null_aware_at_the_owner:
        "SELECT count(*) FROM supply.parts.part WHERE p_partkey NOT IN (SELECT ps_partkey FROM supply.parts.partsupp)";
    join_across_domains_stays_here:
        "SELECT c_name, n_name FROM sales.customers.customer JOIN geo.places.nation ON c_nationkey = n_nationkey
         WHERE c_acctbal > 0";
    semi_join_across_domains_stays_here:
        "SELECT s_name FROM supply.suppliers.supplier
         WHERE s_nationkey IN (SELECT n_nationkey FROM geo.places.nation WHERE n_name = 'FRANCE')";
    aggregate_over_a_union_is_split:
        "SELECT k, count(*) AS n, sum(b) AS s, min(b) AS lo, avg(b) AS mean FROM (
           SELECT c_nationkey AS k, c_acctbal AS b FROM sales.customers.customer
           UNION ALL SELECT s_nationkey, s_acctbal FROM supply.suppliers.supplier) AS t GROUP BY k";
    aggregate_without_groups_over_a_union_is_split:
        "SELECT count(*), sum(b), max(b) FROM (
           SELECT c_acctbal AS b FROM sales.customers.customer
           UNION ALL SELECT s_acctbal FROM supply.suppliers.supplier) AS t";
    distinct_aggregate_over_a_union_is_not_split_wrongly:
        "SELECT count(DISTINCT k), sum(k) FROM (
           SELECT c_nationkey AS k FROM sales.customers.customer
           UNION ALL SELECT s_nationkey FROM supply.suppliers.supplier) AS t";
    top_n_over_a_union_is_split:
        "SELECT c_name AS n FROM sales.customers.customer
         UNION ALL SELECT s_name FROM supply.suppliers.supplier ORDER BY n LIMIT 3 OFFSET 2";
    aggregate_over_a_cross_site_join:
        "SELECT n_name, sum(c_acctbal) FROM sales.customers.customer JOIN geo.places.nation ON c_nationkey = n_nationkey
         GROUP BY n_name";
    volatile_function_stays_here:
        "SELECT r_name, random() FROM geo.places.region WHERE r_regionkey > 1";
    order_comes_from_the_owner:
        "SELECT r_name FROM geo.places.region ORDER BY r_name";
    order_below_what_stays_here_is_kept:
        "SELECT n, random() FROM (SELECT r_name AS n FROM geo.places.region ORDER BY r_name LIMIT 3) AS t";
    top_n_runs_on_both_sides:
        "SELECT c_name FROM sales.customers.customer ORDER BY c_acctbal DESC LIMIT 5";
    limit_without_order_goes_to_the_owner:
        "SELECT c_name FROM sales.customers.customer LIMIT 5";
    scalar_subquery_at_another_site:
        "SELECT c_name FROM sales.customers.customer
         WHERE c_nationkey = (SELECT min(n_nationkey) FROM geo.places.nation)";
    recursive_query_stays_here:
        "WITH RECURSIVE r AS (SELECT r_regionkey AS k FROM geo.places.region WHERE r_regionkey = 0
           UNION ALL SELECT k + 1 FROM r WHERE k < 3) SELECT k FROM r";
    tables_of_this_node_stay_here:
        "SELECT domain, r_name FROM mesh.domains CROSS JOIN geo.places.region WHERE domain = 'geo'";
    literal_rows_go_along:
        "SELECT r_name FROM geo.places.region JOIN (VALUES (1), (2)) AS v (k) ON r_regionkey = k";
    nothing_is_read:
        "SELECT 1 AS one";
    no_rows_need_no_owner:
        "SELECT r_name FROM geo.places.region WHERE 1 = 0";
    window_goes_to_the_owner:
        "SELECT o_custkey, row_number() OVER (PARTITION BY o_custkey ORDER BY o_orderdate) FROM sales.orders.orders";
    union_within_a_domain_goes_to_the_owner:
        "SELECT o_orderkey FROM sales.orders.orders UNION SELECT l_orderkey FROM sales.orders.lineitem";
    expression_used_twice_is_read_twice:
        "WITH w AS (SELECT n_regionkey AS k, count(*) AS n FROM geo.places.nation GROUP BY n_regionkey)
         SELECT a.k, b.n FROM w AS a JOIN w AS b ON a.k = b.n";
    part_over_two_owners_is_computed_once:
        "WITH w AS (SELECT n_name AS k, sum(c_acctbal) AS s FROM sales.customers.customer
           JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name)
         SELECT k, s FROM w UNION ALL SELECT k, s + 1 FROM w";
    equal_fragments_are_sent_once:
        "SELECT x.n_name, s_name, y.n_name AS other FROM geo.places.nation AS x JOIN supply.suppliers.supplier
           ON x.n_nationkey = s_nationkey JOIN geo.places.nation AS y ON y.n_nationkey = s_suppkey";
}

#[tokio::test]
async fn placement_off_fetches_ports_whole() {
    let mut settings = Settings::default();
    settings.set("portolan.placement", "off").unwrap();
    let sql = "SELECT count(*) FROM sales.orders.orders WHERE o_totalprice > 10";
    check_with(&gateway().await, "placement_off_fetches_ports_whole", sql, &settings).await;
}

#[tokio::test]
async fn pushdown_of_scans_leaves_joins_of_one_owner_here() {
    let mut settings = Settings::default();
    settings.set("portolan.pushdown", "scans").unwrap();
    let sql = "SELECT count(*) FROM sales.orders.orders JOIN sales.orders.lineitem ON o_orderkey = l_orderkey
               WHERE o_totalprice > 10";
    check_with(&gateway().await, "pushdown_of_scans_leaves_joins_of_one_owner_here", sql, &settings).await;
}

#[tokio::test]
async fn a_domain_of_this_node_is_read_here() {
    let builder = Engine::builder().cpu_threads(2).local_domain(owned(tpch_domain("geo")));
    let engine = builder.peer(FakePeer::new("grpc://sales", vec![tpch_domain("sales")])).build().unwrap();
    engine.refresh().await;
    let sql = "SELECT n_name, c_name FROM geo.places.nation JOIN sales.customers.customer ON n_nationkey = c_nationkey
               WHERE n_regionkey = 1";
    check(&engine, "a_domain_of_this_node_is_read_here", sql).await;
}

#[tokio::test]
async fn two_domains_of_one_peer_are_one_site() {
    let peer = FakePeer::new("grpc://both", vec![tpch_domain("geo"), tpch_domain("sales")]);
    let engine = Engine::builder().cpu_threads(2).peer(peer).build().unwrap();
    engine.refresh().await;
    assert!(engine.mesh().domains.contains_key(&DomainName::new("geo")));
    let sql =
        "SELECT n_name, count(*) FROM geo.places.nation JOIN sales.customers.customer ON n_nationkey = c_nationkey
               GROUP BY n_name";
    check(&engine, "two_domains_of_one_peer_are_one_site", sql).await;
}

/// The placement of TPC-H's queries, one snapshot each.
#[tokio::test]
async fn tpch() {
    let engine = gateway().await;
    let state = state_of(&engine);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testbed/src/tpch/queries");
    for number in 1..=22 {
        let sql = std::fs::read_to_string(format!("{folder}/q{number:02}.sql")).unwrap();
        let before = analysed(&engine, &sql).await;
        let (settings, view) = (Settings::default(), engine.inner().mesh.view());
        let planned = plan(&state, &before, &settings, &view, &rules_of(&engine), false).unwrap();
        same_columns(before.schema(), planned.plan.schema(), "planning");
        let text: Vec<String> = rows(&planned).into_iter().map(|(what, plan)| format!("-- {what}\n{plan}")).collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("tpch_q{number:02}"), text.join("\n\n"));
        });
    }
}

#[test]
fn the_book_lists_the_passes() {
    let book = include_str!("../../../docs/src/planning.md");
    // Resolve and analyse run before, when a statement is prepared.
    for (number, pass) in (3..).zip(PASSES) {
        let row = format!("| {number} {} | {} |", pass.name, pass.what);
        assert!(book.contains(&row), "{row}");
    }
}
