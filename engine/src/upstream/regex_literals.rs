//! Keeps DataFusion from turning a regular expression into a `LIKE` pattern with another meaning.
//!
//! The simplifier of DataFusion 55.2 turns `x ~ 'a\\b'` into `x LIKE '%a\b%'`, in which the backslash is the escape
//! character: `ab` matches and `a\b` does not. It also turns `x ~ '.*'` into `x IS NOT NULL`, which is false if the
//! match is NULL. `regexp_like` becomes `~` first. The simplifier leaves an expression in a capturing group as it is.
//!
//! Before: `x ~ 'a\\b'`. After: `x ~ '((?:a\\b))'`.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use super::expressions::{any, has_expression, map_named};

/// Puts such expressions into a capturing group.
#[derive(Debug)]
pub(super) struct RegexLiterals;

impl AnalyzerRule for RegexLiterals {
    fn name(&self) -> &str {
        "regex_literals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| match has_expression(&node, |e| any(e, is_match)) {
            true => map_named(node, grouped),
            false => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

/// True for a match of a regular expression.
fn is_match(expr: &Expr) -> bool {
    use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
    match expr {
        Expr::BinaryExpr(binary) => matches!(binary.op, RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch),
        Expr::ScalarFunction(call) => call.name() == "regexp_like",
        _ => false,
    }
}

fn grouped(expr: Expr) -> Result<Transformed<Expr>> {
    if !is_match(&expr) {
        return Ok(Transformed::no(expr));
    }
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let group = pattern_in_group(&right);
            let changed = group.is_some();
            let right = group.map_or(right, Box::new);
            Ok(Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed))
        }
        Expr::ScalarFunction(mut call) => {
            let group = call.args.get(1).and_then(pattern_in_group);
            let changed = group.is_some();
            if let (Some(group), Some(pattern)) = (group, call.args.get_mut(1)) {
                *pattern = group;
            }
            Ok(Transformed::new_transformed(Expr::ScalarFunction(call), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Returns a literal pattern, or a cast of one, in a group.
fn pattern_in_group(pattern: &Expr) -> Option<Expr> {
    match pattern {
        Expr::Literal(value, metadata) => Some(Expr::Literal(in_group(value)?, metadata.clone())),
        Expr::Cast(cast) => Some(Expr::Cast(Cast { expr: Box::new(pattern_in_group(&cast.expr)?), ..cast.clone() })),
        _ => None,
    }
}

fn in_group(value: &ScalarValue) -> Option<ScalarValue> {
    let text = value.try_as_str().flatten()?;
    let misread = text == ".*" || text.contains(r"\\") || text.contains(r"\x") || text.contains(r"\u");
    if !misread || text.starts_with("((?:") && text.ends_with("))") {
        return None;
    }
    ScalarValue::Utf8(Some(format!("((?:{text}))"))).cast_to(&value.data_type()).ok()
}
