//! The filters of a physical plan that stay where they are.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::MOST_GAINED;

/// True for a filter that would become too large below the projections that follow.
pub(in crate::upstream) fn is_filter_to_stay(plan: &dyn ExecutionPlan) -> bool {
    let Some(filter) = plan.downcast_ref::<FilterExec>() else { return false };
    let mut uses = HashMap::new();
    count(filter.predicate(), 1, &mut uses);
    let (mut gained, mut input) = (0_u64, filter.input());
    loop {
        let Some(projection) = input.downcast_ref::<ProjectionExec>() else {
            // An operator with as many columns as its input passes them on.
            match input.children().as_slice() {
                [below] if below.schema().fields().len() == input.schema().fields().len() => input = *below,
                _ => return false,
            }
            continue;
        };
        let mut below = HashMap::new();
        for (place, times) in uses {
            let Some(projected) = projection.expr().get(place) else { continue };
            let size = count(&projected.expr, times, &mut below);
            gained = gained.saturating_add(times.saturating_mul(size.saturating_sub(1)));
        }
        if gained > MOST_GAINED {
            return true;
        }
        (uses, input) = (below, projection.input());
    }
}

/// Adds the columns of an expression that has so many uses, by their places. Returns the size of the expression.
fn count(expr: &Arc<dyn PhysicalExpr>, times: u64, uses: &mut HashMap<usize, u64>) -> u64 {
    let mut size = 0;
    // The visit has no errors.
    let _ = expr.apply(|part| {
        size += 1;
        if let Some(column) = part.downcast_ref::<Column>() {
            let total = uses.entry(column.index()).or_default();
            *total = total.saturating_add(times);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    size
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, lit};
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::empty::EmptyExec;

    use super::*;

    #[test]
    fn a_filter_that_would_become_too_large_stays() {
        let x: Arc<dyn PhysicalExpr> = Arc::new(Column::new("x", 0));
        let binary = |left: &Arc<dyn PhysicalExpr>, op, right: &Arc<dyn PhysicalExpr>| -> Arc<dyn PhysicalExpr> {
            Arc::new(BinaryExpr::new(left.clone(), op, right.clone()))
        };
        let sum = (1..6).fold(x.clone(), |sum, _| binary(&sum, Operator::Plus, &x));
        let stays = |levels: usize| {
            let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
            let mut plan: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema));
            for _ in 0..levels {
                let projected = ProjectionExec::try_new(vec![(sum.clone(), "x".to_owned())], plan).unwrap();
                plan = Arc::new(CoalescePartitionsExec::new(Arc::new(projected)));
            }
            let filter = FilterExec::try_new(binary(&x, Operator::Gt, &lit(2_i64)), plan).unwrap();
            is_filter_to_stay(&filter)
        };
        // 10, 60, 360 and 2160 parts.
        assert!(!stays(3));
        assert!(stays(4));
        assert!(stays(60));
    }
}
