//! Rows in an order that leaves nothing to chance: no two of them are equal in all values that they are sorted by. The first
//! rows are then the same in each run.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan};

/// True if a query sorts groups by all values that they are grouped by, or different rows by all of their columns, and if
/// all values below are the same in each run.
pub(super) fn is_fully_ordered(plan: &LogicalPlan) -> bool {
    has_full_order(plan) && has_same_values(plan).unwrap_or(false)
}

fn has_full_order(plan: &LogicalPlan) -> bool {
    match plan {
        // A projection above leaves out what only the order needs.
        LogicalPlan::Projection(projection) => has_full_order(&projection.input),
        LogicalPlan::Sort(sort) => {
            let column = |expr: &Expr| match expr {
                Expr::Column(column) => sort.input.schema().maybe_index_of_column(column),
                _ => None,
            };
            let keys = sort.expr.iter().filter_map(|sorted| column(&sorted.expr)).collect();
            tell_rows_apart(&sort.input, &keys)
        }
        _ => false,
    }
}

/// True if no aggregate of a plan depends on the order of its rows. A sum of floats differs in its last digits. Window
/// functions number equal rows by chance.
fn has_same_values(plan: &LogicalPlan) -> Result<bool> {
    let mut is_same = true;
    plan.apply_with_subqueries(|node| {
        is_same &= !matches!(node, LogicalPlan::Window(_) | LogicalPlan::RecursiveQuery(_));
        if let LogicalPlan::Distinct(Distinct::All(input)) = node {
            is_same &= input.schema().columns().into_iter().all(|c| has_one_encoding(&Expr::Column(c), input.schema()));
        }
        if let LogicalPlan::Aggregate(aggregate) = node {
            let schema = aggregate.input.schema();
            is_same &= aggregate.group_expr.iter().all(|group| has_one_encoding(group, schema));
            is_same &= aggregate.aggr_expr.iter().all(|call| match call.clone().unalias_nested().data {
                Expr::AggregateFunction(call) => {
                    let is_orderless = ORDERLESS.contains(&call.func.name());
                    is_orderless && call.params.args.iter().all(|argument| has_one_encoding(argument, schema))
                }
                _ => false,
            });
        }
        Ok(if is_same { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_same)
}

/// True if equal values of an expression have the same bytes. Zero has two forms as a float, and so have many intervals.
fn has_one_encoding(expr: &Expr, schema: &DFSchema) -> bool {
    let is_exact = |t: DataType| {
        t.is_integer()
            || t.is_decimal()
            || t.is_string()
            || t.is_binary()
            || t.is_temporal() && !is_interval(&t)
            || t == DataType::Boolean
    };
    expr.get_type(schema).is_ok_and(is_exact)
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

/// Aggregates of integers, decimals, strings and times that do not depend on the order of their rows.
const ORDERLESS: &[&str] = &["bool_and", "bool_or", "count", "max", "min", "sum"];

/// True if no two rows of a plan are equal in these columns.
fn tell_rows_apart(plan: &LogicalPlan, keys: &BTreeSet<usize>) -> bool {
    let has_all = |columns: usize| columns > 0 && (0..columns).all(|column| keys.contains(&column));
    match plan {
        LogicalPlan::SubqueryAlias(alias) => tell_rows_apart(&alias.input, keys),
        LogicalPlan::Filter(filter) => tell_rows_apart(&filter.input, keys),
        LogicalPlan::Projection(projection) => {
            let input = projection.input.schema();
            let column = |key: &usize| match projection.expr.get(*key)?.clone().unalias_nested().data {
                Expr::Column(column) => input.maybe_index_of_column(&column),
                _ => None,
            };
            tell_rows_apart(&projection.input, &keys.iter().filter_map(column).collect())
        }
        LogicalPlan::Aggregate(aggregate) => {
            let has_sets = aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
            !has_sets && has_all(aggregate.group_expr.len())
        }
        LogicalPlan::Distinct(Distinct::All(input)) => has_all(input.schema().fields().len()),
        _ => false,
    }
}
