//! A plan with an added column for each subquery of the expressions over it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Dependency, JoinType};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::logical_plan::Filter;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, FetchType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, not,
};
use datafusion::prelude::lit;

use super::dependent::Independent;
use super::domain::{Domain, FreshNames, aliased, check_size};
use super::predicate::{Flat, compared, is_in, links};
use super::refused;
use super::scope::{has_subquery, outer_columns, subquery, subquery_of};
use super::simple::is_left_join;
use crate::upstream::functional_dependencies::with_dependencies;

/// The place of an expression in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExprPosition {
    /// A filter: DataFusion plans an `EXISTS` there as a join.
    Filter,
    /// The list of a `SELECT`: DataFusion plans a scalar subquery there as a join, too.
    List,
    /// Any other place.
    Other,
}

/// A plan, and the joins that its subqueries became.
#[derive(Debug)]
pub(super) struct Carrier<'a> {
    /// The plan that the subqueries are evaluated for.
    base: LogicalPlan,
    /// The same plan with a column for each subquery.
    pub(super) plan: LogicalPlan,
    place: ExprPosition,
    names: &'a FreshNames,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(plan: LogicalPlan, place: ExprPosition, names: &'a FreshNames) -> Self {
        Self { base: plan.clone(), plan, place, names }
    }

    /// Returns the expression without the subqueries that DataFusion plans wrongly.
    ///
    /// `true_only`: NULL has the effect of false at the place of the expression.
    ///
    /// # Errors
    /// `Unsupported` for subqueries that cannot be written as joins.
    pub(super) fn resolve(&mut self, expr: Expr, true_only: bool) -> Result<Expr> {
        if !has_subquery(&expr) {
            return Ok(expr);
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) if true_only => {
                let (left, right) = (self.resolve(*left, true)?, self.resolve(*right, true)?);
                Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
            }
            // The negation of a predicate is the opposite predicate.
            Expr::Not(inner) if matches!(*inner, Expr::InSubquery(_) | Expr::Exists(_) | Expr::Not(_)) => {
                match *inner {
                    Expr::InSubquery(e) => {
                        self.resolve(Expr::InSubquery(InSubquery { negated: !e.negated, ..e }), true_only)
                    }
                    Expr::Exists(e) => self.resolve(Expr::Exists(Exists { negated: !e.negated, ..e }), true_only),
                    Expr::Not(inner) => self.resolve(*inner, true_only),
                    other => self.resolve(not(other), true_only),
                }
            }
            Expr::InSubquery(e) => {
                let x = self.operand(*e.expr)?;
                let tested = is_in(&x, &e.subquery, e.negated, self.plan.schema(), true_only)?;
                self.resolve_parts(tested, true_only)
            }
            Expr::SetComparison(mut e) => {
                *e.expr = self.operand(*e.expr)?;
                let tested = compared(&e, self.plan.schema(), true_only)?;
                self.resolve_parts(tested, true_only)
            }
            Expr::Exists(Exists { subquery, negated }) => {
                let found = self.exists(&subquery)?;
                Ok(if negated { not(found) } else { found })
            }
            Expr::ScalarSubquery(subquery) => self.scalar(subquery),
            other => self.resolve_parts(other, false),
        }
    }

    /// Resolves the parts of an expression. An expression that is a subquery itself is one of the kinds above.
    fn resolve_parts(&mut self, expr: Expr, true_only: bool) -> Result<Expr> {
        if subquery_of(&expr).is_some() || true_only {
            return self.resolve(expr, true_only);
        }
        let resolved = expr.map_children(|child| Ok(Transformed::yes(self.resolve(child, false)?)))?;
        Ok(resolved.data)
    }

    /// Returns the left side of a predicate, which the subquery will read, without subqueries of its own.
    fn operand(&mut self, expr: Expr) -> Result<Expr> {
        let expr = match has_subquery(&expr) {
            true => {
                let place = std::mem::replace(&mut self.place, ExprPosition::Other);
                let resolved = self.resolve(expr, false);
                self.place = place;
                resolved?
            }
            false => expr,
        };
        if !expr.is_volatile() && !has_subquery(&expr) {
            return Ok(expr);
        }
        // The left side is evaluated once for each row, not once for each use.
        let name = self.names.next("value");
        let columns = super::domain::all_columns(&self.plan).into_iter().chain([expr.alias(&name)]);
        self.plan = LogicalPlanBuilder::from(self.plan.clone()).project(columns)?.build()?;
        self.base = self.plan.clone();
        Ok(Expr::Column(Column::new_unqualified(name)))
    }

    /// True if a subquery of the plan reads columns that are not the plan's.
    fn reads_further_out(&self, plan: &LogicalPlan) -> Result<bool> {
        Ok(outer_columns(plan)?.iter().any(|c| !self.plan.schema().has_column(c)))
    }

    fn exists(&mut self, of: &Subquery) -> Result<Expr> {
        if outer_columns(&of.subquery)?.is_empty() {
            return self.uncorrelated(of);
        }
        let further_out = self.reads_further_out(&of.subquery)?;
        let Flat { plan, conditions } = Flat::of(&of.subquery, &self.base, self.names)?.named(self.names)?;
        let Some(condition) = conjunction(conditions) else {
            return match further_out {
                true => self.marked(plan, lit(true)),
                false => self.uncorrelated(&subquery(plan, of.spans.clone())),
            };
        };
        if self.place == ExprPosition::Filter && !further_out {
            let plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
            return Ok(Expr::Exists(Exists { subquery: subquery(plan, of.spans.clone()), negated: false }));
        }
        self.marked(plan, condition)
    }

    /// Returns a test whether a subquery has rows. The subquery reads no column of the queries around it.
    fn uncorrelated(&mut self, of: &Subquery) -> Result<Expr> {
        match self.place {
            ExprPosition::Filter => Ok(Expr::Exists(Exists { subquery: of.clone(), negated: false })),
            // A lateral subquery in it reads columns of its own query. DataFusion takes them for columns of a query
            // around.
            _ if !of.outer_ref_columns.is_empty() => self.marked(of.subquery.as_ref().clone(), lit(true)),
            _ => counted(of),
        }
    }

    /// Joins a column that is true if a row of `plan` meets a condition.
    fn marked(&mut self, plan: LogicalPlan, condition: Expr) -> Result<Expr> {
        let alias = self.names.next("exists");
        let condition = self.joined(condition, &plan, &alias)?;
        let right = aliased(plan, &alias)?;
        let left = std::mem::take(&mut self.plan);
        self.plan = LogicalPlanBuilder::from(left).join_on(right, JoinType::LeftMark, [condition])?.build()?;
        Ok(Expr::Column(Column::new(Some(alias), "mark")))
    }

    /// Returns a condition of a subquery as a join condition: outer columns become columns of the left side.
    fn joined(&self, condition: Expr, right: &LogicalPlan, alias: &str) -> Result<Expr> {
        let joined = condition.transform_up(|e| match e {
            Expr::OuterReferenceColumn(field, column) => Ok(match self.plan.schema().has_column(&column) {
                true => Transformed::yes(Expr::Column(column)),
                false => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            }),
            Expr::Column(column) if right.schema().has_column(&column) => Ok(Transformed::new(
                Expr::Column(Column::new(Some(alias), column.name)),
                true,
                TreeNodeRecursion::Continue,
            )),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(joined.data)
    }

    fn scalar(&mut self, of: Subquery) -> Result<Expr> {
        let columns = outer_columns(&of.subquery)?;
        if columns.is_empty() {
            return maybe_nothing(of);
        }
        if self.place != ExprPosition::Other && is_left_join(&of, &self.base)? {
            return Ok(Expr::ScalarSubquery(of));
        }
        let columns: Vec<_> = columns.into_iter().filter(|c| self.base.schema().has_column(c)).collect();
        if columns.is_empty() {
            // The columns belong to a query further out. That query resolves them as part of its own subquery.
            return Ok(Expr::ScalarSubquery(of));
        }
        if !is_one_row(&of.subquery) {
            return Err(refused(
                "a scalar subquery that reads columns of the query around it may have more than one row",
                "use an aggregate such as max(), or LIMIT 1",
            ));
        }
        check_size(&of.subquery)?;
        let domain = Domain::new(&self.base, columns, self.names);
        let Independent { plan, keys } = domain.independent(&of.subquery)?;
        let plan = super::rewritten(plan, self.names)?;
        let condition = conjunction(links(&domain, &keys)?).unwrap_or_else(|| lit(true));
        let (alias, name) = (self.names.next("scalar"), self.names.next("value"));
        let value = of.subquery.schema().columns().into_iter().next();
        let value = value.map_or_else(|| lit(1_i64), Expr::Column).alias(&name);
        let right = LogicalPlanBuilder::from(plan)
            .project(
                keys.into_iter()
                    .map(Expr::Column)
                    .map(|k| {
                        let name = k.qualified_name().1;
                        k.alias(name)
                    })
                    .chain([value]),
            )?
            .build()?;
        let condition = self.joined(condition_of(condition, &right), &right, &alias)?;
        let left = std::mem::take(&mut self.plan);
        let right = aliased(right, &alias)?;
        self.plan = LogicalPlanBuilder::from(left).join_on(right, JoinType::Left, [condition])?.build()?;
        Ok(Expr::Column(Column::new(Some(alias), name)))
    }
}

/// Returns a condition with unqualified columns.
fn condition_of(condition: Expr, plan: &LogicalPlan) -> Expr {
    let own = |c: &Column| plan.schema().has_column_with_unqualified_name(&c.name);
    let renamed = condition.clone().transform_up(|e| match e {
        Expr::Column(c) if own(&c) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(c.name)))),
        other => Ok(Transformed::no(other)),
    });
    renamed.map_or(condition, |t| t.data)
}

/// True if a subquery surely has at most one row for each row around it.
///
/// `LogicalPlan::max_rows` counts no row for a `SELECT` without `FROM`, so that a union of two of them seems to have
/// none.
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Values(values) => values.values.len() <= 1,
        LogicalPlan::Aggregate(aggregate) => {
            let is_set = |group: &Expr| matches!(group, Expr::GroupingSet(_));
            let is_literal = |group: &Expr| matches!(group, Expr::Literal(..));
            aggregate.group_expr.iter().all(is_literal)
                || !aggregate.group_expr.iter().any(is_set) && is_one_row(&aggregate.input)
        }
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1)))) || is_one_row(&limit.input)
        }
        LogicalPlan::Sort(sort) => sort.fetch.is_some_and(|rows| rows <= 1) || is_one_row(&sort.input),
        LogicalPlan::Filter(filter) => finds_by_key(filter) || is_one_row(&filter.input),
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Subquery(lateral) => is_one_row(&lateral.subquery),
        LogicalPlan::Window(window) => is_one_row(&window.input),
        LogicalPlan::Distinct(Distinct::All(input)) => is_one_row(input),
        LogicalPlan::Distinct(Distinct::On(distinct)) => is_one_row(&distinct.input),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right => is_one_row(&join.left) && is_one_row(&join.right),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => is_one_row(&join.left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => is_one_row(&join.right),
            // A row of each side may find no match.
            JoinType::Full => false,
        },
        _ => false,
    }
}

/// True if a filter compares all columns of a unique key, such as that of a `GROUP BY`, with values that are the same
/// for all rows.
fn finds_by_key(filter: &Filter) -> bool {
    let Ok(input) = with_dependencies(&filter.input) else { return false };
    let schema = input.schema();
    let constant = |value: &Expr| value.column_refs().is_empty() && !value.is_volatile() && !has_subquery(value);
    let mut found = vec![];
    for conjunct in split_conjunction(&filter.predicate) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct {
            match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), value) | (value, Expr::Column(column)) if constant(value) => {
                    found.extend(schema.maybe_index_of_column(column));
                }
                _ => {}
            }
        }
    }
    schema.functional_dependencies().iter().any(|key| {
        key.mode == Dependency::Single
            && key.target_indices.len() == schema.fields().len()
            && key.source_indices.iter().all(|column| found.contains(column))
    })
}

/// Returns a scalar subquery that is NULL if it has no row. DataFusion forgets this if the column is never NULL.
fn maybe_nothing(of: Subquery) -> Result<Expr> {
    if !may_be_nothing(&of) {
        return Ok(Expr::ScalarSubquery(of));
    }
    let plan = LogicalPlanBuilder::empty(true)
        .join_on(of.subquery.as_ref().clone(), JoinType::Left, [lit(true)])?
        .project(of.subquery.schema().columns().into_iter().map(Expr::Column))?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery(plan, of.spans)))
}

/// True if a scalar subquery may be NULL although its column is never NULL.
pub(super) fn may_be_nothing(of: &Subquery) -> bool {
    of.subquery.schema().fields().iter().any(|f| !f.is_nullable()) && !has_a_row(&of.subquery)
}

/// True if a plan has a row, whatever its inputs hold.
fn has_a_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(p) => has_a_row(&p.input),
        LogicalPlan::SubqueryAlias(a) => has_a_row(&a.input),
        LogicalPlan::Aggregate(a) => a.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(e) => e.produce_one_row,
        LogicalPlan::Values(_) => true,
        _ => false,
    }
}

/// Returns an uncorrelated `EXISTS` as a scalar subquery, for places where DataFusion supports no other kind.
fn counted(of: &Subquery) -> Result<Expr> {
    let plan = LogicalPlanBuilder::from(Arc::clone(&of.subquery))
        .limit(0, Some(1))?
        .aggregate(Vec::<Expr>::new(), [count(lit(1_i64))])?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery(plan, of.spans.clone())).gt(lit(0_i64)))
}
