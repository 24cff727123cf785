//! An aggregate over inner joins of several sites, whose values all come from one site. That site groups its rows by
//! the columns that the rest of the query needs (the join keys and its share of the grouping), and sends groups. If the
//! query groups by an expression over that site's columns, such as the month of a date, the site groups by the expression.
//!
//! A group that joins `n` rows of the other side counts `n` times, as each of its rows would. This is correct for
//! `sum`, `count`, `min`, `max` and the aggregates made of them. The caller decides if the split pays. It does not pay
//! if nearly each row is its own group.
//!
//! A group by a float has rows with 0 and with -0, and its key is one of the two. So above the groups, nothing but the
//! query's own grouping and `=` reads such a key.
//!
//! Before: `Aggregate: sum(x) by b.k (Join: a.j = b.j (a, b))`.
//! After: `Aggregate: sum(s) by b.k (Join: a.j = b.j (Aggregate: sum(x) AS s by a.j (a), b))`.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ExprSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinType, LogicalPlan, Projection};

use super::parts::{Parts, reduce};
use crate::mesh::MeshView;
use crate::plan::SiteChoice;
use crate::planner::candidates::site_of;
use crate::planner::infallible::never_fails;
use crate::upstream::zero_signs::has_one_form;

/// Puts a partial aggregate below the joins. Returns the alternatives, the one with the fewest groups first. There are none if it
/// is incorrect or useless.
pub(super) fn aggregate(aggregate: &Aggregate, view: &MeshView) -> Result<Vec<LogicalPlan>> {
    if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)) || e.is_volatile()) {
        return Ok(vec![]);
    }
    // The grouping and the values as expressions over the columns that the joins return.
    let (groups, values, joins) = match aggregate.input.as_ref() {
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(Expr::is_volatile) => {
            let inline = |exprs: &[Expr]| exprs.iter().map(|e| inlined(e, projection)).collect::<Result<Vec<_>>>();
            (inline(&aggregate.group_expr)?, inline(&aggregate.aggr_expr)?, projection.input.as_ref())
        }
        other => (aggregate.group_expr.clone(), aggregate.aggr_expr.clone(), other),
    };
    if !matches!(joins, LogicalPlan::Join(_)) || site_of(joins, view)? != SiteChoice::Here {
        return Ok(vec![]);
    }
    let Some(parts) = Parts::of(&values, joins.schema())? else { return Ok(vec![]) };
    // Below a join, the aggregates read rows that the join would have dropped.
    let Some(parts) = parts.without_failure(joins.schema()) else { return Ok(vec![]) };
    let read: HashSet<Column> = values.iter().flat_map(|e| e.column_refs().into_iter().cloned()).collect();
    if read.is_empty() {
        // A count of rows could go to any side. This function has no costs to choose one.
        return Ok(vec![]);
    }
    let Some(owner) = owner_of(joins, &read, view)? else { return Ok(vec![]) };
    let mut needed =
        Needed { owner: owner.schema().as_ref(), columns: BTreeSet::new(), conditions: vec![], refused: false };
    needed.of_joins(joins, owner)?;
    if needed.refused {
        return Ok(vec![]);
    }
    let mut alternatives = vec![];
    let conditions = std::mem::take(&mut needed.conditions);
    for keys in needed.keys_for(&groups) {
        let reduced = reduce(owner.clone(), keys.clone(), parts.partial())?;
        let renamed = Renamed { from: keys, to: reduced.schema().clone() };
        let groups = groups.iter().map(|g| renamed.apply(g)).collect::<Result<Vec<_>>>()?;
        let conditions = conditions.iter().map(|c| renamed.apply(c)).collect::<Result<Vec<_>>>()?;
        if !groups.iter().chain(&conditions).all(|expr| renamed.has_one_value(expr)) {
            continue;
        }
        let Some(rebuilt) = rebuild(joins, owner, &reduced, &renamed)? else { continue };
        let values: Vec<Expr> =
            (renamed.from.len()..reduced.schema().fields().len()).map(|i| renamed.column(i)).collect();
        alternatives.push(parts.combine(rebuilt, groups, &values, &aggregate.schema)?);
    }
    Ok(alternatives)
}

/// Returns the largest part below the joins that is at one peer and returns all columns that the values read.
fn owner_of<'a>(plan: &'a LogicalPlan, read: &HashSet<Column>, view: &MeshView) -> Result<Option<&'a LogicalPlan>> {
    if !read.iter().all(|c| has_column(plan.schema(), c)) {
        return Ok(None);
    }
    if matches!(site_of(plan, view)?, SiteChoice::Site(_)) {
        return Ok(Some(plan));
    }
    match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => match owner_of(&join.left, read, view)? {
            None => owner_of(&join.right, read, view),
            found => Ok(found),
        },
        LogicalPlan::Projection(projection) if projection.expr.iter().all(|e| matches!(e, Expr::Column(_))) => {
            owner_of(&projection.input, read, view)
        }
        _ => Ok(None),
    }
}

/// The owner's columns that the rest of the query needs.
struct Needed<'a> {
    owner: &'a DFSchema,
    columns: BTreeSet<Column>,
    /// The conditions of the joins, with the sides of each key apart.
    conditions: Vec<Expr>,
    /// True if a condition is volatile: it must be evaluated for each pair of rows, not for each group.
    refused: bool,
}

impl Needed<'_> {
    /// Adds the columns that the conditions of the joins above `owner` read.
    fn of_joins(&mut self, plan: &LogicalPlan, owner: &LogicalPlan) -> Result<()> {
        if std::ptr::eq(plan, owner) {
            return Ok(());
        }
        if let LogicalPlan::Join(join) = plan {
            let conditions = join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter);
            self.refused |= conditions.into_iter().any(Expr::is_volatile);
            for (left, right) in &join.on {
                self.of_condition(left);
                self.of_condition(right);
            }
            join.filter.iter().for_each(|filter| self.of_condition(filter));
        }
        plan.inputs().into_iter().try_for_each(|input| self.of_joins(input, owner))
    }

    fn of_condition(&mut self, condition: &Expr) {
        self.of_exprs([condition]);
        self.conditions.push(condition.clone());
    }

    fn of_exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        let read = exprs.into_iter().flat_map(Expr::column_refs);
        self.columns.extend(read.filter(|column| has_column(self.owner, column)).cloned());
    }

    /// Returns the keys by which the owner can group for these expressions of the query: with the expressions that it can
    /// evaluate, and with their columns.
    fn keys_for(mut self, groups: &[Expr]) -> Vec<Vec<Expr>> {
        let groups = groups.iter().map(|group| group.clone().unalias());
        let (mut whole, others): (Vec<Expr>, Vec<Expr>) = groups.partition(|group| self.is_key(group));
        self.of_exprs(&others);
        // An expression over columns that are keys in any case adds nothing, if a group has one value of them.
        whole.retain(|key| {
            let is_key = |column: &Column| self.columns.contains(column) && has_one_form_in(self.owner, column);
            !key.column_refs().into_iter().all(is_key)
        });
        let with_expressions: Vec<Expr> =
            self.columns.iter().cloned().map(Expr::Column).chain(whole.iter().cloned()).collect();
        self.of_exprs(&whole);
        let by_columns: Vec<Expr> = self.columns.into_iter().map(Expr::Column).collect();
        match (by_columns.is_empty(), whole.is_empty()) {
            // Without keys, the owner would return a row even if it has none.
            (true, _) => vec![],
            (_, true) => vec![by_columns],
            _ => vec![with_expressions, by_columns],
        }
    }

    /// True if the owner can group by the expression. It evaluates it for rows that the joins drop.
    fn is_key(&self, expr: &Expr) -> bool {
        let columns = expr.column_refs();
        !matches!(expr, Expr::Column(_))
            && !columns.is_empty()
            && columns.into_iter().all(|column| has_column(self.owner, column))
            && never_fails(expr, self.owner)
    }
}

/// The keys by which the owner groups, with their names in the owner's partial aggregate, by position.
struct Renamed {
    from: Vec<Expr>,
    to: DFSchemaRef,
}

impl Renamed {
    fn column(&self, index: usize) -> Expr {
        Expr::Column(Column::from(self.to.qualified_field(index)))
    }

    /// True if an expression over the groups has the value that it has for each of their rows, or an equal one.
    fn has_one_value(&self, expr: &Expr) -> bool {
        let expr = expr.clone().unalias();
        let is_key = |column: &Column| has_column(&self.to, column);
        matches!(expr, Expr::Column(_))
            || expr.column_refs().into_iter().filter(|c| is_key(c)).all(|column| has_one_form_in(&self.to, column))
    }

    fn apply(&self, expr: &Expr) -> Result<Expr> {
        let renamed = expr.clone().transform_down(|e| {
            Ok(match self.from.iter().position(|key| *key == e) {
                Some(index) => Transformed::new(self.column(index), true, TreeNodeRecursion::Jump),
                None => Transformed::no(e),
            })
        })?;
        Ok(renamed.data)
    }
}

/// Rebuilds the joins with `reduced` in the place of `owner`; `None` if an operator between them cannot be rebuilt.
fn rebuild(
    plan: &LogicalPlan,
    owner: &LogicalPlan,
    reduced: &LogicalPlan,
    renamed: &Renamed,
) -> Result<Option<LogicalPlan>> {
    if std::ptr::eq(plan, owner) {
        return Ok(Some(reduced.clone()));
    }
    if !contains(plan, owner) {
        return Ok(Some(plan.clone()));
    }
    match plan {
        LogicalPlan::Join(join) => {
            let Some(left) = rebuild(&join.left, owner, reduced, renamed)? else { return Ok(None) };
            let Some(right) = rebuild(&join.right, owner, reduced, renamed)? else { return Ok(None) };
            let rename = |e: &Expr| renamed.apply(e);
            let on = join.on.iter().map(|(l, r)| Ok((rename(l)?, rename(r)?))).collect::<Result<Vec<_>>>()?;
            let filter = join.filter.as_ref().map(rename).transpose()?;
            Ok(Some(LogicalPlan::Join(Join::try_new(
                Arc::new(left),
                Arc::new(right),
                on,
                filter,
                join.join_type,
                join.join_constraint,
                join.null_equality,
                join.null_aware,
            )?)))
        }
        LogicalPlan::Projection(projection) => {
            let Some(input) = rebuild(&projection.input, owner, reduced, renamed)? else { return Ok(None) };
            // The projection only drops columns. It keeps the columns of other inputs, and replaces the owner's columns
            // with the groups.
            let others =
                projection.expr.iter().filter(|e| !matches!(e, Expr::Column(c) if has_column(owner.schema(), c)));
            let groups = (0..renamed.to.fields().len()).map(|i| renamed.column(i));
            let exprs = groups.chain(others.cloned()).collect();
            Ok(Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
        }
        _ => Ok(None),
    }
}

/// True if a schema has a column by its full name: `x` of another side is not the `x` of `t.x`.
fn has_column(schema: &DFSchema, column: &Column) -> bool {
    schema.iter().any(|(qualifier, field)| qualifier == column.relation.as_ref() && *field.name() == column.name)
}

fn has_one_form_in(schema: &DFSchema, column: &Column) -> bool {
    schema.field_from_column(column).is_ok_and(|field| has_one_form(field.data_type()))
}

fn contains(plan: &LogicalPlan, owner: &LogicalPlan) -> bool {
    std::ptr::eq(plan, owner) || plan.inputs().into_iter().any(|input| contains(input, owner))
}

fn inlined(expr: &Expr, projection: &Projection) -> Result<Expr> {
    let inlined = expr.clone().transform(|e| match &e {
        Expr::Column(column) => Ok(match projection.schema.maybe_index_of_column(column) {
            Some(index) => Transformed::new(projection.expr[index].clone().unalias(), true, TreeNodeRecursion::Jump),
            None => Transformed::no(e),
        }),
        _ => Ok(Transformed::no(e)),
    })?;
    Ok(inlined.data)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn a_column_is_found_by_its_full_name() {
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
        let owner = DFSchema::try_from_qualified_schema("t", &schema).unwrap();
        assert!(has_column(&owner, &Column::new(Some("t"), "x")));
        // The `x` that another side computes has no table.
        assert!(!has_column(&owner, &Column::new_unqualified("x")));
        assert!(!has_column(&owner, &Column::new(Some("u"), "x")));
    }
}
