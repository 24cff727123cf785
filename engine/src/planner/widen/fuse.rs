//! Fusion: one plan with the rows and the columns of several plans, from which each of them is selected.
//!
//! The plans may differ in conditions. Then the fused plan has the rows that any of them has, and a filter selects those of
//! each one. An aggregate computes the values of each plan with a filter of its own, and counts the rows of each plan in each
//! group. This is the fusion of Bruno et al. 2022 (*Computation Reuse via Fusion in Amazon Athena*).

mod aggregates;
mod expr_list;
mod joins;
mod rows;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::replace_col;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};

use crate::planner::infallible::never_fails;
use crate::planner::lineage::has_subquery;
use crate::planner::same::{are_same, have_same_columns};

/// The permitted differences between plans.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Differences {
    /// In their columns.
    Columns,
    /// In their columns and conditions.
    Conditions,
}

/// One plan with the rows and the columns of several plans.
pub(super) struct Fused {
    pub(super) plan: LogicalPlan,
    /// The compensation of each of the plans, in their order.
    compensations: Vec<Compensation>,
}

/// The filter and the names that select one of several plans from the fused one.
#[derive(Clone, Default)]
struct Compensation {
    /// The condition that the rows of the plan meet, and no others; `None` if it has all rows.
    filter: Option<Expr>,
    /// The columns of the plan that have another name in the fused plan.
    renamed: HashMap<Column, Column>,
}

impl Fused {
    /// Fuses plans; `None` if they differ in more than they may.
    pub(super) fn of(plans: &[&LogicalPlan], differences: Differences) -> Option<Self> {
        let fused = fused(plans, differences)?;
        has_unambiguous_columns(&fused.plan).then_some(fused)
    }

    /// Returns one of the plans, `plan`, over the fused plan; `None` if its columns are lost.
    pub(super) fn compensated(&self, index: usize, plan: &LogicalPlan) -> Option<LogicalPlan> {
        let compensation = self.compensations.get(index)?;
        let mut read = self.plan.clone();
        if let Some(filter) = &compensation.filter {
            read = LogicalPlan::Filter(Filter::try_new(filter.clone(), Arc::new(read)).ok()?);
        }
        if compensation.renamed.is_empty() && read.schema().iter().eq(plan.schema().iter()) {
            return Some(read);
        }
        let column = |column: Column| match compensation.renamed.get(&column) {
            Some(other) => Expr::Column(other.clone()).alias_qualified(column.relation, column.name),
            None => Expr::Column(column),
        };
        let columns = plan.schema().columns().into_iter().map(column).collect();
        let narrowed = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(read)).ok()?);
        have_same_columns(&narrowed, plan).then_some(narrowed)
    }

    /// True if the plans do not all have the same rows.
    fn has_different_rows(&self) -> bool {
        self.compensations.iter().any(|compensation| compensation.filter.is_some())
    }

    /// Puts an operator above the fused plan that keeps the rows and columns of each plan.
    fn under(self, operator: impl FnOnce(Arc<LogicalPlan>) -> Result<LogicalPlan>) -> Option<Self> {
        Some(Self { plan: operator(Arc::new(self.plan)).ok()?, compensations: self.compensations })
    }

    /// Returns the expressions of each plan over the fused one. `None` if an expression may fail for rows of a plan that does
    /// not have it.
    fn exprs(&self, of_plans: &[&[Expr]]) -> Option<Vec<Vec<Expr>>> {
        let exprs: Vec<Vec<Expr>> = of_plans
            .iter()
            .zip(&self.compensations)
            .map(|(exprs, compensation)| exprs.iter().map(|expr| compensation.renamed(expr)).collect())
            .collect::<Option<_>>()?;
        let is_of_all = |expr: &Expr| exprs.iter().all(|of_plan| of_plan.contains(expr));
        let is_safe = |expr: &Expr| is_of_all(expr) || never_fails(expr, self.plan.schema());
        (!self.has_different_rows() || exprs.iter().flatten().all(is_safe)).then_some(exprs)
    }

    /// Returns the expressions of the plans, if they are the same for all.
    fn same_exprs(&self, of_plans: &[&[Expr]]) -> Option<Vec<Expr>> {
        let mut exprs = self.exprs(of_plans)?.into_iter();
        let first = exprs.next()?;
        exprs.all(|other| other == first).then_some(first)
    }
}

impl Compensation {
    /// Returns an expression with the names of the fused plan; `None` if a name without a relation could be that of a renamed
    /// column.
    fn renamed(&self, expr: &Expr) -> Option<Expr> {
        let may_be_renamed = |column: &Column| {
            column.relation.is_none()
                && !self.renamed.contains_key(column)
                && self.renamed.keys().any(|from| from.name == column.name)
        };
        if expr.column_refs().into_iter().any(may_be_renamed) {
            return None;
        }
        replace_col(expr.clone(), &self.renamed.iter().collect()).ok()
    }

    /// Adds a column that may have another name in the fused plan.
    fn rename(&mut self, from: Column, to: Column) {
        if from != to {
            self.renamed.insert(from, to);
        }
    }
}

/// Returns the operator of each plan; leaves the function with `None` if one of them is another operator.
macro_rules! each {
    ($plans:expr, $operator:ident) => {
        &$plans
            .iter()
            .map(|plan| match plan {
                LogicalPlan::$operator(operator) => Some(operator),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()?
    };
}

fn fused(plans: &[&LogicalPlan], differences: Differences) -> Option<Fused> {
    // Two equal expressions with subqueries can read different tables.
    if plans.iter().any(|plan| plan.expressions().iter().any(has_subquery)) {
        return unchanged(plans);
    }
    if plans.iter().any(|plan| matches!(plan, LogicalPlan::Projection(_))) {
        return rows::projections(plans, differences);
    }
    if plans.iter().any(|plan| matches!(plan, LogicalPlan::Filter(_))) {
        return rows::filters(plans, differences);
    }
    let input = |index: usize| {
        let inputs: Option<Vec<&LogicalPlan>> = plans.iter().map(|plan| plan.inputs().get(index).copied()).collect();
        Fused::of(&inputs?, differences)
    };
    match plans.first()? {
        LogicalPlan::SubqueryAlias(_) => rows::aliases(each!(plans, SubqueryAlias), input(0)?),
        LogicalPlan::Aggregate(_) => aggregates::aggregates(each!(plans, Aggregate), input(0)?),
        LogicalPlan::Window(_) => aggregates::windows(each!(plans, Window), input(0)?),
        LogicalPlan::Sort(_) => rows::sorts(each!(plans, Sort), input(0)?),
        LogicalPlan::Limit(_) => rows::limits(each!(plans, Limit), input(0)?),
        LogicalPlan::Join(_) => joins::joins(each!(plans, Join), input(0)?, input(1)?),
        LogicalPlan::TableScan(_) => rows::scans(each!(plans, TableScan)),
        _ => unchanged(plans),
    }
}

/// Returns the first plan if all are the same.
fn unchanged(plans: &[&LogicalPlan]) -> Option<Fused> {
    let first = *plans.first()?;
    let compensations = vec![Compensation::default(); plans.len()];
    plans.iter().all(|plan| are_same(first, plan)).then(|| Fused { plan: first.clone(), compensations })
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

fn have_same_items<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len() && a.iter().all(|x| b.contains(x)) && b.iter().all(|x| a.contains(x))
}
