//! A workaround for physical planning: the filter that an aggregate without groups pushes down to its scan.
//!
//! The `AggregateExec` of DataFusion 55.2 lets a scan skip rows that cannot change its `min` and `max`. The filter of
//! several aggregates may be too narrow. An aggregate of an expression adds no condition, although it reads the scan's
//! rows as well ([#24816](https://github.com/apache/datafusion/issues/24816)). An aggregate that has read only NULL in
//! some partition loses its condition ([#25147](https://github.com/apache/datafusion/issues/25147)). Before:
//! `min(a), min(c + 1)` skips files by `a < 1`. After: plans that compute several aggregates without groups run without
//! such filters. The filter of a single aggregate is either right or absent.
//!
//! Filters of aggregates and of TopN find columns by name, as filters of joins do. If an operator has several columns
//! of one name, DataFusion takes the first one. Plans with such an operator run without these filters.

use std::collections::HashSet;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::OptimizerOptions;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

/// Turns off the filters that may be too narrow in this plan.
pub(crate) fn restrict(plan: &LogicalPlan, options: &mut OptimizerOptions) -> Result<()> {
    let (mut several, mut ambiguous) = (false, false);
    plan.apply_with_subqueries(|node| {
        several |= matches!(node, LogicalPlan::Aggregate(aggregate) if has_several_without_groups(aggregate));
        let mut names = HashSet::new();
        ambiguous |= !node.schema().fields().iter().all(|field| names.insert(field.name().as_str()));
        Ok(TreeNodeRecursion::Continue)
    })?;
    if several || ambiguous {
        options.enable_aggregate_dynamic_filter_pushdown = false;
    }
    if ambiguous {
        options.enable_topk_dynamic_filter_pushdown = false;
    }
    Ok(())
}

fn has_several_without_groups(Aggregate { group_expr, aggr_expr, .. }: &Aggregate) -> bool {
    let may_have_no_groups = group_expr.is_empty() || matches!(group_expr.as_slice(), [Expr::GroupingSet(_)]);
    may_have_no_groups && aggr_expr.len() > 1
}
