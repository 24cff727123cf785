//! A projection that computes from its input's columns stays, even if the projection below has the same expressions.
//!
//! `OptimizeProjections` of DataFusion 55.2 drops the upper one of two projections with equal expressions
//! (`merge_consecutive_projections`): of `SELECT x + 1 AS x FROM (SELECT x + 1 AS x FROM (SELECT 1 AS x))` it computes
//! one sum (<https://github.com/apache/datafusion/pull/24686>). While the rule runs, a name of its own inside of each
//! expression keeps them apart.
//!
//! Before: `Projection: x + 1 AS x; Projection: x + 1 AS x`. While the rule runs: `Projection: x + 1 AS #apart 2 AS x;
//! Projection: x + 1 AS #apart 1 AS x`. After: `Projection: 1 + 1 + 1 AS x`.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::guarded_rules::{Action, Guard};

/// The prefix of the names that keep expressions apart; a number follows.
const PREFIX: &str = "#apart ";

pub(super) const GUARD: Guard = Guard { rules: &["optimize_projections"], action: Action::Replace(rewrite) };

fn rewrite(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let mut number = 0;
    let apart = plan.transform_up_with_subqueries(|node| kept_apart(node, &mut number))?;
    if !apart.transformed {
        return rule.rewrite(apart.data, config);
    }
    let rewritten = rule.rewrite(apart.data, config)?;
    let plan = rewritten.data.transform_up_with_subqueries(without_names)?.data;
    Ok(Transformed::new_transformed(plan, rewritten.transformed))
}

/// Gives the expressions of a projection unique inner names, if one of them reads a column with its own name.
fn kept_apart(node: LogicalPlan, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = node else { return Ok(Transformed::no(node)) };
    let reads_its_name = |expr: &Expr| match expr {
        Expr::Alias(alias) => {
            let own = Column::new(alias.relation.clone(), alias.name.clone());
            !matches!(alias.expr.as_ref(), Expr::Column(_)) && alias.expr.column_refs().contains(&own)
        }
        _ => false,
    };
    if !projection.expr.iter().any(reads_its_name) {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    }
    *number += 1;
    let Projection { expr, input, schema, .. } = projection;
    let expr = expr.into_iter().map(|e| match e {
        Expr::Alias(mut alias) => {
            alias.expr = Box::new(alias.expr.alias(format!("{PREFIX}{number}")));
            Expr::Alias(alias)
        }
        other => other,
    });
    let plan = Projection::try_new_with_schema(expr.collect(), input, schema)?;
    Ok(Transformed::yes(LogicalPlan::Projection(plan)))
}

fn without_names(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    node.map_expressions(|expr| {
        expr.transform_up(|e| match e {
            Expr::Alias(alias) if alias.name.starts_with(PREFIX) => Ok(Transformed::yes(*alias.expr)),
            other => Ok(Transformed::no(other)),
        })
    })
}
