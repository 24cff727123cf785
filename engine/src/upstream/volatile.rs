//! A volatile function such as `random()` is evaluated once for each row that calls it.
//!
//! DataFusion 55.2 copies expressions. It moves a filter of a group below the `GROUP BY`, and computes the fields of a
//! struct where they are read. `x BETWEEN a AND b`, `coalesce(x, y)` and short `IN` lists repeat `x`. Each copy of a
//! volatile call has a value of its own (<https://github.com/apache/datafusion/issues/25415>,
//! <https://github.com/apache/datafusion/issues/23220>). Here a call inside of another expression gets a projection of
//! its own, so that DataFusion copies only the name of its column.
//!
//! ```text
//! before: Filter: random() BETWEEN 0.2 AND 0.4
//!           TableScan: t
//! after:  Projection: t.x
//!           Filter: #volatile 0 BETWEEN 0.2 AND 0.4
//!             Projection: t.x, random() AS #volatile 0
//!               TableScan: t
//! ```

mod leaves;
mod subqueries;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Cast, Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder, Projection};
use datafusion::optimizer::AnalyzerRule;

use super::expressions::is_volatile;

pub(super) use leaves::GUARDS;
pub(crate) use leaves::calls_volatile;
pub(crate) use subqueries::apart;

/// The prefix of the columns of volatile calls. A number follows.
const PREFIX: &str = "#volatile ";

/// Moves volatile calls into projections of their own.
#[derive(Debug)]
pub(super) struct VolatileOnce;

impl AnalyzerRule for VolatileOnce {
    fn name(&self) -> &str {
        "volatile_once"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite)?.data)
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !is_volatile(&plan) {
        return Ok(Transformed::no(plan));
    }
    match plan {
        LogicalPlan::Projection(projection) if projection.expr.iter().any(|e| e.is_volatile() && !is_alone(e)) => {
            let Projection { expr, input, .. } = projection;
            let mut calls = Calls::above(&input);
            let names = NamePreserver::new_for_projection();
            let expr = expr.into_iter().map(|e| match is_alone(&e) {
                true => Ok(e),
                false => {
                    let name = names.save(&e);
                    Ok(name.restore(calls.taken_out(e)?))
                }
            });
            let expr = expr.collect::<Result<Vec<_>>>()?;
            let plan = Projection::try_new(expr, calls.computed(input)?)?;
            Ok(Transformed::yes(LogicalPlan::Projection(plan)))
        }
        LogicalPlan::Aggregate(aggregate) => aggregated(aggregate),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => filtered_pairs(join),
        plan @ (LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_)) => {
            Ok(Transformed::yes(computed_below(plan)?))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Rewrites an operator that passes on its input's columns, with the volatile calls below it.
fn computed_below(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let names = NamePreserver::new(&plan);
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(plan) };
    let input = Arc::new((*input).clone());
    let mut calls = Calls::above(&input);
    let without = plan.map_expressions(|e| {
        let name = names.save(&e);
        Ok(Transformed::yes(name.restore(calls.taken_out(e)?)))
    })?;
    let input = calls.computed(input)?;
    let plan = without.data.map_children(|_| Ok(Transformed::yes(input.as_ref().clone())))?.data.recompute_schema()?;
    LogicalPlanBuilder::from(plan).project(columns.into_iter().map(Expr::Column))?.build()
}

/// Rewrites an aggregate to group by columns: a filter of a group becomes a filter of its column.
fn aggregated(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    let mut calls = Calls::above(&input);
    let group_expr = group_expr.into_iter().map(|e| calls.named(e)).collect::<Result<Vec<_>>>()?;
    let names = NamePreserver::new_for_projection();
    let aggr_expr = aggr_expr.into_iter().map(|e| {
        let name = names.save(&e);
        Ok(name.restore(calls.taken_out(e)?))
    });
    let aggr_expr = aggr_expr.collect::<Result<Vec<_>>>()?;
    let is_changed = !calls.calls.is_empty();
    let plan = Aggregate::try_new(calls.computed(input)?, group_expr, aggr_expr)?;
    Ok(Transformed::new_transformed(LogicalPlan::Aggregate(plan), is_changed))
}

/// Evaluates a volatile condition for each pair of rows, not for the rows of one side.
fn filtered_pairs(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let Some(filter) = join.filter.take() else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
    let (volatile, others): (Vec<_>, Vec<_>) = split_conjunction_owned(filter).into_iter().partition(Expr::is_volatile);
    join.filter = conjunction(others);
    let plan = LogicalPlan::Join(join);
    match conjunction(volatile) {
        Some(condition) => {
            let filter = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?);
            Ok(Transformed::yes(computed_below(filter)?))
        }
        None => Ok(Transformed::no(plan)),
    }
}

/// The volatile calls of an operator, with their columns.
struct Calls {
    calls: Vec<Expr>,
    /// The first number that no other column has.
    first: usize,
}

impl Calls {
    fn above(input: &LogicalPlan) -> Self {
        let numbers =
            input.schema().fields().iter().filter_map(|f| f.name().strip_prefix(PREFIX)?.parse::<usize>().ok());
        Self { calls: vec![], first: numbers.max().map_or(0, |number| number + 1) }
    }

    /// Replaces the volatile calls of an expression with their columns.
    fn taken_out(&mut self, expr: Expr) -> Result<Expr> {
        let taken = expr.transform_down(|e| {
            Ok(match e {
                // The body of a lambda function reads its parameters as well as a row.
                Expr::Lambda(_) => Transformed::new(e, false, TreeNodeRecursion::Jump),
                call if call.is_volatile_node() => {
                    let name = format!("{PREFIX}{}", self.first + self.calls.len());
                    self.calls.push(call.alias(&name));
                    Transformed::new(Expr::Column(Column::from_name(name)), true, TreeNodeRecursion::Jump)
                }
                other => Transformed::no(other),
            })
        });
        Ok(taken?.data)
    }

    /// Replaces a volatile expression with a column of the same name.
    fn named(&mut self, expr: Expr) -> Result<Expr> {
        let named = expr.transform_down(|e| {
            Ok(match e {
                Expr::GroupingSet(_) => Transformed::no(e),
                e if e.is_volatile() => {
                    let name = e.schema_name().to_string();
                    self.calls.push(e.unalias().alias(&name));
                    Transformed::new(Expr::Column(Column::from_name(name)), true, TreeNodeRecursion::Jump)
                }
                other => Transformed::new(other, false, TreeNodeRecursion::Jump),
            })
        });
        Ok(named?.data)
    }

    /// Returns the input with a column for each call.
    fn computed(self, input: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        if self.calls.is_empty() {
            return Ok(input);
        }
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let expr = columns.chain(self.calls).collect();
        // A call that occurs twice in a GROUP BY has one column.
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(distinct(expr), input)?)))
    }
}

fn distinct(exprs: Vec<Expr>) -> Vec<Expr> {
    let mut kept: Vec<Expr> = vec![];
    for expr in exprs {
        if !kept.contains(&expr) {
            kept.push(expr);
        }
    }
    kept
}

/// True if an expression has no volatile call, or is only such a call or a cast of one: no rule copies a part of it.
fn is_alone(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_alone(&alias.expr),
        Expr::Cast(Cast { expr, .. }) => is_alone(expr),
        call => !call.is_volatile() || call.is_volatile_node(),
    }
}
