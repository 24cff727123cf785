//! Tests of the guarded columns whose values are in the columns of a plan: `s_suppkey` is guarded, and no other column.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use datafusion::logical_expr::{Extension, LogicalPlan};
use portolan_catalog::{DomainCatalog, KeyUse, PortRef};

use super::of_plan;
use crate::Settings;
use crate::fake_mesh::{analysed, gateway_of, rules_of, state_of, tpch_domain};
use crate::names::Barrier;
use crate::planner::plan;
use crate::planner::residency::PortColumn;

fn guarded(domain: &str) -> DomainCatalog {
    let mut catalog = tpch_domain(domain);
    let ports = catalog.products.values_mut().flat_map(|product| product.ports.values_mut());
    for column in ports.flat_map(|port| &mut port.columns).filter(|column| column.name == "s_suppkey") {
        column.key_use = Some(KeyUse::Never);
    }
    catalog
}

/// Queries, each with the positions of its guarded columns.
const QUERIES: &[(&str, &[usize])] = &[
    ("SELECT s_suppkey, s_name FROM supply.suppliers.supplier", &[0]),
    ("SELECT s_name, s_suppkey + 1 AS k FROM supply.suppliers.supplier", &[1]),
    ("SELECT s_name, s_suppkey = 7 AS is_seven FROM supply.suppliers.supplier", &[1]),
    ("SELECT s_name FROM supply.suppliers.supplier WHERE s_suppkey > 7", &[]),
    ("SELECT s_nationkey, max(s_suppkey) FROM supply.suppliers.supplier GROUP BY s_nationkey", &[1]),
    ("SELECT DISTINCT s_suppkey FROM supply.suppliers.supplier ORDER BY s_suppkey LIMIT 3", &[0]),
    ("SELECT s_name, row_number() OVER (ORDER BY s_suppkey) AS n FROM supply.suppliers.supplier", &[1]),
    (
        "SELECT n_name FROM geo.places.nation
         UNION ALL SELECT CAST(s_suppkey AS VARCHAR) FROM supply.suppliers.supplier",
        &[0],
    ),
    // A column that equals the guarded one has the same values.
    ("SELECT s_nationkey, s_name FROM supply.suppliers.supplier WHERE s_nationkey = s_suppkey", &[0]),
    (
        "SELECT n_nationkey, n_name FROM geo.places.nation JOIN supply.suppliers.supplier ON n_nationkey = s_suppkey",
        &[0],
    ),
    ("SELECT n_name, s_name FROM geo.places.nation JOIN supply.suppliers.supplier ON n_nationkey = s_nationkey", &[]),
    (
        "SELECT r_regionkey, n_nationkey, n_regionkey, n_name FROM supply.suppliers.supplier
         JOIN geo.places.nation ON n_nationkey = s_suppkey JOIN geo.places.region ON r_regionkey = n_nationkey",
        &[0, 1],
    ),
    (
        "SELECT n_nationkey, n_name FROM geo.places.nation
         WHERE n_nationkey IN (SELECT s_suppkey FROM supply.suppliers.supplier)",
        &[0],
    ),
    (
        "SELECT n_nationkey, n_name FROM geo.places.nation
         WHERE EXISTS (SELECT 1 FROM supply.suppliers.supplier WHERE s_suppkey = n_nationkey)",
        &[0],
    ),
    (
        "SELECT n_nationkey, n_name FROM geo.places.nation
         WHERE n_nationkey > (SELECT max(s_suppkey) FROM supply.suppliers.supplier)",
        &[0],
    ),
];

#[tokio::test]
async fn guarded_values_are_found_in_the_columns_that_have_them() {
    let engine = gateway_of(guarded).await;
    let view = engine.inner().mesh.view();
    for (sql, expected) in QUERIES {
        let analysed = analysed(&engine, sql).await;
        let (state, rules) = (state_of(&engine), rules_of(&engine));
        let planned = plan(&state, &analysed, &Settings::default(), &view, &rules, false).unwrap();
        let guards = of_plan(&planned.normalised, &view);
        let found: Vec<usize> = (0..guards.len()).filter(|i| guards[*i].iter().any(PortColumn::is_guarded)).collect();
        assert_eq!((guards.len(), found.as_slice()), (analysed.schema().fields().len(), *expected), "{sql}");
        // The part that runs here reads the same values from exchanges.
        let cut = of_plan(&planned.plan, &view);
        let found: Vec<usize> = (0..cut.len()).filter(|i| cut[*i].iter().any(PortColumn::is_guarded)).collect();
        assert_eq!(found.as_slice(), *expected, "after the cut: {sql}");
    }
}

#[tokio::test]
async fn guards_name_nothing_below_a_barrier() {
    let engine = gateway_of(guarded).await;
    let input = analysed(&engine, "SELECT s_suppkey FROM supply.suppliers.supplier").await;
    let barrier = Barrier { port: PortRef::new("supply", "suppliers", "keys"), input };
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(barrier) });
    let guards = of_plan(&plan, &engine.inner().mesh.view());
    let shown: Vec<String> = guards.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(shown, ["`s_suppkey` of supply.suppliers.keys may not leave as a key"]);
}
