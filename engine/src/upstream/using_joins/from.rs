//! Spells out the joins of a `FROM`, and finds its columns.

use sqlparser::ast::{Expr, Join, JoinConstraint, JoinOperator, SelectItem, SetExpr, TableFactor, TableWithJoins};

use super::columns::{JoinedColumn, JoinedColumns, MergedSide, is_named, last, quoted};
use super::probe::parsed;
use super::select::replace;
use crate::upstream::identifiers::normal;
use crate::{Error, ErrorKind, Result};

/// Spells out an item of `FROM`. `relations` has the columns of each relation, in order.
pub(super) fn item(
    item: &mut TableWithJoins,
    relations: &mut impl Iterator<Item = JoinedColumns>,
) -> Result<JoinedColumns> {
    let mut left = relation(&mut item.relation, relations)?;
    for join in &mut item.joins {
        let right = relation(&mut join.relation, relations)?;
        left = spelled_out(join, left, right)?;
    }
    Ok(left)
}

fn relation(relation: &mut TableFactor, relations: &mut impl Iterator<Item = JoinedColumns>) -> Result<JoinedColumns> {
    let TableFactor::NestedJoin { table_with_joins, alias } = relation else {
        let missing = || Error::new(ErrorKind::Internal, "a relation without its columns");
        return relations.next().ok_or_else(missing);
    };
    let columns = item(table_with_joins, relations)?;
    let Some(alias) = alias.take() else { return Ok(columns) };
    // Under an alias, merged columns are ordinary columns.
    let mut query = parsed("SELECT 1").ok_or_else(|| Error::new(ErrorKind::Internal, "`SELECT 1` does not parse"))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = list(&columns);
        select.from = vec![table_with_joins.as_ref().clone()];
    }
    let names = alias.columns.iter().map(|column| normal(&column.name));
    let names = names.map(Some).chain(std::iter::repeat(None));
    let columns = columns.all.iter().zip(names).map(|(column, renamed)| {
        let name = renamed.unwrap_or_else(|| column.name.clone());
        let value = Expr::CompoundIdentifier(vec![quoted(&normal(&alias.name)), quoted(&name)]);
        JoinedColumn { name, value, merged: false }
    });
    let columns = JoinedColumns::from(columns.collect::<Vec<_>>());
    *relation = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
    Ok(columns)
}

fn spelled_out(join: &mut Join, left: JoinedColumns, right: JoinedColumns) -> Result<JoinedColumns> {
    let kept = kept(&join.join_operator);
    let Some(constraint) = constraint_mut(&mut join.join_operator) else { return Ok(left.beside(right)) };
    let names = match constraint {
        JoinConstraint::Using(names) => {
            let names: Option<Vec<String>> =
                names.iter().map(|name| last(name).filter(|_| name.0.len() == 1)).collect();
            names.ok_or_else(|| Error::new(ErrorKind::InvalidQuery, "expected names of columns alone in USING"))?
        }
        JoinConstraint::Natural => left.shared(&right),
        JoinConstraint::On(condition) => {
            let both = left.clone().beside(right.clone());
            replace(condition, both.merged())?;
            return Ok(remaining(left, right, kept));
        }
        JoinConstraint::None => return Ok(remaining(left, right, kept)),
    };
    let (condition, columns) = left.join(right, &names, kept)?;
    *constraint = JoinConstraint::On(condition);
    Ok(columns)
}

fn remaining(left: JoinedColumns, right: JoinedColumns, kept: MergedSide) -> JoinedColumns {
    match kept {
        MergedSide::OnlyLeft => left,
        MergedSide::OnlyRight => right,
        MergedSide::Left | MergedSide::Right | MergedSide::Either => left.beside(right),
    }
}

fn kept(operator: &JoinOperator) -> MergedSide {
    match operator {
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => MergedSide::Right,
        JoinOperator::FullOuter(_) => MergedSide::Either,
        JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_) => MergedSide::OnlyLeft,
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => MergedSide::OnlyRight,
        _ => MergedSide::Left,
    }
}

fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

/// Returns the list that `*` abbreviates.
pub(super) fn list(columns: &JoinedColumns) -> Vec<SelectItem> {
    columns.all.iter().map(|column| listed(column.value.clone(), &column.name)).collect()
}

/// Returns an item of a list: an expression under a column's name.
pub(super) fn listed(expr: Expr, name: &str) -> SelectItem {
    match is_named(&expr, name) {
        true => SelectItem::UnnamedExpr(expr),
        false => SelectItem::ExprWithAlias { expr, alias: quoted(name) },
    }
}
