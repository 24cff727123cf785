//! Makes a correlated plan independent: evaluates it for all values of the outer columns at once. Each of its rows
//! carries the values that it belongs to (Neumann and Kemper, "Unnesting Arbitrary Queries").
//!
//! Before: `Aggregate: count(*) (Filter: b.id = outer(a.id) (b))`.
//! After: `Left Join: d = id (Distinct: a.id AS d (a)), (Aggregate: count(*) by id (b))`, with 0 if no row matches.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::{Filter, Limit, Projection, SubqueryAlias, Union, Unnest, Window};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprFunctionExt, FetchType, LogicalPlan, LogicalPlanBuilder, Operator, SkipType,
    SortExpr,
};
use datafusion::prelude::lit;

use super::domain::{Domain, product};
use super::refused;
use super::scope::{Replacements, outer_columns, replace};
use super::{grouped, joins};
use crate::upstream::ranks::row_number;

/// A plan whose rows carry the values of the outer columns that they belong to.
#[derive(Debug)]
pub(super) struct Independent {
    /// The plan, with the columns of the correlated plan and `keys`.
    pub(super) plan: LogicalPlan,
    /// A column for each outer column of the domain, in order.
    pub(super) keys: Vec<Column>,
}

impl Domain<'_> {
    /// True if a plan reads a column of the domain.
    pub(super) fn reads(&self, plan: &LogicalPlan) -> Result<bool> {
        Ok(outer_columns(plan)?.iter().any(|c| self.columns.contains(c)))
    }

    /// True if a plan reads no outer columns but those of the domain.
    fn has_all(&self, plan: &LogicalPlan) -> Result<bool> {
        Ok(outer_columns(plan)?.iter().all(|c| self.columns.contains(c)))
    }

    /// Returns the replacements of the outer columns, for columns in the same order.
    pub(super) fn by(&self, keys: &[Column]) -> Replacements {
        self.columns.iter().cloned().zip(keys.iter().cloned()).collect()
    }

    /// Makes a plan independent of the outer columns of the domain.
    ///
    /// # Errors
    /// `Unsupported` for operators that cannot be evaluated for all values at once.
    pub(super) fn independent(&self, plan: &LogicalPlan) -> Result<Independent> {
        if !self.reads(plan)? {
            let (rows, keys) = self.rows()?;
            return Ok(Independent { plan: product(rows, plan.clone())?, keys });
        }
        match plan {
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Projection(projection) => {
                let Independent { plan: input, keys } = self.independent(&projection.input)?;
                let exprs = self.renamed(plan, projection.expr.clone(), &input, &keys)?;
                self.projected(input, exprs, keys)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let Independent { plan: input, keys } = self.independent(&alias.input)?;
                let input = self.narrowed(&alias.input, input, &keys)?;
                let plan = LogicalPlanBuilder::from(input).alias(alias.alias.clone())?.build()?;
                let keys = keys.into_iter().map(|k| Column::new(Some(alias.alias.clone()), k.name)).collect();
                Ok(Independent { plan, keys })
            }
            LogicalPlan::Join(join) => joins::independent(self, join),
            LogicalPlan::Aggregate(aggregate) => grouped::independent(self, aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Independent { plan, keys } = self.independent(input)?;
                let plan = self.narrowed(input, plan, &keys)?;
                Ok(Independent { plan: LogicalPlanBuilder::from(plan).distinct()?.build()?, keys })
            }
            // Without a limit, the order of a subquery's rows has no meaning.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.independent(&sort.input),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Window(window) => self.window(plan, window),
            LogicalPlan::Union(union) => self.union(plan, union),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            // A subquery in FROM that reads no column of the items before it.
            LogicalPlan::Subquery(lateral) if self.has_all(&lateral.subquery)? => self.independent(&lateral.subquery),
            other => Err(refused(
                &format!("a subquery reads columns of the query around it in `{}`", other.display()),
                "write it as a join",
            )),
        }
    }

    /// Returns the columns of `old` and the keys, without other columns of `new`.
    pub(super) fn narrowed(&self, old: &LogicalPlan, new: LogicalPlan, keys: &[Column]) -> Result<LogicalPlan> {
        let columns = old.schema().columns().into_iter().chain(keys.iter().cloned()).map(Expr::Column);
        LogicalPlanBuilder::from(new).project(columns)?.build()
    }

    fn projected(&self, input: LogicalPlan, mut exprs: Vec<Expr>, keys: Vec<Column>) -> Result<Independent> {
        exprs.extend(keys.iter().cloned().map(Expr::Column));
        Ok(Independent { plan: LogicalPlanBuilder::from(input).project(exprs)?.build()?, keys })
    }

    /// Returns expressions over the keys, with the names of the columns of `old`.
    fn renamed(&self, old: &LogicalPlan, exprs: Vec<Expr>, input: &LogicalPlan, keys: &[Column]) -> Result<Vec<Expr>> {
        let by = self.by(keys);
        let exprs = exprs.into_iter().zip(old.schema().iter()).map(|(expr, (relation, field))| {
            let expr = replace(expr, input.schema(), &by)?;
            let same = expr.qualified_name() == (relation.cloned(), field.name().clone());
            Ok(if same { expr } else { expr.alias_qualified(relation.cloned(), field.name()) })
        });
        exprs.collect()
    }

    fn filter(&self, filter: &Filter) -> Result<Independent> {
        let Independent { plan: input, keys } = match self.by_equality(filter)? {
            Some(equal) => equal,
            None => self.independent(&filter.input)?,
        };
        let predicate = replace(filter.predicate.clone(), input.schema(), &self.by(&keys))?;
        Ok(Independent { plan: LogicalPlanBuilder::from(input).filter(predicate)?.build()?, keys })
    }

    /// Returns the input of the filter if the filter makes each outer column equal to one of its columns. These columns
    /// are the keys, and the domain is not read.
    fn by_equality(&self, filter: &Filter) -> Result<Option<Independent>> {
        if self.reads(&filter.input)? {
            return Ok(None);
        }
        let conjuncts = split_conjunction_owned(filter.predicate.clone());
        let (mut exprs, mut keys, mut present) = (super::domain::all_columns(&filter.input), vec![], vec![]);
        for outer in &self.columns {
            let equal = conjuncts.iter().find_map(|c| equal_to(c, outer));
            let (Some(own), wanted) = (equal, self.schema().data_type(outer)?) else { return Ok(None) };
            if filter.input.schema().data_type(own)? != wanted {
                return Ok(None);
            }
            let name = self.names.next("outer");
            exprs.push(Expr::Column(own.clone()).alias(&name));
            keys.push(Column::new_unqualified(name.clone()));
            // A key that is NULL equals nothing, not even an outer column that is NULL.
            present.push(Expr::Column(Column::new_unqualified(name)).is_not_null());
        }
        let plan = LogicalPlanBuilder::from(Arc::clone(&filter.input)).project(exprs)?;
        let plan = match conjunction(present) {
            Some(present) => plan.filter(present)?,
            None => plan,
        };
        Ok(Some(Independent { plan: plan.build()?, keys }))
    }

    /// Returns the rows of a limit, counted for each combination of keys.
    fn limit(&self, limit: &Limit) -> Result<Independent> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Err(refused("the LIMIT of a subquery is not a number", "write a number"));
        };
        let (input, order) = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => (&sort.input, sort.expr.clone()),
            // The order is that of the rows below. Some of their columns have no unique name.
            LogicalPlan::Projection(projection) => {
                let below = Limit { input: Arc::clone(&projection.input), ..limit.clone() };
                let below = Arc::new(LogicalPlan::Limit(below));
                let above = Projection::try_new(projection.expr.clone(), below)?;
                return self.independent(&LogicalPlan::Projection(above));
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = Limit { input: Arc::clone(&alias.input), ..limit.clone() };
                let above = SubqueryAlias::try_new(Arc::new(LogicalPlan::Limit(below)), alias.alias.clone())?;
                return self.independent(&LogicalPlan::SubqueryAlias(above));
            }
            // A limit of an inner query keeps the order of its rows.
            LogicalPlan::Limit(below) => match below.input.as_ref() {
                LogicalPlan::Sort(sort) => (&limit.input, sort.expr.clone()),
                _ => (&limit.input, vec![]),
            },
            _ => (&limit.input, vec![]),
        };
        let Independent { plan, keys } = self.independent(input)?;
        let by = self.by(&keys);
        let order = order.into_iter().map(|s| Ok(SortExpr { expr: replace(s.expr, plan.schema(), &by)?, ..s }));
        let partition = keys.iter().cloned().map(Expr::Column).collect();
        let name = self.names.next("row");
        let order = order.collect::<Result<Vec<_>>>()?;
        let number = row_number().partition_by(partition);
        let number = if order.is_empty() { number.build()? } else { number.order_by(order).build()? };
        let counted = LogicalPlanBuilder::from(plan).window(vec![number])?.build()?;
        let number = Expr::Column(Column::from(counted.schema().qualified_field(counted.schema().fields().len() - 1)));
        let columns = input.schema().columns().into_iter().chain(keys.iter().cloned()).map(Expr::Column);
        let named = LogicalPlanBuilder::from(counted).project(columns.chain([number.alias(&name)]))?;
        let number = Expr::Column(Column::new_unqualified(name));
        let skip = i64::try_from(skip).unwrap_or(i64::MAX);
        let mut kept = number.clone().gt(lit(skip));
        if let Some(fetch) = fetch {
            kept = kept.and(number.lt_eq(lit(skip.saturating_add(i64::try_from(fetch).unwrap_or(i64::MAX)))));
        }
        let plan = self.narrowed(input, named.filter(kept)?.build()?, &keys)?;
        Ok(Independent { plan, keys })
    }

    fn window(&self, old: &LogicalPlan, window: &Window) -> Result<Independent> {
        let Independent { plan: input, keys } = self.independent(&window.input)?;
        let by = self.by(&keys);
        let mut exprs = vec![];
        for expr in &window.window_expr {
            let mut expr = replace(expr.clone().unalias(), input.schema(), &by)?;
            let Expr::WindowFunction(function) = &mut expr else {
                return Err(refused(
                    "a window function of a subquery is part of an expression",
                    "name it in a subquery",
                ));
            };
            function.params.partition_by.extend(keys.iter().cloned().map(Expr::Column));
            exprs.push(expr);
        }
        let width = input.schema().fields().len();
        let plan = LogicalPlan::Window(Window::try_new(exprs, Arc::new(input))?);
        let mut columns: Vec<_> = window.input.schema().columns().into_iter().map(Expr::Column).collect();
        let named = old.schema().iter().skip(columns.len());
        columns.extend(named.enumerate().map(|(i, (relation, field))| {
            Expr::Column(Column::from(plan.schema().qualified_field(width + i)))
                .alias_qualified(relation.cloned(), field.name())
        }));
        self.projected(plan, columns, keys)
    }

    fn union(&self, old: &LogicalPlan, union: &Union) -> Result<Independent> {
        let keys: Vec<_> = self.columns.iter().map(|_| self.names.next("outer")).collect();
        let mut inputs = vec![];
        for input in &union.inputs {
            let Independent { plan, keys: own } = self.independent(input)?;
            let columns = input.schema().columns().into_iter().map(Expr::Column);
            let own = own.into_iter().zip(&keys).map(|(own, key)| Expr::Column(own).alias(key));
            inputs.push(Arc::new(LogicalPlanBuilder::from(plan).project(columns.chain(own))?.build()?));
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        let columns = old.schema().iter().enumerate().map(|(i, (relation, field))| {
            Expr::Column(Column::from(plan.schema().qualified_field(i)))
                .alias_qualified(relation.cloned(), field.name())
        });
        let columns = columns.collect();
        let from = old.schema().fields().len();
        let keys = keys.into_iter().enumerate().map(|(i, name)| {
            (
                Expr::Column(Column::from(plan.schema().qualified_field(from + i))).alias(&name),
                Column::new_unqualified(name),
            )
        });
        let (exprs, keys): (Vec<_>, Vec<_>) = keys.unzip();
        let columns: Vec<Expr> = [columns, exprs].concat();
        Ok(Independent { plan: LogicalPlanBuilder::from(plan).project(columns)?.build()?, keys })
    }

    fn unnest(&self, unnest: &Unnest) -> Result<Independent> {
        let Independent { plan, keys } = self.independent(&unnest.input)?;
        let plan = LogicalPlanBuilder::from(plan)
            .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
            .build()?;
        Ok(Independent { plan, keys })
    }
}

/// Returns `a IS NOT DISTINCT FROM b`.
pub(super) fn same(a: Expr, b: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(a), Operator::IsNotDistinctFrom, Box::new(b)))
}

/// Returns the column that a predicate makes equal to an outer column.
pub(super) fn equal_to<'a>(predicate: &'a Expr, outer: &Column) -> Option<&'a Column> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = predicate else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(own), Expr::OuterReferenceColumn(_, column))
        | (Expr::OuterReferenceColumn(_, column), Expr::Column(own))
            if column == outer =>
        {
            Some(own)
        }
        _ => None,
    }
}
