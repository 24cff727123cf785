//! A comparison of a cast compares the values of the cast.
//!
//! DataFusion 55.2 compares the operand of a cast in the place of the cast, if it can cast the literal back
//! (`unwrap_cast`). That is wrong for these casts:
//! - of decimals to fewer digits behind the point, which round: over a column `DECIMAL(15,2)`,
//!   `CAST(d AS DECIMAL(24,1)) <= 0` becomes `d <= 0.00`, and leaves out 0.04. `CAST(d AS BIGINT) = 1` leaves out 1.40;
//! - that return NULL for what does not fit: `TRY_CAST(n AS SMALLINT) <> 3` becomes `n <> 3`, and returns 100000;
//! - of timestamps to another unit, which cut digits of the column or of the literal;
//! - of timestamps to a time zone, which take them for the zone's clock: midnight in Zurich is compared as midnight in
//!   Greenwich.
//!
//! Both the logical rule `SimplifyExpressions` and the physical simplifier of files do this.
//!
//! The guard of the logical rule gives such casts an alias, which the rule does not look through. [`hide`] runs last before
//! physical planning: a function around the cast keeps it from the physical simplifier.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::expressions::{
    any, has_expression, map_named, map_plan, map_simplified, rewrite_named, schema_below, value_type,
};
use super::guarded_rules::{Action, Guard};
use super::same_column;

/// The alias of such a cast, while the rule runs.
const ALIAS: &str = "__cast_value";

pub(super) const GUARD: Guard = Guard { rules: &["simplify_expressions"], action: Action::Replace(simplify) };

fn simplify(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    if !has_cast(&plan) {
        return rule.rewrite(plan, config);
    }
    let schema = schema_below(&plan)?;
    let before = plan.clone();
    let aliased = map_named(plan, |expr| Ok(around_cast(expr, &schema, |cast| cast.alias(ALIAS))))?;
    let simplified = rule.rewrite(aliased.data, config)?;
    if !aliased.transformed {
        return Ok(simplified);
    }
    let plan = map_simplified(simplified.data, without_aliases)?;
    Ok(if plan == before { Transformed::no(before) } else { Transformed::yes(plan) })
}

/// Simplifies an expression over these columns by a function that calls DataFusion's simplifier.
pub(crate) fn simplified(expr: Expr, schema: &DFSchema, simplify: impl FnOnce(Expr) -> Result<Expr>) -> Result<Expr> {
    let aliased = expr.transform_up(|expr| Ok(around_cast(expr, schema, |cast| cast.alias(ALIAS)))).data()?;
    simplify(aliased)?.transform_up(|expr| Ok(without_alias(expr))).data()
}

fn without_aliases(plan: LogicalPlan) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&plan);
    let bare = plan.map_expressions(|expr| {
        rewrite_named(&names, expr, &mut |expr| {
            Ok(expr.transform_up(|expr| Ok(without_alias(expr)))?.update_data(without_own_name))
        })
    });
    bare.data()
}

fn without_alias(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Alias(alias) if alias.name == ALIAS => Transformed::yes(*alias.expr),
        other => Transformed::no(other),
    }
}

/// Removes the alias that kept the name of an expression with an aliased cast: other rules do not look into it.
fn without_own_name(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias)
            if alias.relation.is_none()
                && alias.metadata.is_none()
                && alias.expr.schema_name().to_string() == alias.name =>
        {
            *alias.expr
        }
        other => other,
    }
}

/// Returns the plan with such casts hidden, for physical planning only.
pub(super) fn hide(plan: LogicalPlan) -> Result<LogicalPlan> {
    map_plan(plan, may_be_cast, |expr, schema| around_cast(expr, schema, hidden))
}

fn has_cast(plan: &LogicalPlan) -> bool {
    has_expression(plan, |expr| any(expr, may_be_cast))
}

fn may_be_cast(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast(_) | Expr::TryCast(_)) || becomes_cast(expr)
}

/// True for a call that the logical rule turns into a cast, and then compares.
fn becomes_cast(expr: &Expr) -> bool {
    const FUNCTIONS: [&str; 4] = ["arrow_cast", "arrow_try_cast", "cast_to_type", "try_cast_to_type"];
    matches!(expr, Expr::ScalarFunction(call) if FUNCTIONS.contains(&call.name()))
}

/// Puts something around an expression if it is a cast that compares unlike its operand.
fn around_cast(expr: Expr, schema: &DFSchema, around: impl Fn(Expr) -> Expr) -> Transformed<Expr> {
    let differs = match &expr {
        Expr::Cast(cast) => !keeps_distinct(&cast.expr, cast.field.data_type(), schema),
        Expr::TryCast(_) => true,
        other => becomes_cast(other),
    };
    if differs { Transformed::yes(around(expr)) } else { Transformed::no(expr) }
}

/// False if a cast may round a decimal, change the unit of a timestamp, or set a clock.
fn keeps_distinct(expr: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    let Ok(from) = expr.get_type(schema) else { return false };
    let (from, to) = (value_type(&from), value_type(to));
    if let (DataType::Timestamp(from, from_zone), DataType::Timestamp(to, to_zone)) = (from, to) {
        let same_clock = from_zone.is_some() || matches!(to_zone.as_deref(), None | Some("UTC" | "+00:00"));
        return from == to && same_clock;
    }
    // The simplifiers take a negative number of digits behind the point for a large one.
    match (scale(from), scale(to)) {
        (Some(from), Some(to)) => from >= 0 && to >= from,
        (Some(from), None) => from == 0 || !(to.is_integer() || to.is_temporal()),
        (None, to) => to.is_none_or(|to| to >= 0),
    }
}

fn scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        _ => None,
    }
}

/// Returns a call of a function that returns its argument. No simplifier looks into it.
fn hidden(cast: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| same_column::function("cast_value", Arc::clone));
    FUNCTION.call(vec![cast])
}
