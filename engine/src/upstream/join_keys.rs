//! A workaround, part of normalising: qualifies the columns of join keys with their tables.
//!
//! DataFusion 55.2 moves the fields of structs below a join under an unqualified name (`ExtractLeafExpressions`), and
//! then qualifies that column (`PushDownLeafProjections`). If a key computes a value from the field, the physical
//! planner projects it under one name and looks for the other: `no field named "__datafusion_extracted_1 + Int64(1)"`.
//!
//! Before: `Inner Join: __datafusion_extracted_1 + 1 = b.y`. After: `Inner Join: a.__datafusion_extracted_1 + 1 = b.y`.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Qualifies the columns of all join keys with their tables.
pub(crate) fn qualify(plan: LogicalPlan) -> Result<LogicalPlan> {
    let qualified = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(mut join) => {
            let mut changed = false;
            for (left, right) in &mut join.on {
                changed |= qualify_key(left, join.left.schema())? | qualify_key(right, join.right.schema())?;
            }
            Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(qualified.data)
}

fn qualify_key(key: &mut Expr, schema: &DFSchema) -> Result<bool> {
    let qualified = key.clone().transform_up(|e| match e {
        Expr::Column(column) if column.relation.is_none() => {
            match schema.qualified_field_with_unqualified_name(&column.name) {
                Ok((Some(table), field)) => {
                    Ok(Transformed::yes(Expr::Column(Column::new(Some(table.clone()), field.name()))))
                }
                _ => Ok(Transformed::no(Expr::Column(column))),
            }
        }
        other => Ok(Transformed::no(other)),
    })?;
    if qualified.transformed {
        *key = qualified.data;
    }
    Ok(qualified.transformed)
}
