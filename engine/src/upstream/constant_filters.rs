//! A workaround, part of normalising: a filter that reads no column stays above an aggregate that has a row of nothing.
//!
//! `PushDownFilter` of DataFusion 55.2 moves a filter below an aggregate if all columns of the filter are grouped by. That
//! holds for a filter without columns, and an aggregate without groups, or with an empty grouping set, has a row even if
//! the filter leaves none.
//! Before: `Aggregate: count(*) (Filter: false (b))`, one row. After: `Filter: false (Aggregate: count(*) (b))`, no row.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::logical_plan::Filter;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule, guarded if it is the one that moves such filters.
pub(super) fn guarded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    if rule.name() == PushDownFilter::new().name() { Arc::new(GuardedFilters::default()) } else { rule }
}

#[derive(Debug, Default)]
struct GuardedFilters(PushDownFilter);

impl OptimizerRule for GuardedFilters {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Filter(filter) if is_to_stay(filter) => Ok(Transformed::no(plan)),
            _ => self.0.rewrite(plan, config),
        }
    }
}

/// True if one of the filters above an aggregate reads no column, and the aggregate has a row of nothing.
fn is_to_stay(filter: &Filter) -> bool {
    let constant = |filter: &Filter| split_conjunction(&filter.predicate).iter().any(|e| e.column_refs().is_empty());
    let (mut found, mut input) = (constant(filter), &filter.input);
    while let LogicalPlan::Filter(below) = input.as_ref() {
        found |= constant(below);
        input = &below.input;
    }
    match input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => {
            found && matches!(aggregate.group_expr.as_slice(), [] | [Expr::GroupingSet(_)])
        }
        _ => false,
    }
}
