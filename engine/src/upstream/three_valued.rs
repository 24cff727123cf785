//! A workaround, part of normalising: predicates keep their third value, NULL.
//!
//! `SimplifyExpressions` of DataFusion 55.2 merges two lists that one value is tested for. It makes
//! `x IN (1) AND x IN (2)` false and `x NOT IN (1) OR x NOT IN (2)` true, even if `x` is NULL. It compares the items of
//! the lists as text: `x IN (a) AND x IN (b)` becomes false for columns `a` and `b` that are equal. It makes such lists
//! of `x = 1 OR x = 2` as well (<https://github.com/apache/datafusion/pull/24258>). If two tests of one value could
//! meet, each gets its own alias for the value while the rule runs.
//! Before: `NOT (x IN (1) AND x IN (2))` became true.
//! After: `x NOT IN (1) OR x NOT IN (2)`.

use std::cell::Cell;
use std::collections::HashMap;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Case, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::expressions::{map_simplified, rewrite_named, schema_below};
use super::guarded_rules::{Action, Guard};

/// The prefix of the aliases that keep tests of one value apart.
const ALIAS: &str = "__test_";

pub(super) const GUARD: Guard = Guard { rules: &["simplify_expressions"], action: Action::Replace(simplify) };

fn simplify(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    if !is_risky(&plan)? {
        return rule.rewrite(plan, config);
    }
    let before = plan.clone();
    let next = Cell::new(0);
    let plan = each(plan, |expr| kept_apart(expr, &next))?;
    let plan = map_simplified(rule.rewrite(plan, config)?.data, |node| each(node, as_one))?;
    Ok(if plan == before { Transformed::no(before) } else { Transformed::yes(plan) })
}

/// Rewrites the expressions of one operator, under their names.
fn each(plan: LogicalPlan, rewrite: impl Fn(Expr) -> Result<Transformed<Expr>>) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&plan);
    Ok(plan.map_expressions(|expr| rewrite_named(&names, expr, &mut |expr| rewrite(expr)))?.data)
}

/// Gives the value of each test its own alias.
fn kept_apart(expr: Expr, next: &Cell<usize>) -> Result<Transformed<Expr>> {
    let aliased = |value: Box<Expr>| {
        next.set(next.get() + 1);
        Box::new(value.alias(format!("{ALIAS}{}", next.get())))
    };
    expr.transform_up(|e| match e {
        Expr::InList(list) => Ok(Transformed::yes(Expr::InList(InList { expr: aliased(list.expr), ..list }))),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::NotEq), right }) => {
            let (left, right) = match (left.as_ref(), right.as_ref()) {
                (_, Expr::Literal(..)) => (aliased(left), right),
                (Expr::Literal(..), _) => (left, aliased(right)),
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(left, op, right)))),
            };
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(left, op, right))))
        }
        other => Ok(Transformed::no(other)),
    })
}

/// Removes the aliases.
fn as_one(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|e| match e {
        Expr::Alias(alias) if alias.name.starts_with(ALIAS) => Ok(Transformed::yes(*alias.expr)),
        other => Ok(Transformed::no(other)),
    })
}

/// True if the rule could merge different tests of an operator's expressions.
fn is_risky(plan: &LogicalPlan) -> Result<bool> {
    let mut expressions = false;
    plan.apply_expressions(|expr| {
        expressions |= tests(expr).len() > 1;
        Ok(if expressions { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !expressions {
        return Ok(false);
    }
    let schema = schema_below(plan)?;
    let filters = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::TableScan(_) | LogicalPlan::Join(_));
    let mut risky = false;
    plan.apply_expressions(|expr| {
        risky |= if filters { filter_differs(expr, &schema) } else { value_differs(expr, &schema) };
        Ok(if risky { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(risky)
}

/// A test if a value equals others: the value, whether the test is negated, and whether all others are known.
struct Test<'a> {
    value: &'a Expr,
    negated: bool,
    literal: bool,
}

/// Returns the tests in an expression, with the sign that `NOT` gives them. Tests in the conditions of a `CASE` are
/// separate.
fn tests(expr: &Expr) -> Vec<Test<'_>> {
    let mut found = vec![];
    collect(expr, false, &mut found);
    found
}

fn collect<'a>(expr: &'a Expr, opposite: bool, found: &mut Vec<Test<'a>>) {
    match expr {
        Expr::InList(InList { expr, list, negated }) => {
            let known = |e: &Expr| matches!(e, Expr::Literal(value, _) if !value.is_null());
            found.push(Test { value: expr, negated: *negated != opposite, literal: list.iter().all(known) });
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::NotEq), right }) => {
            let value = match (left.as_ref(), right.as_ref()) {
                (value, Expr::Literal(..)) | (Expr::Literal(..), value) => value,
                _ => return both(left, right, opposite, found),
            };
            found.push(Test { value, negated: (*op == Operator::NotEq) != opposite, literal: true });
        }
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => both(left, right, opposite, found),
        Expr::Not(inner) => collect(inner, !opposite, found),
        other => {
            // It is a value, and the sign has no meaning for it.
            let _ = other.apply_children(|child| {
                collect(child, opposite, found);
                Ok(TreeNodeRecursion::Continue)
            });
        }
    }
}

fn both<'a>(left: &'a Expr, right: &'a Expr, opposite: bool, found: &mut Vec<Test<'a>>) {
    collect(left, opposite, found);
    collect(right, opposite, found);
}

/// True if merging tests could change a value that may be NULL.
fn value_differs(expr: &Expr, schema: &DFSchema) -> bool {
    if let Expr::Case(Case { expr: None, when_then_expr, else_expr }) = expr {
        let branches =
            when_then_expr.iter().any(|(when, then)| filter_differs(when, schema) || value_differs(then, schema));
        return branches || else_expr.as_ref().is_some_and(|e| value_differs(e, schema));
    }
    if is_logical(expr) {
        return meet(&tests(expr), |t| !t.literal || nullable(t.value, schema));
    }
    let mut differs = false;
    let _ = expr.apply_children(|child| {
        differs |= value_differs(child, schema);
        Ok(TreeNodeRecursion::Continue)
    });
    differs
}

/// True if merging tests could change whether a condition is true. Only negated tests matter, and lists with unknown
/// values.
fn filter_differs(expr: &Expr, schema: &DFSchema) -> bool {
    split_conjunction(expr).into_iter().any(|conjunct| {
        let found = tests(conjunct);
        let negative: Vec<_> = found.into_iter().filter(|t| t.negated || !t.literal).collect();
        meet(&negative, |t| nullable(t.value, schema)) || has_values(conjunct, schema)
    }) || meet(&tests(expr), |t| !t.literal)
}

/// True if an operand that is not a condition itself has conditions that differ.
fn has_values(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            has_values(left, schema) || has_values(right, schema)
        }
        // Below `NOT`, false instead of NULL becomes true above it.
        Expr::Not(inner) => meet(&tests(inner), |t| nullable(t.value, schema)) || has_values(inner, schema),
        other => {
            let mut differs = false;
            let _ = other.apply_children(|child| {
                differs |= value_differs(child, schema);
                Ok(TreeNodeRecursion::Continue)
            });
            differs
        }
    }
}

fn is_logical(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) | Expr::Not(_))
}

/// True if two tests are of one value, and one of them matters.
fn meet(tests: &[Test<'_>], matters: impl Fn(&Test<'_>) -> bool) -> bool {
    let mut by_value: HashMap<&Expr, (usize, bool)> = HashMap::new();
    tests.iter().any(|test| {
        let (count, matter) = by_value.entry(uncast(test.value)).or_default();
        *count += 1;
        *matter = *matter || matters(test);
        *count > 1 && *matter
    })
}

/// Returns the value below its casts: the rule removes casts before it merges lists.
fn uncast(mut value: &Expr) -> &Expr {
    while let Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) = value {
        value = expr;
    }
    value
}

fn nullable(expr: &Expr, schema: &DFSchema) -> bool {
    expr.nullable(schema).unwrap_or(true)
}
