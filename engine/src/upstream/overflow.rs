//! Integer `+`, `-`, `*` and unary minus fail on overflow instead of wrapping around.
//!
//! DataFusion 55.2 wraps: `SELECT 9223372036854775807 + 1` returns -9223372036854775808, because nothing sets the
//! switch `fail_on_overflow` of its physical `BinaryExpr`. It wraps in two places, and each place is covered:
//!
//! - **Execution.** [`checked_plan`] runs last before physical planning. It turns the operators of integers into the
//!   functions of [`checked`], which keep the operators' names. Scans, joins, aggregates, windows and sorts get them
//!   alike. Before: `Projection: x + 1`. After: `Projection: checked_add(x, 1)`, whose column is still `x + 1`. An
//!   aggregate gets an alias, because its name displays its `FILTER`.
//! - **Folding of constants.** [`GUARD`] wraps `SimplifyExpressions`, which sees the functions in the place of the
//!   operators. It folds `2 + 3`. It leaves `9223372036854775807 + 1` as a function that fails when it runs, and a
//!   branch of a `CASE` may never run. All other functions become operators again, so that every other rule, statistics
//!   and fragments see plain arithmetic.
//!
//! As operators may fail now, conditions and filters of aggregates keep them from rows that they exclude
//! ([`guards`]). See <https://github.com/apache/datafusion/issues/17539>,
//! <https://github.com/apache/datafusion/issues/3520> and <https://github.com/apache/datafusion/issues/21318>.

pub(super) mod checked;
mod guards;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use self::checked::Operation;
use super::expressions::{map_simplified, schema_below};
use super::guarded_rules::{Action, Guard};

/// Returns the plan with checked arithmetic, for physical planning only.
pub(super) fn checked_plan(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let checked = plan.clone().transform_up_with_subqueries(|node| {
        if !may_fail(&node)? {
            return Ok(Transformed::no(node));
        }
        let schema = schema_below(&node)?;
        let of_filter = matches!(node, LogicalPlan::Filter(_));
        // The name of an aggregate contains its filter, in which the functions have other names than the operators.
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let checked = checked(expr, &schema)?.data;
            let guarded = guards::of_aggregates(checked, &schema)?;
            let guarded = if of_filter { guards::of_condition(guarded, &schema)? } else { guarded };
            Ok(Transformed::yes(name.restore(guarded)))
        })
    })?;
    Ok(checked.data)
}

pub(super) const GUARD: Guard = Guard { rules: &["simplify_expressions"], action: Action::Replace(simplify) };

fn simplify(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    if !may_fail(&plan)? {
        return rule.rewrite(plan, config);
    }
    let schema = schema_below(&plan)?;
    let plan = plan.map_expressions(|expr| checked(expr, &schema))?.data;
    rule.rewrite(plan, config)?.map_data(|plan| map_simplified(plan, plain_node))
}

/// True if an expression of this one operator has arithmetic that may be of integers.
fn may_fail(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|e| {
            Ok(match e {
                Expr::BinaryExpr(binary) => Operation::of(binary.op).is_some() || guards::divides(binary.op),
                Expr::Negative(_) => true,
                other => checked::parts(other).is_some(),
            })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Returns the expression with functions in the place of the operators that may overflow.
fn checked(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_integer = |e: &Expr| type_source(e).get_type(schema).is_ok_and(|t| t.is_integer());
    expr.transform_up(|e| {
        Ok(match e {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match Operation::of(op) {
                // The right operand comes first: in a chain it is a leaf.
                Some(operation) if is_integer(&right) && is_integer(&left) => {
                    Transformed::yes(checked::call(operation, vec![*left, *right]))
                }
                _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            },
            Expr::Negative(value) if is_integer(&value) => {
                Transformed::yes(checked::call(Operation::Negate, vec![*value]))
            }
            other => Transformed::no(other),
        })
    })
}

/// Returns an expression of the same type whose type is found at once, however long the chain of operators is.
fn type_source(mut expr: &Expr) -> &Expr {
    while let Some((_, [.., last])) = checked::parts(expr) {
        expr = last;
    }
    expr
}

/// Returns an operator with plain arithmetic in its expressions.
fn plain_node(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.map_expressions(|expr| expr.transform_up(|e| Ok(plain(e)))).data()
}

/// Returns the operator in the place of its function, unless all its operands are known: then it would be folded, and
/// wrap.
fn plain(expr: Expr) -> Transformed<Expr> {
    let Some((operation, arguments)) = checked::parts(&expr) else { return Transformed::no(expr) };
    if arguments.iter().all(|a| matches!(a, Expr::Literal(..))) {
        return Transformed::no(expr);
    }
    match (operation.operator(), arguments) {
        (Some(op), [left, right]) => {
            let (left, right) = (Box::new(left.clone()), Box::new(right.clone()));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        (None, [value]) => Transformed::yes(Expr::Negative(Box::new(value.clone()))),
        _ => Transformed::no(expr),
    }
}
