//! Correlated joins. A side that reads outer columns carries the keys. If both sides carry keys, the join makes them
//! equal. If the join keeps rows of the other side for each combination of values, both sides must carry keys.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::coalesce;

use super::dependent::{Independent, same};
use super::domain::Domain;
use super::refused;
use super::scope::{outer_columns, outer_columns_of, outer_columns_of_right, replace};

/// A side of a join, with keys if it carries them.
struct CarriedSide {
    plan: LogicalPlan,
    keys: Option<Vec<Column>>,
}

/// Makes a join independent of the outer columns of a domain.
///
/// # Errors
/// `Unsupported` for null-aware joins, for set operations that compare outer columns, and for lateral subqueries that
/// read columns of the domain besides those of their own query.
pub(super) fn independent(domain: &Domain<'_>, join: &Join) -> Result<Independent> {
    if join.null_aware {
        return Err(refused("a NOT IN inside a subquery reads columns of the query around it", "write NOT EXISTS"));
    }
    let (left, right) = carriers(domain, join)?;
    if right && outer_columns(&join.right)? != outer_columns_of_right(join)? {
        return Err(refused(
            "a lateral subquery inside a subquery reads columns of its own query and of the query around it",
            "write the lateral subquery as a join",
        ));
    }
    let (left, right) = (side(domain, left, &join.left)?, side(domain, right, &join.right)?);
    let Some(keys) = left.keys.as_ref().or(right.keys.as_ref()) else {
        return Err(refused("a subquery reads columns of the query around it in a join", "write it as a join"));
    };
    let (on, conditions) = conditions(domain, join, &left, &right, keys)?;
    let joined = LogicalPlan::Join(Join::try_new(
        Arc::new(left.plan),
        Arc::new(right.plan),
        on,
        conjunction(conditions),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        false,
    )?);
    match (join.join_type, left.keys, right.keys) {
        (JoinType::Full, Some(left), Some(right)) => of_either_side(domain, join, joined, &left, right),
        (JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark, _, Some(keys))
        | (_, Some(keys), _)
        | (_, None, Some(keys)) => Ok(Independent { plan: joined, keys }),
        (_, None, None) => Ok(Independent { plan: joined, keys: vec![] }),
    }
}

/// Returns which sides must carry the keys.
fn carriers(domain: &Domain<'_>, join: &Join) -> Result<(bool, bool)> {
    let left = domain.reads(&join.left)?;
    let right = outer_columns_of_right(join)?.iter().any(|c| domain.columns.contains(c));
    Ok(match join.join_type {
        JoinType::Inner => (left || !right, right),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (true, right),
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (left, true),
        JoinType::Full => (true, true),
    })
}

fn side(domain: &Domain<'_>, carries: bool, input: &LogicalPlan) -> Result<CarriedSide> {
    Ok(match carries {
        true => {
            let Independent { plan, keys } = domain.independent(input)?;
            CarriedSide { plan, keys: Some(keys) }
        }
        false => CarriedSide { plan: input.clone(), keys: None },
    })
}

/// Returns the pairs that the join compares, and the other conditions: those that read outer columns, and the equality
/// of the keys.
#[allow(clippy::type_complexity)]
fn conditions(
    domain: &Domain<'_>,
    join: &Join,
    left: &CarriedSide,
    right: &CarriedSide,
    keys: &[Column],
) -> Result<(Vec<(Expr, Expr)>, Vec<Expr>)> {
    let both = left.plan.schema().join(right.plan.schema())?;
    let by = domain.by(keys);
    let (mut on, mut conditions) = (vec![], vec![]);
    for (l, r) in &join.on {
        if outer_columns_of(l, &both)?.is_empty() && outer_columns_of(r, &both)?.is_empty() {
            on.push((l.clone(), r.clone()));
        } else if join.null_equality == NullEquality::NullEqualsNull {
            return Err(refused("INTERSECT or EXCEPT compares columns of the query around it", "write a join"));
        } else {
            conditions.push(replace(l.clone(), &both, &by)?.eq(replace(r.clone(), &both, &by)?));
        }
    }
    if let Some(filter) = &join.filter {
        conditions.push(replace(filter.clone(), &both, &by)?);
    }
    if let (Some(left), Some(right)) = (&left.keys, &right.keys) {
        let pairs = left.iter().cloned().zip(right.iter().cloned());
        conditions.extend(pairs.map(|(l, r)| same(Expr::Column(l), Expr::Column(r))));
    }
    Ok((on, conditions))
}

/// Returns the keys of a full join: those of the side that has a row.
fn of_either_side(
    domain: &Domain<'_>,
    join: &Join,
    joined: LogicalPlan,
    left: &[Column],
    right: Vec<Column>,
) -> Result<Independent> {
    let names: Vec<_> = left.iter().map(|_| domain.names.next("outer")).collect();
    let columns = join.schema.columns().into_iter().map(Expr::Column);
    let pairs = left.iter().cloned().zip(right).zip(&names);
    let keys = pairs.map(|((l, r), name)| coalesce(vec![Expr::Column(l), Expr::Column(r)]).alias(name));
    let plan = LogicalPlanBuilder::from(joined).project(columns.chain(keys))?.build()?;
    Ok(Independent { plan, keys: names.into_iter().map(Column::new_unqualified).collect() })
}
