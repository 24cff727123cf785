//! Aggregates and window functions.

use std::collections::HashMap;

use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Window};
use datafusion::prelude::lit;

use super::Fused;
use super::expr_list::{ExprList, name_of, unaliased};
use crate::upstream::zero_signs::has_one_form;

/// Fuses aggregates with the same groups.
pub(super) fn aggregates(plans: &[&Aggregate], mut fused: Fused) -> Option<Fused> {
    let original_groups: Vec<&[Expr]> = plans.iter().map(|plan| plan.group_expr.as_slice()).collect();
    let groups = fused.same_exprs(&original_groups)?;
    if groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
        // Other columns would have other names in the result. A grouping set without columns has a row without any rows.
        let are_unchanged = original_groups.iter().all(|original| **original == *groups);
        (are_unchanged && !fused.has_different_rows()).then_some(())?;
    }
    let has_one_key = |group: &Expr| group.get_type(fused.plan.schema()).is_ok_and(|t| has_one_form(&t));
    if fused.has_different_rows() && !groups.iter().all(has_one_key) {
        return None;
    }
    let original: Vec<&[Expr]> = plans.iter().map(|plan| plan.aggr_expr.as_slice()).collect();
    let mut of_plans = fused.exprs(&original)?;
    for (exprs, compensation) in of_plans.iter_mut().zip(&fused.compensations) {
        if let Some(filter) = &compensation.filter {
            *exprs = exprs.iter().map(|expr| with_filter(expr, filter)).collect::<Option<_>>()?;
        }
    }
    let mut list = ExprList::of(of_plans);
    have_one_order(&list.exprs).then_some(())?;
    for compensation in &mut fused.compensations {
        compensation.renamed = HashMap::new();
        compensation.filter = match compensation.filter.take() {
            // An aggregate without groups has one row for each plan.
            Some(filter) if !groups.is_empty() => Some(Expr::Column(list.add_column(count_of(filter))).gt(lit(0_i64))),
            _ => None,
        };
    }
    list.rename(&mut fused.compensations, &original);
    for (compensation, original) in fused.compensations.iter_mut().zip(&original_groups) {
        for (from, to) in original.iter().zip(&groups) {
            compensation.rename(name_of(from), name_of(to));
        }
    }
    fused.under(|input| Aggregate::try_new(input, groups, list.exprs).map(LogicalPlan::Aggregate))
}

pub(super) fn windows(plans: &[&Window], mut fused: Fused) -> Option<Fused> {
    // A window function of one plan would see the rows of the others.
    (!fused.has_different_rows()).then_some(())?;
    let original: Vec<&[Expr]> = plans.iter().map(|plan| plan.window_expr.as_slice()).collect();
    let list = ExprList::of(fused.exprs(&original)?);
    have_one_window(&list.exprs).then_some(())?;
    list.rename(&mut fused.compensations, &original);
    fused.under(|input| Window::try_new(list.exprs, input).map(LogicalPlan::Window))
}

/// Returns an aggregate over the rows that meet a condition.
fn with_filter(aggregate: &Expr, condition: &Expr) -> Option<Expr> {
    match aggregate {
        Expr::Alias(alias) => {
            Some(with_filter(&alias.expr, condition)?.alias_qualified(alias.relation.clone(), alias.name.clone()))
        }
        Expr::AggregateFunction(call) => {
            let mut call = call.clone();
            let filter = call.params.filter.take().map(|filter| *filter);
            call.params.filter = conjunction(filter.into_iter().chain([condition.clone()])).map(Box::new);
            Some(Expr::AggregateFunction(call))
        }
        _ => None,
    }
}

/// Returns the number of rows that meet a condition, as an aggregate.
fn count_of(condition: Expr) -> Expr {
    let (rows, filter) = (vec![lit(1_i64)], Some(Box::new(condition)));
    Expr::AggregateFunction(AggregateFunction::new_udf(count_udaf(), rows, false, filter, vec![], None))
}

/// True if all aggregates that need their rows in an order need the same one. DataFusion plans no others together.
fn have_one_order(aggregates: &[Expr]) -> bool {
    let orders = aggregates.iter().filter_map(|expr| match unaliased(expr) {
        Expr::AggregateFunction(call) => Some(&call.params.order_by).filter(|order| !order.is_empty()),
        _ => None,
    });
    are_all_equal(orders)
}

/// True if all window functions have the same partitions and order. DataFusion evaluates those of one operator in the order
/// of the first one.
fn have_one_window(windows: &[Expr]) -> bool {
    let keys = windows.iter().map(|expr| match unaliased(expr) {
        Expr::WindowFunction(call) => Some((&call.params.partition_by, &call.params.order_by)),
        _ => None,
    });
    are_all_equal(keys)
}

fn are_all_equal<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    let first = values.next();
    values.all(|value| first.as_ref() == Some(&value))
}
