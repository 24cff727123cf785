//! Brings `IN`, `= ANY`, `<> ALL` and `EXISTS` into one shape: an uncorrelated plan, and conditions that compare its
//! columns with those of the query around it.
//!
//! `x IN (SELECT y FROM q)` is true if a row of `q` has `y = x`. Otherwise it is NULL if a row has a `y` that is NULL,
//! or if `x` is NULL and `q` has rows. Otherwise it is false.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, ScalarFunction, SetQuantifier};
use datafusion::logical_expr::utils::{conjunction, disjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, FetchType, LogicalPlan, LogicalPlanBuilder, Operator, SkipType,
    Subquery, not, when,
};
use datafusion::prelude::lit;

use super::dependent::{Independent, same};
use super::domain::{Domain, FreshNames, check_size};
use super::scope::{as_outer, has_subquery, outer_columns, outer_columns_of, subquery};
use crate::upstream::growth::gains_too_much;

/// Returns NULL as a truth value.
fn unknown() -> Expr {
    lit(ScalarValue::Boolean(None))
}

/// Returns an `EXISTS` over the rows of a subquery that meet a condition, which may read outer columns.
fn exists_where(of: &Subquery, condition: Option<Expr>) -> Result<Expr> {
    let plan = match condition {
        Some(condition) => LogicalPlanBuilder::from(Arc::clone(&of.subquery)).filter(condition)?.build()?,
        None => of.subquery.as_ref().clone(),
    };
    Ok(Expr::Exists(Exists { subquery: subquery(plan, of.spans.clone()), negated: false }))
}

/// Returns the values of a subquery, several for a row value, and the subquery that computes them.
fn values_of(of: &Subquery) -> (Vec<Expr>, Subquery) {
    if let LogicalPlan::Projection(projection) = of.subquery.as_ref()
        && let [expr] = projection.expr.as_slice()
        && let Expr::ScalarFunction(function) = expr.clone().unalias()
        && is_row(&function)
    {
        return (function.args, subquery(projection.input.as_ref().clone(), of.spans.clone()));
    }
    (of.subquery.schema().columns().into_iter().map(Expr::Column).collect(), of.clone())
}

/// True for the function that makes a row value: `(a, b)`.
pub(super) fn is_row(function: &ScalarFunction) -> bool {
    function.func.name() == "struct"
}

/// Returns the values of a row, or the one value.
pub(super) fn row(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::ScalarFunction(function) if is_row(function) => function.args.clone(),
        other => vec![other.clone()],
    }
}

/// Rewrites a test whether `x`, an expression over `schema`, is among the values of a subquery.
///
/// `true_only`: NULL has the effect of false at the place of the test.
pub(super) fn is_in(x: &Expr, of: &Subquery, negated: bool, schema: &DFSchema, true_only: bool) -> Result<Expr> {
    let (ys, of) = &values_of(of);
    // A column may hold whole rows.
    let xs = if ys.len() == 1 { vec![x.clone()] } else { row(x) };
    if xs.len() != ys.len() {
        return Err(super::refused(
            &format!("{} values are compared with {} columns of a subquery", xs.len(), ys.len()),
            "name as many columns in the subquery as there are values",
        ));
    }
    let outer = xs.iter().map(|x| as_outer(x.clone(), schema)).collect::<Result<Vec<_>>>()?;
    let equal = |x: &Expr, y: &Expr| y.clone().eq(x.clone());
    let matches = conjunction(outer.iter().zip(ys).map(|(x, y)| equal(x, y))).unwrap_or_else(|| lit(true));
    let found = exists_where(of, Some(matches.clone()))?;
    if !negated && true_only {
        return Ok(found);
    }
    let nullable_x = xs.len() == 1 && x.nullable(schema)?;
    let mut unknowns = vec![];
    if let ([_], [y]) = (xs.as_slice(), ys.as_slice()) {
        if y.nullable(of.subquery.schema())? {
            unknowns.push(exists_where(of, Some(y.clone().is_null()))?);
        }
        if nullable_x {
            unknowns.push(x.clone().is_null().and(exists_where(of, None)?));
        }
    } else {
        unknowns.push(exists_where(of, Some(matches.is_null()))?);
    }
    if negated && true_only {
        let reasons = std::iter::once(found).chain(unknowns).map(not);
        return Ok(conjunction(reasons).unwrap_or_else(|| lit(true)));
    }
    three_valued(found, unknowns, !negated)
}

/// Returns `value` if `found` is true, NULL if the outcome is not known, and the opposite otherwise.
fn three_valued(found: Expr, unknowns: Vec<Expr>, value: bool) -> Result<Expr> {
    match disjunction(unknowns) {
        Some(unknown_if) => when(found, lit(value)).when(unknown_if, unknown()).otherwise(lit(!value)),
        None => Ok(if value { found } else { not(found) }),
    }
}

/// Rewrites quantified comparisons such as `x = ANY (…)` and `x < ALL (…)`.
pub(super) fn compared(
    comparison: &datafusion::logical_expr::expr::SetComparison,
    schema: &DFSchema,
    true_only: bool,
) -> Result<Expr> {
    let (of, x) = (&comparison.subquery, comparison.expr.as_ref());
    match (comparison.op, &comparison.quantifier) {
        (Operator::Eq, SetQuantifier::Any) => return is_in(x, of, false, schema, true_only),
        (Operator::NotEq, SetQuantifier::All) => return is_in(x, of, true, schema, true_only),
        _ => {}
    }
    let y = of.subquery.schema().columns().into_iter().next().map(Expr::Column).unwrap_or_else(unknown);
    let test = Expr::BinaryExpr(BinaryExpr::new(Box::new(as_outer(x.clone(), schema)?), comparison.op, Box::new(y)));
    let any = comparison.quantifier == SetQuantifier::Any;
    let found = exists_where(of, Some(if any { test.clone() } else { not(test.clone()) }))?;
    if any && true_only {
        return Ok(found);
    }
    three_valued(found, vec![exists_where(of, Some(test.is_null()))?], any)
}

/// The rows of a subquery, without the conditions that read outer columns.
#[derive(Debug)]
pub(super) struct Flat {
    /// A plan that reads no outer column of the query around it.
    pub(super) plan: LogicalPlan,
    /// Conditions on the plan's columns and the outer columns.
    pub(super) conditions: Vec<Expr>,
}

impl Flat {
    /// Takes the plan of an `EXISTS` apart.
    ///
    /// # Errors
    /// `Unsupported` for plans that cannot be made independent of the query around them.
    pub(super) fn of(plan: &LogicalPlan, base: &LogicalPlan, names: &FreshNames) -> Result<Self> {
        check_size(plan)?;
        let (mut plan, mut conditions) = (plan.clone(), vec![]);
        while let Some(below) = peeled(&plan, &mut conditions)? {
            plan = below;
        }
        let columns: Vec<_> = outer_columns(&plan)?.into_iter().filter(|c| base.schema().has_column(c)).collect();
        if columns.is_empty() {
            return Ok(Self { plan, conditions });
        }
        let domain = Domain::new(base, columns, names);
        let Independent { plan, keys } = domain.independent(&plan)?;
        conditions.extend(links(&domain, &keys)?);
        // Subqueries inside of the plan may read the keys now.
        Ok(Self { plan: super::rewritten(plan, names)?, conditions })
    }

    /// Gives the columns that the conditions read new names, and drops the others.
    pub(super) fn named(self, names: &FreshNames) -> Result<Self> {
        let mut columns: Vec<Column> = vec![];
        for condition in &self.conditions {
            for column in condition.column_refs() {
                if !columns.contains(column) {
                    columns.push(column.clone());
                }
            }
        }
        columns.sort();
        let own: Vec<_> = columns.iter().map(|_| names.next("inner")).collect();
        let exprs: Vec<_> = match columns.is_empty() {
            true => vec![lit(1_i64).alias(names.next("inner"))],
            false => columns.iter().zip(&own).map(|(c, own)| Expr::Column(c.clone()).alias(own)).collect(),
        };
        let plan = LogicalPlanBuilder::from(self.plan).project(exprs)?.build()?;
        let renamed = |expr: Expr| {
            expr.transform_up(|e| match &e {
                Expr::Column(c) => Ok(match columns.iter().position(|known| known == c).and_then(|i| own.get(i)) {
                    Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name.clone()))),
                    None => Transformed::no(e),
                }),
                _ => Ok(Transformed::no(e)),
            })
            .map(|t| t.data)
        };
        let conditions = self.conditions.into_iter().map(renamed).collect::<Result<_>>()?;
        Ok(Self { plan, conditions })
    }
}

/// Returns the equalities between the keys of an independent plan and the outer columns.
pub(super) fn links(domain: &Domain<'_>, keys: &[Column]) -> Result<Vec<Expr>> {
    let links = domain.columns.iter().zip(keys).map(|(outer, key)| {
        let (key, outer) = (Expr::Column(key.clone()), Expr::Column(outer.clone()));
        let nullable = outer.nullable(domain.schema())?;
        let outer = as_outer(outer, domain.schema())?;
        Ok(if nullable { same(key, outer) } else { key.eq(outer) })
    });
    links.collect()
}

/// Returns the plan below an operator that does not change whether there are rows, or whose conditions were moved to
/// `conditions`.
fn peeled(plan: &LogicalPlan, conditions: &mut Vec<Expr>) -> Result<Option<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Filter(filter) => {
            let (mut outer, mut own) = (vec![], vec![]);
            for conjunct in split_conjunction_owned(filter.predicate.clone()) {
                let correlated = !outer_columns_of(&conjunct, filter.input.schema())?.is_empty();
                if correlated && has_subquery(&conjunct) {
                    return Ok(None);
                }
                if correlated { outer.push(conjunct) } else { own.push(conjunct) }
            }
            if outer.is_empty() {
                return Ok(None);
            }
            conditions.extend(outer);
            Some(match conjunction(own) {
                Some(own) => LogicalPlanBuilder::from(Arc::clone(&filter.input)).filter(own)?.build()?,
                None => filter.input.as_ref().clone(),
            })
        }
        LogicalPlan::Projection(projection)
            if !projection.expr.iter().any(|e| e.is_volatile() || has_subquery(e))
                && !gains_too_much(conditions.iter(), plan)? =>
        {
            let inlined = |expr: Expr| {
                expr.transform_up(|e| match &e {
                    Expr::Column(c) => {
                        Ok(match projection.schema.maybe_index_of_column(c).and_then(|i| projection.expr.get(i)) {
                            Some(expr) => Transformed::yes(expr.clone().unalias()),
                            None => Transformed::no(e),
                        })
                    }
                    _ => Ok(Transformed::no(e)),
                })
                .map(|t| t.data)
            };
            *conditions = std::mem::take(conditions).into_iter().map(inlined).collect::<Result<_>>()?;
            Some(projection.input.as_ref().clone())
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => Some(sort.input.as_ref().clone()),
        LogicalPlan::Distinct(Distinct::All(input)) => Some(input.as_ref().clone()),
        LogicalPlan::Limit(limit) if conditions.is_empty() => match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(0), FetchType::Literal(fetch)) if fetch.is_none_or(|n| n > 0) => {
                Some(limit.input.as_ref().clone())
            }
            _ => None,
        },
        _ => None,
    })
}
