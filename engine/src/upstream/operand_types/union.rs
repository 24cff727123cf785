//! The branches of a `UNION`: each column of all branches is a group of operands.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union, cast};

use super::groups::{Group, Operand, columns, settle_operands};

/// Finds a common type for every column of a union.
pub(super) fn settle(union: Union) -> Result<Union> {
    let Union { mut inputs, schema } = union;
    let width = schema.fields().len();
    let mut lists: Vec<Vec<Expr>> = inputs.iter().map(|input| columns(input)).collect();
    // DataFusion reports branches of different widths.
    if lists.iter().all(|list| list.len() == width) {
        for at in 0..width {
            let operands = lists.iter_mut().zip(&inputs).map(|(list, input)| {
                let data_type = input.schema().field(at).data_type().clone();
                Operand { expr: without_alias(&mut list[at]), data_type }
            });
            settle_operands(Group::Branches, &mut operands.collect::<Vec<_>>())?;
        }
        inputs = inputs.into_iter().zip(lists).map(|(input, list)| project(input, list)).collect::<Result<_>>()?;
    }
    let stale = |first: &Arc<LogicalPlan>| {
        first.schema().fields().iter().zip(schema.fields()).any(|(own, field)| own.data_type() != field.data_type())
    };
    // A coerced union no longer has the types of its first branch: it is left as it is.
    match inputs.first() {
        Some(first) if stale(first) => Union::try_new_with_loose_types(inputs),
        _ => Ok(Union { inputs, schema }),
    }
}

/// A side of `INTERSECT` or `EXCEPT` that is not analysed yet, and the types that its columns will have after the
/// analysis.
pub(in crate::upstream) struct Side {
    pub(in crate::upstream) plan: LogicalPlan,
    pub(in crate::upstream) types: Vec<DataType>,
}

/// Gives the columns of two sides the types that they would have as branches of a union, before DataFusion finds a
/// common type for each pair.
///
/// # Errors
/// `InvalidQuery` for columns without a common type.
pub(in crate::upstream) fn settle_sides(left: &mut Side, right: &mut Side) -> Result<()> {
    let (mut of_left, mut of_right) = (columns(&left.plan), columns(&right.plan));
    let types = left.types.iter_mut().zip(&mut right.types);
    for ((l, r), (l_type, r_type)) in of_left.iter_mut().zip(&mut of_right).zip(types) {
        let mut operands = [
            Operand { expr: without_alias(l), data_type: l_type.clone() },
            Operand { expr: without_alias(r), data_type: r_type.clone() },
        ];
        settle_operands(Group::Branches, &mut operands)?;
        let [l, r] = operands;
        (*l_type, *r_type) = (l.data_type, r.data_type);
    }
    for (side, list) in [(left, of_left), (right, of_right)] {
        let plan = project(Arc::new(std::mem::take(&mut side.plan)), list)?;
        side.plan = Arc::unwrap_or_clone(plan);
    }
    Ok(())
}

fn without_alias(expr: &mut Expr) -> &mut Expr {
    match expr {
        Expr::Alias(alias) => without_alias(&mut alias.expr),
        other => other,
    }
}

/// Returns the branch with these expressions as its columns, under the branch's names.
fn project(input: Arc<LogicalPlan>, list: Vec<Expr>) -> Result<Arc<LogicalPlan>> {
    let before = columns(&input);
    if before == list {
        return Ok(input);
    }
    let names = NamePreserver::new_for_projection();
    let list = before.iter().zip(list).map(|(before, after)| names.save(before).restore(after)).collect();
    let below = match Arc::unwrap_or_clone(input) {
        LogicalPlan::Projection(projection) => projection.input,
        other => Arc::new(other),
    };
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(list, below)?)))
}

/// Returns the plan with floats where it promised floats and exact arithmetic returns decimals.
pub(super) fn with_promised_floats(plan: LogicalPlan, promised: &DFSchema) -> Result<LogicalPlan> {
    let names = NamePreserver::new_for_projection();
    let own = plan.schema().clone();
    let mut changed = false;
    let list = plan.schema().columns().into_iter().map(Expr::Column).zip(own.fields()).zip(promised.fields());
    let list = list.map(|((column, own), promised)| {
        if *promised.data_type() == DataType::Float64 && own.data_type().is_decimal() {
            changed = true;
            names.save(&column).restore(cast(column, DataType::Float64))
        } else {
            column
        }
    });
    let list: Vec<_> = list.collect();
    if !changed {
        return Ok(plan);
    }
    Ok(LogicalPlan::Projection(Projection::try_new(list, Arc::new(plan))?))
}
