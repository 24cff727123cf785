//! A filter on a float key of a join is not copied to the other key.
//!
//! `PushDownFilter` of DataFusion 55.2 copies a filter on a column that is a key of a join to the equal key of the other side
//! (`infer_join_predicates`). -0.0 equals 0.0, but an expression may have another value for it: `a.f = b.f AND 1 / a.f > 0`
//! gets the condition `1 / b.f > 0`, and loses the row of 0.0 and -0.0. While the rule runs, such keys have an alias, which
//! the rule does not look through.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, Filter, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::guarded_rules::{Action, Guard};
use super::zero_signs::has_one_form;

/// The alias of such a key, while the rule runs.
const ALIAS: &str = "__float_key";

pub(super) const GUARD: Guard = Guard { rules: &["push_down_filter"], action: Action::Replace(rewrite) };

fn rewrite(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    if !joins_floats(&plan) {
        return rule.rewrite(plan, config);
    }
    let before = plan.clone();
    let rewritten = rule.rewrite(map_keys(plan, aliased), config)?;
    let plan = map_keys(rewritten.data, without_alias);
    Ok(if plan == before { Transformed::no(before) } else { Transformed::yes(plan) })
}

/// True if the join at the top of a plan has a key of which equal values may differ.
fn joins_floats(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => joins_floats(&filter.input),
        LogicalPlan::Join(join) => join.on.iter().any(|(left, _)| is_float(left, join.left.schema())),
        _ => false,
    }
}

fn is_float(key: &Expr, schema: &DFSchema) -> bool {
    key.get_type(schema).is_ok_and(|data_type| !has_one_form(&data_type))
}

/// Rewrites the left keys of the join at the top of a plan, below filters.
fn map_keys(plan: LogicalPlan, rewrite: impl Fn(Expr, &DFSchema) -> Expr) -> LogicalPlan {
    match plan {
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let input = map_keys(Arc::unwrap_or_clone(input), rewrite);
            LogicalPlan::Filter(Filter::new(predicate, Arc::new(input)))
        }
        LogicalPlan::Join(mut join) => {
            let schema = join.left.schema();
            join.on = join.on.into_iter().map(|(left, right)| (rewrite(left, schema), right)).collect();
            LogicalPlan::Join(join)
        }
        other => other,
    }
}

fn aliased(key: Expr, schema: &DFSchema) -> Expr {
    if is_float(&key, schema) { key.alias(ALIAS) } else { key }
}

fn without_alias(key: Expr, _: &DFSchema) -> Expr {
    match key {
        Expr::Alias(alias) if alias.name == ALIAS => *alias.expr,
        other => other,
    }
}
