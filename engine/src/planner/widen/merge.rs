//! The plan with the columns of two plans.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, Limit, LogicalPlan, Projection, Sort, SubqueryAlias, TableScan, TableScanBuilder,
    Window,
};

use crate::planner::same::{are_same, is_same_table};

/// Returns a plan with the rows of two plans and the columns of both. `None` if the plans differ in more than their columns,
/// or if their columns cannot be beside each other. Each column has the name that it has in the two plans.
pub(super) fn merged(a: &LogicalPlan, b: &LogicalPlan) -> Option<LogicalPlan> {
    // Two equal expressions with subqueries can read different tables.
    if has_subquery(a) || has_subquery(b) {
        return are_same(a, b).then(|| a.clone());
    }
    let below = |a: &LogicalPlan, b: &LogicalPlan| merged(a, b).map(Arc::new);
    let plan = match (a, b) {
        (LogicalPlan::Projection(a), LogicalPlan::Projection(b)) => LogicalPlan::Projection(
            Projection::try_new(merged_expressions(&a.expr, &b.expr)?, below(&a.input, &b.input)?).ok()?,
        ),
        // One of the plans has no projection, because it needs all columns.
        (LogicalPlan::Projection(narrow), whole) | (whole, LogicalPlan::Projection(narrow)) => {
            let columns = merged_expressions(&narrow.expr, &columns(whole))?;
            LogicalPlan::Projection(Projection::try_new(columns, below(&narrow.input, whole)?).ok()?)
        }
        (LogicalPlan::SubqueryAlias(a), LogicalPlan::SubqueryAlias(b)) if a.alias == b.alias => {
            let input = below(&a.input, &b.input)?;
            // An alias gives columns with one name different names, by their order.
            has_unique_names(input.schema()).then_some(())?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, a.alias.clone()).ok()?)
        }
        (LogicalPlan::Filter(a), LogicalPlan::Filter(b)) if are_same_conditions(&a.predicate, &b.predicate) => {
            LogicalPlan::Filter(Filter::try_new(a.predicate.clone(), below(&a.input, &b.input)?).ok()?)
        }
        (LogicalPlan::Aggregate(a), LogicalPlan::Aggregate(b)) if a.group_expr == b.group_expr => {
            let aggregates = merged_expressions(&a.aggr_expr, &b.aggr_expr)?;
            have_one_order(&aggregates).then_some(())?;
            let input = below(&a.input, &b.input)?;
            LogicalPlan::Aggregate(Aggregate::try_new(input, a.group_expr.clone(), aggregates).ok()?)
        }
        (LogicalPlan::Window(a), LogicalPlan::Window(b)) => {
            let windows = merged_expressions(&a.window_expr, &b.window_expr)?;
            have_one_window(&windows).then_some(())?;
            LogicalPlan::Window(Window::try_new(windows, below(&a.input, &b.input)?).ok()?)
        }
        (LogicalPlan::Sort(a), LogicalPlan::Sort(b)) if a.expr == b.expr && a.fetch == b.fetch => {
            LogicalPlan::Sort(Sort { input: below(&a.input, &b.input)?, ..a.clone() })
        }
        (LogicalPlan::Limit(a), LogicalPlan::Limit(b)) if a.skip == b.skip && a.fetch == b.fetch => {
            LogicalPlan::Limit(Limit { input: below(&a.input, &b.input)?, ..a.clone() })
        }
        (LogicalPlan::Join(a), LogicalPlan::Join(b)) if are_same_joins(a, b) => {
            let (left, right) = (below(&a.left, &b.left)?, below(&a.right, &b.right)?);
            let (on, filter) = (a.on.clone(), a.filter.clone());
            let join =
                Join::try_new(left, right, on, filter, a.join_type, a.join_constraint, a.null_equality, a.null_aware);
            LogicalPlan::Join(join.ok()?)
        }
        (LogicalPlan::TableScan(a), LogicalPlan::TableScan(b)) => merged_scan(a, b)?,
        (a, b) => return are_same(a, b).then(|| a.clone()),
    };
    has_unambiguous_columns(&plan).then_some(plan)
}

/// Returns the expressions of two lists, each once; `None` if two of them differ and have one name.
fn merged_expressions(a: &[Expr], b: &[Expr]) -> Option<Vec<Expr>> {
    let mut all = a.to_vec();
    for expr in b {
        let (qualifier, name) = expr.qualified_name();
        let clash = a.iter().find(|known| {
            let (known_qualifier, known_name) = known.qualified_name();
            // A name without a qualifier stands for any relation.
            known_name == name && (known_qualifier == qualifier || known_qualifier.is_none() || qualifier.is_none())
        });
        match clash {
            Some(known) if known == expr => {}
            Some(_) => return None,
            None => all.push(expr.clone()),
        }
    }
    Some(all)
}

/// Returns the columns of a plan, as expressions over it.
pub(super) fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

fn has_subquery(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The visit itself never fails.
    let _ = plan.apply_subqueries(|_| {
        found = true;
        Ok(TreeNodeRecursion::Stop)
    });
    found
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

fn unaliased(mut expr: &Expr) -> &Expr {
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}

fn has_unique_names(schema: &DFSchema) -> bool {
    let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
    let columns = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() == columns
}

/// True if two conditions are the same up to the order of their parts.
fn are_same_conditions(a: &Expr, b: &Expr) -> bool {
    have_same_items(&split_conjunction(a), &split_conjunction(b))
}

fn have_same_items<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len() && a.iter().all(|x| b.contains(x)) && b.iter().all(|x| a.contains(x))
}

fn are_same_joins(a: &Join, b: &Join) -> bool {
    let are_same_filters = match (&a.filter, &b.filter) {
        (Some(a), Some(b)) => are_same_conditions(a, b),
        (a, b) => a == b,
    };
    have_same_items(&a.on, &b.on)
        && are_same_filters
        && a.join_type == b.join_type
        && a.join_constraint == b.join_constraint
        && a.null_equality == b.null_equality
        && a.null_aware == b.null_aware
}

fn merged_scan(a: &TableScan, b: &TableScan) -> Option<LogicalPlan> {
    let is_same_scan = is_same_table(a, b)
        && a.table_name == b.table_name
        && have_same_items(&a.filters, &b.filters)
        && a.fetch == b.fetch
        && a.statistics_requests == b.statistics_requests;
    if !is_same_scan {
        return None;
    }
    let projection = a.projection.as_ref().zip(b.projection.as_ref()).map(|(a, b)| {
        let mut columns = [a.as_slice(), b].concat();
        columns.sort_unstable();
        columns.dedup();
        columns
    });
    let scan = TableScanBuilder::new(a.table_name.clone(), a.source.clone())
        .with_projection(projection)
        .with_filters(a.filters.clone())
        .with_fetch(a.fetch)
        .with_statistics_requests(a.statistics_requests.clone());
    scan.build().ok().map(LogicalPlan::TableScan)
}

/// True if each column that an operator names without a relation is one column of its inputs. The columns that were added
/// must not take the place of it.
fn has_unambiguous_columns(plan: &LogicalPlan) -> bool {
    let is_one = |column: &Column| {
        let inputs = plan.inputs();
        let found =
            inputs.iter().flat_map(|input| input.schema().fields().iter()).filter(|field| *field.name() == column.name);
        column.relation.is_some() || found.count() == 1
    };
    plan.expressions().iter().all(|expr| expr.column_refs().into_iter().all(is_one))
}
