//! A workaround: rewrites subqueries that DataFusion 55.2 plans wrongly, or not at all, as joins.
//!
//! DataFusion's rules make semi, anti, mark and left joins of subqueries in filters. They have three faults:
//!
//! - They read a `NOT IN` as two-valued if the left side is a constant, next to `OR`, and if the subquery is correlated
//!   (<https://github.com/apache/datafusion/issues/25340>, <https://github.com/apache/datafusion/issues/25347>,
//!   <https://github.com/apache/datafusion/issues/25336>, <https://github.com/apache/datafusion/issues/25473>,
//!   <https://github.com/apache/datafusion/issues/25474>, <https://github.com/apache/datafusion/issues/8241>).
//! - They move a correlated condition above an aggregate without groups, a grouping set, a limit or an offset, and
//!   ignore these operators (<https://github.com/apache/datafusion/issues/24960>,
//!   <https://github.com/apache/datafusion/issues/25519>, <https://github.com/apache/datafusion/issues/25283>,
//!   <https://github.com/apache/datafusion/issues/10553>).
//! - They support no predicate outside of filters (<https://github.com/apache/datafusion/issues/23022>).
//!
//! Subqueries that DataFusion plans correctly stay as they are: [`simple`].
//! Before: `Projection: x IN (Subquery: q)`. After: `Projection: CASE WHEN mark THEN true … (LeftMark Join: x = y (…,
//! q))`.

mod carrier;
mod dependent;
mod domain;
mod grouped;
mod joins;
mod lateral;
mod on;
mod predicate;
mod rows;
mod scope;
mod simple;

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Filter, Sort};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use datafusion::optimizer::AnalyzerRule;

use self::carrier::{Carrier, ExprPosition};
use self::domain::FreshNames;
use self::scope::has_subquery;
use crate::execution::errors::into_datafusion;
use crate::upstream::expressions::has_expression;
use crate::{Error, ErrorKind};

/// The rule. It reads plans as the query writes them, before types are coerced.
#[derive(Debug, Default)]
pub(super) struct SubqueriesAsJoins;

impl AnalyzerRule for SubqueriesAsJoins {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, &FreshNames::default())
    }

    fn name(&self) -> &str {
        "subqueries_as_joins"
    }
}

/// Returns the plan with its subqueries as joins, except those that DataFusion plans correctly.
fn rewritten(plan: LogicalPlan, names: &FreshNames) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = rows::compared_by_value(node)?;
        let lateral = match &node.data {
            LogicalPlan::Join(join) => lateral::joined(join, names)?,
            _ => None,
        };
        match lateral {
            Some(joined) => Ok(Transformed::yes(joined)),
            None if has_expression(&node.data, has_subquery) => Ok(Transformed::yes(rewrite(node.data, names)?)),
            None => Ok(node),
        }
    })?;
    Ok(rewritten.data)
}

/// Returns the error for a subquery that cannot be written as a join.
fn refused(what: &str, instead: &str) -> DataFusionError {
    into_datafusion(Error::new(ErrorKind::Unsupported, format!("{what}, which is not supported: {instead}")))
}

/// Rewrites an operator whose expressions have subqueries. The subqueries of its inputs are rewritten already.
fn rewrite(plan: LogicalPlan, names: &FreshNames) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(filter) => filtered(filter, names),
        LogicalPlan::Join(join) => on::rewritten(join, names),
        LogicalPlan::Projection(ref p) => over_one_input(&plan, &p.input, ExprPosition::List, names),
        LogicalPlan::Aggregate(ref a) => over_one_input(&plan, &a.input, ExprPosition::Other, names),
        LogicalPlan::Window(ref w) => over_one_input(&plan, &w.input, ExprPosition::Other, names),
        LogicalPlan::Sort(sort) => sorted(sort, names),
        other => Ok(other),
    }
}

/// Rewrites the expressions of an operator with one input.
fn over_one_input(
    plan: &LogicalPlan,
    input: &LogicalPlan,
    place: ExprPosition,
    names: &FreshNames,
) -> Result<LogicalPlan> {
    let keeper = NamePreserver::new(plan);
    let mut carrier = Carrier::new(input.clone(), place, names);
    let mut exprs = vec![];
    for expr in plan.expressions() {
        let name = keeper.save(&expr);
        if matches!(expr, Expr::GroupingSet(_)) && has_subquery(&expr) {
            return Err(refused(
                "a subquery is used in ROLLUP, CUBE or GROUPING SETS",
                "name its value in a query below",
            ));
        }
        exprs.push(name.restore(carrier.resolve(expr, false)?));
    }
    let (columns, widened) = (plan.schema().columns(), carrier.plan.schema() != input.schema());
    let plan = plan.with_new_exprs(exprs, vec![carrier.plan])?;
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => Ok(plan),
        _ if !widened => Ok(plan),
        other => only(other, columns),
    }
}

/// Replaces the expressions of a sort with columns.
fn sorted(sort: Sort, names: &FreshNames) -> Result<LogicalPlan> {
    let columns = sort.input.schema().columns();
    let mut carrier = Carrier::new(sort.input.as_ref().clone(), ExprPosition::Other, names);
    let (mut order, mut values) = (vec![], vec![]);
    for by in sort.expr {
        let value = carrier.resolve(by.expr, false)?;
        let name = names.next("order");
        values.push(value.alias(&name));
        order.push(SortExpr { expr: Expr::Column(Column::new_unqualified(name)), ..by });
    }
    let exprs = domain::all_columns(&carrier.plan).into_iter().chain(values);
    let plan = LogicalPlanBuilder::from(carrier.plan).project(exprs)?.build()?;
    only(LogicalPlan::Sort(Sort { expr: order, input: Arc::new(plan), fetch: sort.fetch }), columns)
}

/// Keeps only the columns that a plan had before.
fn only(plan: LogicalPlan, columns: Vec<Column>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).project(columns.into_iter().map(Expr::Column))?.build()
}

/// Rewrites a filter: conditions that DataFusion plans correctly stay next to the rewritten ones.
fn filtered(filter: Filter, names: &FreshNames) -> Result<LogicalPlan> {
    let columns = filter.input.schema().columns();
    let (mut plain, mut kept, mut hard) = (vec![], vec![], vec![]);
    for conjunct in split_conjunction_owned(filter.predicate.clone()) {
        if !has_subquery(&conjunct) {
            plain.push(conjunct);
        } else if is_right(&conjunct, &filter.input)? {
            kept.push(conjunct);
        } else {
            hard.push(conjunct);
        }
    }
    if hard.is_empty() {
        return Ok(LogicalPlan::Filter(filter));
    }
    // Subqueries are evaluated only for the rows that the other conditions leave.
    let base = match conjunction(plain) {
        Some(plain) => LogicalPlan::Filter(Filter::try_new(plain, filter.input)?),
        None => filter.input.as_ref().clone(),
    };
    let mut carrier = Carrier::new(base, ExprPosition::Filter, names);
    let mut conditions = kept;
    for conjunct in hard {
        conditions.push(carrier.resolve(conjunct, true)?);
    }
    let predicate = conjunction(conditions).unwrap_or_else(|| datafusion::prelude::lit(true));
    let plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(carrier.plan))?);
    if plan.schema().columns() == columns { Ok(plan) } else { only(plan, columns) }
}

/// True if DataFusion plans a condition of a filter correctly.
fn is_right(conjunct: &Expr, input: &LogicalPlan) -> Result<bool> {
    let (predicate, opposite) = match conjunct {
        Expr::Not(inner) => (inner.as_ref(), true),
        other => (other, false),
    };
    match predicate {
        Expr::Exists(Exists { subquery, .. }) => simple::is_semi_join(subquery, input),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            if has_subquery(expr) || predicate::row(expr).len() > 1 || expr.contains_outer() {
                return Ok(false);
            }
            match *negated != opposite {
                // A column of the input and an uncorrelated subquery: DataFusion plans a null-aware join.
                true => {
                    Ok(matches!(expr.as_ref(), Expr::Column(_)) && scope::outer_columns(&subquery.subquery)?.is_empty())
                }
                false => simple::is_semi_join(subquery, input),
            }
        }
        // Any other condition is right if its scalar subqueries are.
        _ => {
            let mut right = true;
            conjunct.apply(|e| {
                match e {
                    Expr::ScalarSubquery(s) => {
                        right &= match scope::outer_columns(&s.subquery)?.is_empty() {
                            true => !carrier::may_be_nothing(s),
                            false => simple::is_left_join(s, input)?,
                        };
                    }
                    other => right &= scope::subquery_of(other).is_none(),
                }
                Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
            })?;
            Ok(right)
        }
    }
}
