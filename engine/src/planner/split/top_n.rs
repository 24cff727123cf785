//! A TopN over a union: one TopN below each branch, and the same above. A TopN over a left or right join, ordered by
//! columns of the preserved side: one TopN below on that side, because each of its rows is in at least one row of the
//! join.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Projection, Sort, SortExpr};

use super::branches;

/// Splits a TopN over a union; `None` if its input is not a union, or if it has no limit.
pub(super) fn over_union(sort: &Sort) -> Result<Option<LogicalPlan>> {
    if sort.fetch.is_none() || sort.expr.iter().any(|s| s.expr.is_volatile()) {
        return Ok(None);
    }
    let Some(inputs) = branches::of(&sort.input)? else { return Ok(None) };
    let schema = sort.input.schema();
    let top = |branch: LogicalPlan| {
        let expr = sort
            .expr
            .iter()
            .map(|s| Ok(SortExpr { expr: branches::one_on_branch(&s.expr, schema, branch.schema())?, ..s.clone() }))
            .collect::<Result<Vec<_>>>()?;
        let columns = columns(&branch);
        let sorted = LogicalPlan::Sort(Sort { expr, input: Arc::new(branch), fetch: sort.fetch });
        branches::numbered(sorted, columns, "c")
    };
    let union = branches::union(inputs.into_iter().map(top).collect::<Result<Vec<_>>>()?)?;
    let all = columns(&union);
    let restored = branches::named_as(union, all, schema)?;
    Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(restored), ..sort.clone() })))
}

/// Puts a TopN below a left or right join, on the preserved side, if all sort keys are columns of that side.
/// Projections may be between the TopN and the join.
pub(super) fn over_outer_join(sort: &Sort) -> Result<Option<LogicalPlan>> {
    if sort.fetch.is_none() {
        return Ok(None);
    }
    let mut projections = vec![];
    let mut input = sort.input.as_ref();
    while let LogicalPlan::Projection(projection) = input {
        projections.push(projection);
        input = projection.input.as_ref();
    }
    let LogicalPlan::Join(join) = input else { return Ok(None) };
    let kept = match join.join_type {
        JoinType::Left => &join.left,
        JoinType::Right => &join.right,
        _ => return Ok(None),
    };
    if matches!(kept.as_ref(), LogicalPlan::Sort(_)) {
        return Ok(None);
    }
    let mut keys = vec![];
    for key in &sort.expr {
        match below(&key.expr, &projections, join) {
            Some(column) => keys.push(SortExpr { expr: Expr::Column(column), ..key.clone() }),
            None => return Ok(None),
        }
    }
    let top = Arc::new(LogicalPlan::Sort(Sort { expr: keys, input: kept.clone(), fetch: sort.fetch }));
    let mut input = LogicalPlan::Join(match join.join_type {
        JoinType::Left => Join { left: top, ..join.clone() },
        _ => Join { right: top, ..join.clone() },
    });
    for projection in projections.into_iter().rev() {
        let (expr, schema) = (projection.expr.clone(), projection.schema.clone());
        input = LogicalPlan::Projection(Projection::try_new_with_schema(expr, Arc::new(input), schema)?);
    }
    Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), ..sort.clone() })))
}

/// Returns the column of the join's preserved side that a sort key stands for; `None` if the key is anything else.
fn below(key: &Expr, projections: &[&Projection], join: &Join) -> Option<Column> {
    let Expr::Column(mut column) = key.clone() else { return None };
    for projection in projections {
        let index = projection.schema.maybe_index_of_column(&column)?;
        match projection.expr[index].clone().unalias() {
            Expr::Column(below) => column = below,
            _ => return None,
        }
    }
    // The left side's columns come first.
    let index = join.schema.maybe_index_of_column(&column)?;
    let left = join.left.schema().fields().len();
    let (side, index) = match join.join_type {
        JoinType::Left if index < left => (&join.left, index),
        JoinType::Right => (&join.right, index.checked_sub(left)?),
        _ => return None,
    };
    Some(Column::from(side.schema().qualified_field(index)))
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    (0..plan.schema().fields().len()).map(|i| Expr::Column(Column::from(plan.schema().qualified_field(i)))).collect()
}
