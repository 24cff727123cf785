//! A filter that a site runs in part: the site tests the conditions that it can, and the local node tests the others.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use portolan_connectors::Refusal;

use crate::encode::keys::{listed_keys, with_short_lists};
use crate::encode::{admit, write};
use crate::mesh::MeshView;
use crate::plan::SiteChoice;
use crate::planner::candidates::site_of;

/// Returns a filter above another that the site of its input runs; `None` if the site runs all of it, or nothing.
pub(super) fn by_site(filter: &Filter, view: &Arc<MeshView>) -> Result<Option<LogicalPlan>> {
    let SiteChoice::Site(site) = site_of(&filter.input, view)? else { return Ok(None) };
    let capabilities = view.capabilities(&site);
    if capabilities.runs_everything() {
        return Ok(None);
    }
    let by = |conjuncts: &[Expr], input: &Arc<LogicalPlan>| match conjunction(conjuncts.to_vec()) {
        Some(predicate) => Filter::try_new(predicate, input.clone()).map(|filter| Some(LogicalPlan::Filter(filter))),
        None => Ok(None),
    };
    // Only the whole query shows if the database evaluates the columns of its tables.
    let is_written = |conjuncts: &[Expr]| match by(conjuncts, &filter.input)? {
        Some(below) => Ok::<_, DataFusionError>(write(&with_short_lists(&below)?, &site, view).is_ok()),
        None => Ok(true),
    };
    let all: Vec<Expr> = split_conjunction(&filter.predicate).into_iter().cloned().collect();
    let all_written = is_written(&all)?;
    let (mut there, mut here) = (vec![], vec![]);
    for conjunct in all {
        let alone = by(std::slice::from_ref(&conjunct), &filter.input)?;
        let admitted = alone.is_some_and(|alone| admit::at_site(&alone, &capabilities).is_ok())
            && (all_written || is_written(std::slice::from_ref(&conjunct))?);
        if admitted { &mut there } else { &mut here }.push(conjunct);
    }
    // Each list of keys fits into a query, but not always all of them. The site drops most rows by the others.
    while let Some(below) = by(&there, &filter.input)?
        && matches!(admit::at_site(&below, &capabilities), Err(Refusal::SqlLength(..)))
        && let Some((keys, largest)) = there.iter().map(listed_keys).zip(0..).max()
        && keys > 0
    {
        here.push(there.remove(largest));
    }
    if here.is_empty() {
        return Ok(None);
    }
    match by(&there, &filter.input)? {
        Some(below) => by(&here, &Arc::new(below)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use datafusion::logical_expr::LogicalPlanBuilder;
    use datafusion::prelude::{col, lit};
    use portolan_connectors::sql::{ColumnUsage, SqlTable};
    use portolan_connectors::{FragmentPlan, SiteId};

    use super::*;
    use crate::Engine;
    use crate::encode::keys::{InKeys, SentKeys};
    use crate::fake_database::FakeDatabase;
    use crate::fake_mesh::analysed;

    fn database() -> Engine {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values([1, 2]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("ann"), None]));
        let people = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap();
        let mut domain = FakeDatabase::new(&[("people", people)]).domain([]);
        let site = domain.ports.iter_mut().find_map(|port| port.site.as_mut()).unwrap();
        let mut table = SqlTable::clone(&site.table);
        table.columns.iter_mut().filter(|c| c.name == "name").for_each(|c| c.usage = ColumnUsage::Returned);
        site.table = Arc::new(table);
        Engine::builder().cpu_threads(1).local_domain(domain).build().unwrap()
    }

    /// Returns the query of the database's part of a filter; `None` if the filter is not split.
    async fn part(engine: &Engine, predicate: Expr) -> Option<String> {
        let view = engine.inner().mesh.view();
        let plan = analysed(engine, "SELECT id, name FROM lab.p.people").await;
        let filtered = LogicalPlanBuilder::from(plan).filter(predicate).unwrap().build().unwrap();
        let LogicalPlan::Filter(filter) = &filtered else { panic!("no filter: {filtered}") };
        let LogicalPlan::Filter(above) = by_site(filter, &view).unwrap()? else { panic!("no filter stays here") };
        match write(&above.input, &SiteId::new("sql://lab"), &view).unwrap() {
            FragmentPlan::Sql(sql) => Some(sql.text),
            FragmentPlan::Encoded(_) => panic!("a database gets SQL"),
        }
    }

    fn keys(keys: i64, from: i64) -> Expr {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + keys));
        InKeys::call(SentKeys::batch(&[values]).unwrap(), vec![col("id")])
    }

    #[tokio::test]
    async fn the_largest_list_stays_here_if_all_are_too_long() {
        let engine = database();
        let positive = || col("id").gt(lit(0_i64));
        // Each list takes up to 400 KB, and a query of the test database has at most a mebibyte.
        let all = positive().and(keys(15_000, 0)).and(keys(16_000, 20_000)).and(keys(14_000, 40_000));
        let sql = part(&engine, all).await.unwrap();
        let has = |key: &str| sql.contains(&format!("CAST('{key}' AS BIGINT)"));
        assert!(sql.contains("> CAST('0' AS BIGINT)") && has("14999") && has("53999"));
        assert!(!has("20000"), "the largest list stays at the node");
        assert_eq!(part(&engine, positive().and(keys(15_000, 0))).await, None);
    }

    #[tokio::test]
    async fn conditions_on_columns_that_are_only_returned_stay_here() {
        let sql = part(&database(), col("id").gt(lit(0_i64)).and(col("name").eq(lit("ann")))).await.unwrap();
        assert!(sql.contains("> CAST('0' AS BIGINT)") && !sql.contains("ann"), "{sql}");
    }
}
