//! A TopN over a union: one below each branch and the same above. A TopN over a left join, ordered by columns of the
//! side that keeps its rows: one below on that side, since each of its rows gives at least one.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Projection, Sort, SortExpr};

use super::branches;

/// Splits a TopN over a union; `None` where it is not over one, or has no limit.
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

/// Puts a TopN below a left join on its left side, where it is ordered by columns of that side alone.
pub(super) fn over_outer_join(sort: &Sort) -> Result<Option<LogicalPlan>> {
    if sort.fetch.is_none() {
        return Ok(None);
    }
    let (projection, join) = match sort.input.as_ref() {
        LogicalPlan::Join(join) => (None, join),
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::Join(join) => (Some(projection), join),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    if join.join_type != JoinType::Left || matches!(join.left.as_ref(), LogicalPlan::Sort(_)) {
        return Ok(None);
    }
    let mut keys = vec![];
    for key in &sort.expr {
        match below(&key.expr, projection, join) {
            Some(column) => keys.push(SortExpr { expr: Expr::Column(column), ..key.clone() }),
            None => return Ok(None),
        }
    }
    let left = LogicalPlan::Sort(Sort { expr: keys, input: join.left.clone(), fetch: sort.fetch });
    let join = LogicalPlan::Join(Join { left: Arc::new(left), ..join.clone() });
    let input = match projection {
        Some(projection) => LogicalPlan::Projection(Projection::try_new_with_schema(
            projection.expr.clone(),
            Arc::new(join),
            projection.schema.clone(),
        )?),
        None => join,
    };
    Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), ..sort.clone() })))
}

/// The column of the join's left side that a sort key is; `None` where it is anything else.
fn below(key: &Expr, projection: Option<&Projection>, join: &Join) -> Option<Column> {
    let Expr::Column(column) = key else { return None };
    let column = match projection {
        Some(projection) => {
            let index = projection.schema.maybe_index_of_column(column)?;
            match projection.expr[index].clone().unalias() {
                Expr::Column(column) => column,
                _ => return None,
            }
        }
        None => column.clone(),
    };
    // The left side's columns come first.
    let index = join.schema.maybe_index_of_column(&column)?;
    (index < join.left.schema().fields().len()).then(|| Column::from(join.left.schema().qualified_field(index)))
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    (0..plan.schema().fields().len()).map(|i| Expr::Column(Column::from(plan.schema().qualified_field(i)))).collect()
}
