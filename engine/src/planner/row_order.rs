//! Keeps the order of rows in a placed plan. An edge does not promise an order, so what an operator here relies on is sorted
//! here.

use datafusion::logical_expr::{LogicalPlan, Sort};

use crate::plan::{Placed, Reason, SiteChoice};

/// Keeps the order of rows below an operator that runs here. If a fragment's root returns rows in an order that the
/// operator above relies on, the operators down to the sort stay here. Such a root is a sort, or a limit or projection
/// over one. A sort with a limit runs on both sides.
pub(super) fn keep_order(here: &mut Placed) {
    let preserves_order = preserves_order(&here.plan);
    for input in &mut here.inputs {
        if preserves_order && matches!(input.site, SiteChoice::Site(_)) && carries_order(&input.plan) {
            sort_here(input);
        } else if !matches!(input.site, SiteChoice::Site(_)) {
            keep_order(input);
        }
    }
    for subquery in &mut here.subqueries {
        if !matches!(subquery.site, SiteChoice::Site(_)) {
            keep_order(subquery);
        }
    }
}

/// Sorts the rows of a fragment's root here.
pub(super) fn sort_here(root: &mut Placed) {
    let reason = Some(Reason::Order);
    if let LogicalPlan::Sort(Sort { fetch: Some(_), .. }) = &root.plan {
        let below = root.clone();
        *root = Placed { site: SiteChoice::Here, reason, inputs: vec![below], ..root.clone() };
        return;
    }
    root.site = SiteChoice::Here;
    root.reason = reason;
    keep_order(root);
}

/// True if an operator returns rows in the order of a sort below.
pub(super) fn carries_order(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        _ if preserves_order(plan) => plan.inputs().first().is_some_and(|i| carries_order(i)),
        _ => false,
    }
}

/// True if an operator returns rows in the order of its input.
fn preserves_order(plan: &LogicalPlan) -> bool {
    matches!(
        plan,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) | LogicalPlan::Filter(_)
    )
}
