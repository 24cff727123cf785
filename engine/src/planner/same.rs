//! Equal parts of a plan: the parts that are compared, and the tests for equality.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, TableScan};

use super::cardinality::estimate;
use crate::names::{Barrier, PortTable};
use crate::plan::Exchange;
use crate::upstream::volatile::calls_volatile;

/// The largest number of operators of a plan whose parts are compared with one another.
const COMPARED_OPERATORS: usize = 512;

/// True if several leaves of a plan read the same table or the same site, and the plan is not too large to compare.
pub(super) fn may_have_equal_parts(plan: &LogicalPlan) -> Result<bool> {
    let (mut leaves, mut operators, mut found) = (HashSet::new(), 0, false);
    visit(plan, |operator| {
        operators += 1;
        let leaf = match operator {
            LogicalPlan::TableScan(scan) => Some(scan.table_name.to_string()),
            _ => Exchange::of(operator).map(|exchange| exchange.fragment.site.to_string()),
        };
        found |= leaf.is_some_and(|leaf| !leaves.insert(leaf));
        Ok(())
    })?;
    Ok(found && operators <= COMPARED_OPERATORS)
}

/// Visits the operators that may be shared.
pub(super) fn visit(plan: &LogicalPlan, mut visit: impl FnMut(&LogicalPlan) -> Result<()>) -> Result<()> {
    walk(plan, &mut |operator| {
        visit(operator)?;
        Ok(TreeNodeRecursion::Continue)
    })
}

/// Visits the operators that may be shared, and leaves out what is below an operator for which `visit` returns `Jump`.
pub(super) fn walk(
    plan: &LogicalPlan,
    visit: &mut impl FnMut(&LogicalPlan) -> Result<TreeNodeRecursion>,
) -> Result<()> {
    plan.apply_with_subqueries(|operator| match is_closed(operator) {
        true => Ok(TreeNodeRecursion::Jump),
        false => visit(operator),
    })?;
    Ok(())
}

/// True if no part below the operator is shared.
pub(super) fn is_closed(operator: &LogicalPlan) -> bool {
    matches!(operator, LogicalPlan::RecursiveQuery(_)) || Barrier::of(operator).is_some()
}

/// True for an operator whose work costs more than to keep its rows.
pub(super) fn is_work(operator: &LogicalPlan) -> bool {
    matches!(
        operator,
        LogicalPlan::Aggregate(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::RecursiveQuery(_)
    )
}

/// True if a part is worth computing once for several readers. It is no exchange.
pub(super) fn is_worth_sharing(plan: &LogicalPlan) -> Result<bool> {
    // The others do no work of their own, or read a table, whose rows need not wait anywhere.
    let may_be_shared = matches!(
        plan,
        LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Union(_)
    );
    if !may_be_shared || takes_outside_keys(plan) || !plan.all_out_ref_exprs().is_empty() || calls_volatile(plan)? {
        return Ok(false);
    }
    let (mut does_work, mut rows_read) = (false, 0.0);
    plan.apply_with_subqueries(|operator| {
        let is_barrier = Barrier::of(operator).is_some();
        does_work |= Exchange::of(operator).is_some() || is_work(operator);
        if is_barrier || operator.inputs().is_empty() {
            rows_read += estimate(operator).rows;
        }
        // What is below a barrier must not show in the plan.
        Ok(if is_barrier { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
    })?;
    // Rows that wait cost memory, so there must be no more of them than the part reads.
    Ok(does_work && estimate(plan).rows <= rows_read)
}

/// True if a fragment in the part waits for keys that a join above the part supplies.
fn takes_outside_keys(plan: &LogicalPlan) -> bool {
    match (Exchange::of(plan), plan) {
        (Some(exchange), _) => exchange.fragment.edge.keys.is_some(),
        // The fragment's keys may come from this join.
        (None, LogicalPlan::Join(join)) => takes_outside_keys(&join.left),
        (None, _) => plan.inputs().into_iter().any(takes_outside_keys),
    }
}

/// Returns the names that several tables of a plan have: a name without a qualifier can mean another table in a view.
pub(super) fn namesakes(plan: &LogicalPlan) -> Result<HashSet<TableReference>> {
    let (mut tables, mut namesakes) = (HashMap::new(), HashSet::new());
    plan.apply_with_subqueries(|operator| {
        if let LogicalPlan::TableScan(scan) = operator {
            let first = tables.entry(scan.table_name.clone()).or_insert_with(|| scan.clone());
            if !is_same_table(first, scan) {
                namesakes.insert(scan.table_name.clone());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(namesakes)
}

/// Returns an operator with its conditions in one order. They hold together in any order.
pub(super) fn in_order(operator: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let ordered = match operator {
        LogicalPlan::Filter(filter) => match all_of(split_conjunction_owned(filter.predicate)) {
            Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?),
            None => Arc::unwrap_or_clone(filter.input),
        },
        LogicalPlan::Join(mut join) => {
            join.on.sort_by_cached_key(|(left, right)| (left.to_string(), right.to_string()));
            join.filter = join.filter.take().and_then(|filter| all_of(split_conjunction_owned(filter)));
            LogicalPlan::Join(join)
        }
        LogicalPlan::TableScan(mut scan) => {
            scan.filters.sort_by_cached_key(Expr::to_string);
            LogicalPlan::TableScan(scan)
        }
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(ordered))
}

fn all_of(mut conditions: Vec<Expr>) -> Option<Expr> {
    conditions.sort_by_cached_key(Expr::to_string);
    conjunction(conditions)
}

/// True if two plans are equal and read the same tables. The equality of plans compares only the names of tables.
pub(super) fn are_same(a: &LogicalPlan, b: &LogicalPlan) -> bool {
    let same_tables = || {
        let (a, b) = (scans(a), scans(b));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| is_same_table(a, b))
    };
    a == b && same_tables()
}

/// True if two plans have columns with the same names and types. Nullability may differ: by its type, a sum of counts is
/// nullable.
pub(super) fn have_same_columns(a: &LogicalPlan, b: &LogicalPlan) -> bool {
    let (a, b) = (a.schema(), b.schema());
    a.fields().len() == b.fields().len()
        && a.iter()
            .zip(b.iter())
            .all(|((q, f), (r, g))| q == r && f.name() == g.name() && f.data_type() == g.data_type())
}

fn scans(plan: &LogicalPlan) -> Vec<TableScan> {
    let mut found = vec![];
    // The visit itself never fails.
    let _ = plan.apply_with_subqueries(|operator| {
        if let LogicalPlan::TableScan(scan) = operator {
            found.push(scan.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

pub(super) fn is_same_table(a: &TableScan, b: &TableScan) -> bool {
    let port = |scan: &TableScan| PortTable::with_scanned(scan, |table| (table.name.clone(), table.is_of_query));
    match (port(a), port(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => match (source_as_provider(&a.source), source_as_provider(&b.source)) {
            (Ok(a), Ok(b)) => Arc::ptr_eq(&a, &b),
            _ => false,
        },
        _ => false,
    }
}
