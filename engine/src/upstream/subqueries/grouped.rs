//! Correlated aggregates. One without groups has a row for each value of the outer columns, even if it reads no row:
//! `count(*)` is 0 there.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema, JoinType, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::{Aggregate, Union};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, GroupingSet, LogicalPlan, LogicalPlanBuilder, cast, when};
use datafusion::prelude::lit;

use super::dependent::{Independent, same};
use super::domain::Domain;
use super::refused;
use super::scope::replace;
use crate::upstream::expressions::any;

/// Makes an aggregate independent of the outer columns of a domain.
///
/// # Errors
/// `Unsupported` for `grouping()` with an empty grouping set.
pub(super) fn independent(domain: &Domain<'_>, aggregate: &Aggregate) -> Result<Independent> {
    if aggregate.group_expr.is_empty() {
        return ungrouped(domain, aggregate);
    }
    let sets = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => Some(expanded(sets)),
        _ => None,
    };
    match sets {
        Some(sets) if sets.iter().any(Vec::is_empty) => domain.independent(&split(aggregate, sets)?),
        Some(sets) => {
            let group = vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))];
            by_groups(domain, aggregate, group)
        }
        None => by_groups(domain, aggregate, aggregate.group_expr.clone()),
    }
}

/// Returns the sets that `ROLLUP`, `CUBE` and `GROUPING SETS` abbreviate.
fn expanded(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::Rollup(exprs) => (0..=exprs.len()).map(|n| exprs.iter().take(n).cloned().collect()).collect(),
        GroupingSet::Cube(exprs) => (0..1_usize << exprs.len())
            .map(|mask| exprs.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, e)| e.clone()).collect())
            .collect(),
        GroupingSet::GroupingSets(sets) => sets.clone(),
    }
}

/// Returns the columns of an aggregate, without the one that DataFusion adds to grouping sets.
fn columns(plan: &LogicalPlan) -> Vec<Column> {
    plan.schema().columns().into_iter().filter(|c| c.name != Aggregate::INTERNAL_GROUPING_ID).collect()
}

/// Groups all values at once: the keys are further columns to group by.
fn by_groups(domain: &Domain<'_>, aggregate: &Aggregate, group: Vec<Expr>) -> Result<Independent> {
    let Independent { plan: input, keys } = domain.independent(&aggregate.input)?;
    let by = domain.by(&keys);
    let own = || keys.iter().cloned().map(Expr::Column);
    let mut groups = vec![];
    for expr in group {
        groups.push(match expr {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                let sets = sets.into_iter().map(|set| {
                    let set = set.into_iter().map(|e| replace(e, input.schema(), &by)).collect::<Result<Vec<_>>>()?;
                    Ok(own().chain(set).collect())
                });
                Expr::GroupingSet(GroupingSet::GroupingSets(sets.collect::<Result<_>>()?))
            }
            other => replace(other, input.schema(), &by)?,
        });
    }
    if !matches!(groups.as_slice(), [Expr::GroupingSet(_)]) {
        groups = own().chain(groups).collect();
    }
    let aggregates = aggregate.aggr_expr.iter().map(|e| replace(e.clone(), input.schema(), &by));
    let aggregates = aggregates.collect::<Result<Vec<_>>>()?;
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, aggregates)?);
    let old = columns(&LogicalPlan::Aggregate(aggregate.clone()));
    let new = columns(&plan);
    let values = new.iter().skip(keys.len()).zip(old).map(|(new, old)| named(new.clone(), old));
    let exprs: Vec<_> = values.chain(own()).collect();
    Ok(Independent { plan: LogicalPlanBuilder::from(plan).project(exprs)?.build()?, keys })
}

/// Returns a column under the name of another.
fn named(column: Column, like: Column) -> Expr {
    if column == like { Expr::Column(column) } else { Expr::Column(column).alias_qualified(like.relation, like.name) }
}

/// Returns one row for each row of the domain: the groups of all values, and aggregates over no rows for the others.
fn ungrouped(domain: &Domain<'_>, aggregate: &Aggregate) -> Result<Independent> {
    let Independent { plan: input, keys } = domain.independent(&aggregate.input)?;
    let by = domain.by(&keys);
    let aggregates = aggregate.aggr_expr.iter().map(|e| replace(e.clone(), input.schema(), &by));
    let aggregates = aggregates.collect::<Result<Vec<_>>>()?;
    let groups = keys.iter().cloned().map(Expr::Column).collect::<Vec<_>>();
    let grouped = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, aggregates)?);
    let names: Vec<_> = grouped.schema().columns().into_iter().map(|c| (c, domain.names.next("group"))).collect();
    let found = domain.names.next("found");
    let exprs = names.iter().map(|(c, name)| Expr::Column(c.clone()).alias(name)).chain([lit(true).alias(&found)]);
    let grouped = LogicalPlanBuilder::from(grouped).project(exprs)?.build()?;

    let (rows, own) = domain.rows()?;
    let column = |name: &String| Expr::Column(Column::new_unqualified(name.clone()));
    let matches = own.iter().zip(&names).map(|(own, (_, name))| same(Expr::Column(own.clone()), column(name)));
    let condition = conjunction(matches).unwrap_or_else(|| lit(true));
    let joined = LogicalPlanBuilder::from(rows).join_on(grouped, JoinType::Left, [condition])?;
    let mut exprs = vec![];
    let values = names.iter().skip(keys.len()).zip(&aggregate.aggr_expr).zip(aggregate.schema.iter());
    for (((_, name), expr), (relation, field)) in values {
        let of_nothing = of_nothing(expr, aggregate)?;
        let value = match of_nothing.is_null() {
            true => column(name),
            false => when(column(&found).is_null(), lit(of_nothing)).otherwise(column(name))?,
        };
        exprs.push(value.alias_qualified(relation.cloned(), field.name()));
    }
    exprs.extend(own.iter().cloned().map(Expr::Column));
    Ok(Independent { plan: joined.project(exprs)?.build()?, keys: own })
}

/// Returns the value of an aggregate over no rows.
fn of_nothing(expr: &Expr, aggregate: &Aggregate) -> Result<ScalarValue> {
    match expr.clone().unalias() {
        Expr::AggregateFunction(function) => {
            let of = Expr::AggregateFunction(function.clone()).get_type(aggregate.input.schema())?;
            function.func.default_value(&of)
        }
        _ => Err(refused("a subquery computes with an aggregate inside of it", "compute with it in a query around it")),
    }
}

/// Returns grouping sets of which some are empty as a union: groups for the others, and one row for each empty set.
fn split(aggregate: &Aggregate, sets: Vec<Vec<Expr>>) -> Result<LogicalPlan> {
    let is_grouping = |e: &Expr| matches!(e, Expr::AggregateFunction(f) if f.func.name() == "grouping");
    if aggregate.aggr_expr.iter().any(|e| any(e, is_grouping)) {
        return Err(refused(
            "grouping() is used over an empty grouping set in a correlated subquery",
            "write UNION ALL of a query with GROUP BY and one without",
        ));
    }
    let plan = LogicalPlan::Aggregate(aggregate.clone());
    let (empty, sets): (Vec<_>, Vec<_>) = sets.into_iter().partition(Vec::is_empty);
    let old = columns(&plan);
    let groups = old.len() - aggregate.aggr_expr.len();
    let mut parts = vec![];
    if !sets.is_empty() {
        let group = vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))];
        let part = Aggregate::try_new(Arc::clone(&aggregate.input), group, aggregate.aggr_expr.clone())?;
        let part = LogicalPlan::Aggregate(part);
        let exprs: Vec<_> = old
            .iter()
            .cloned()
            .map(|c| match part.schema().has_column(&c) {
                true => Ok(Expr::Column(c)),
                false => null_like(&plan, c),
            })
            .collect::<Result<_>>()?;
        parts.push(LogicalPlanBuilder::from(part).project(exprs)?.build()?);
    }
    for _ in empty {
        // Without aggregates, the part is one row, whatever the rows below.
        let part = match aggregate.aggr_expr.is_empty() {
            true => LogicalPlanBuilder::empty(true).build()?,
            false => {
                let input = Arc::clone(&aggregate.input);
                LogicalPlan::Aggregate(Aggregate::try_new(input, vec![], aggregate.aggr_expr.clone())?)
            }
        };
        let nulls = old.iter().take(groups).cloned().map(|c| null_like(&plan, c)).collect::<Result<Vec<_>>>()?;
        let values = old.iter().skip(groups).cloned().map(Expr::Column);
        parts.push(LogicalPlanBuilder::from(part).project(nulls.into_iter().chain(values))?.build()?);
    }
    if let ([_], Some(part)) = (parts.as_slice(), parts.first()) {
        return Ok(part.clone());
    }
    let union = LogicalPlan::Union(Union::try_new_with_loose_types(parts.into_iter().map(Arc::new).collect())?);
    let exprs: Vec<_> = old
        .into_iter()
        .enumerate()
        .map(|(i, old)| named(Column::from(union.schema().qualified_field(i)), old))
        .collect();
    LogicalPlanBuilder::from(union).project(exprs)?.build()
}

/// Returns NULL in place of a column.
fn null_like(plan: &LogicalPlan, column: Column) -> Result<Expr> {
    let of = plan.schema().field_from_column(&column)?.data_type().clone();
    Ok(cast(lit(ScalarValue::Null), of).alias_qualified(column.relation, column.name))
}
