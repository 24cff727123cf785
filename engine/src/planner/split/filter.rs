//! A filter that a site runs in part: the site tests the conditions that it can, and the local node tests the others.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};

use crate::encode::admit;
use crate::mesh::MeshView;
use crate::plan::SiteChoice;
use crate::planner::candidates::site_of;

/// Returns a filter above another that the site of its input runs; `None` if the site runs all of it, or nothing.
pub(super) fn by_site(filter: &Filter, view: &MeshView) -> Result<Option<LogicalPlan>> {
    let SiteChoice::Site(site) = site_of(&filter.input, view)? else { return Ok(None) };
    let capabilities = view.capabilities(&site);
    if capabilities.runs_everything() {
        return Ok(None);
    }
    let filtered = |predicate: Option<Expr>, input: &Arc<LogicalPlan>| match predicate {
        Some(predicate) => Ok::<_, datafusion::error::DataFusionError>(Some(LogicalPlan::Filter(Filter::try_new(
            predicate,
            input.clone(),
        )?))),
        None => Ok(None),
    };
    let (mut there, mut here) = (vec![], vec![]);
    for conjunct in split_conjunction(&filter.predicate) {
        let alone = filtered(Some(conjunct.clone()), &filter.input)?;
        let admitted = alone.is_some_and(|alone| admit::at_site(&alone, &capabilities).is_ok());
        if admitted { &mut there } else { &mut here }.push(conjunct.clone());
    }
    if here.is_empty() {
        return Ok(None);
    }
    match filtered(conjunction(there), &filter.input)? {
        Some(below) => filtered(conjunction(here), &Arc::new(below)),
        None => Ok(None),
    }
}
