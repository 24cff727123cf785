//! Plans whose columns are too large when the projections below are written out.

use std::collections::HashMap;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result};
use datafusion::config::OptimizerOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::bounds::Measured;

/// The largest number of parts that an expression gains when the projections below are written out.
const MOST_GAINED: u64 = 10_000;

/// Returns the state in which to optimize a plan with large columns: without the rules that move fields of structs.
/// `None` if the plan has no such columns.
pub(crate) fn restricted(plan: &LogicalPlan, state: &SessionState) -> Result<Option<SessionState>> {
    if !has_large_columns(plan)? {
        return Ok(None);
    }
    let mut state = state.clone();
    state.config_mut().options_mut().optimizer.enable_leaf_expression_pushdown = false;
    Ok(Some(state))
}

/// Turns off the filters that operators push down while they run, if the plan has large columns.
pub(crate) fn restrict(plan: &LogicalPlan, options: &mut OptimizerOptions) -> Result<()> {
    if has_large_columns(plan)? {
        options.enable_join_dynamic_filter_pushdown = false;
        options.enable_topk_dynamic_filter_pushdown = false;
        options.enable_aggregate_dynamic_filter_pushdown = false;
    }
    Ok(())
}

fn has_large_columns(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    column_sizes(plan, &mut found)?;
    Ok(found)
}

/// Returns the sizes of a plan's columns when they are written out. Sets `found` if an expression is too large then.
fn column_sizes(plan: &LogicalPlan, found: &mut bool) -> Result<Vec<u64>> {
    let mut inputs = vec![];
    // Only columns that are larger than a name.
    let mut below: HashMap<Column, u64> = HashMap::new();
    for input in plan.inputs() {
        let sizes = column_sizes(input, found)?;
        for (qualified, size) in input.schema().iter().zip(&sizes).filter(|(_, size)| **size > 1) {
            let largest = below.entry(Column::from(qualified)).or_default();
            *largest = (*largest).max(*size);
        }
        inputs.push(sizes);
    }
    let measured = Measured::new(plan, &below);
    let mut exprs = vec![];
    plan.apply_expressions(|expr| {
        let size = measured.size(expr);
        *found |= size.copies() > MOST_GAINED;
        exprs.push(size.written_out);
        Ok(TreeNodeRecursion::Continue)
    })?;
    plan.apply_subqueries(|subquery| {
        column_sizes(subquery, found)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    let places = 0..plan.schema().fields().len();
    Ok(match plan {
        LogicalPlan::Projection(_) => exprs,
        // The groups come first. The values of an aggregate are never written out.
        LogicalPlan::Aggregate(aggregate) if !matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) => {
            let groups = aggregate.group_expr.len();
            places.map(|place| exprs.get(place).copied().filter(|_| place < groups).unwrap_or(1)).collect()
        }
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Union(_) => {
            let largest = |place: usize| inputs.iter().filter_map(|sizes| sizes.get(place)).max();
            places.map(|place| largest(place).copied().unwrap_or(1)).collect()
        }
        _ if below.is_empty() => vec![1; places.len()],
        other => {
            let columns = other.schema().iter().map(Column::from);
            columns.map(|column| below.get(&column).copied().unwrap_or(1)).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ToDFSchema;
    use datafusion::logical_expr::logical_plan::EmptyRelation;
    use datafusion::logical_expr::{JoinType, LogicalPlanBuilder, exists};
    use datafusion::prelude::{col, lit};

    use super::*;

    /// Returns levels of queries, each of which reads the column of the one below six times.
    fn nested(levels: usize) -> LogicalPlanBuilder {
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]).to_dfschema_ref().unwrap();
        let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
        let sum = (1..6).fold(col("x"), |sum, _| sum + col("x"));
        (0..levels).fold(LogicalPlanBuilder::from(rows), |below, _| {
            below.project([sum.clone().alias("x")]).unwrap().alias("q").unwrap()
        })
    }

    fn is_large(plan: LogicalPlanBuilder) -> bool {
        has_large_columns(&plan.build().unwrap()).unwrap()
    }

    /// True if six uses of a column are too large.
    fn is_large_six_times(plan: LogicalPlanBuilder, column: &str) -> bool {
        let sum = (1..6).fold(col(column), |sum, _| sum + col(column));
        is_large(plan.sort([sum.sort(true, true)]).unwrap())
    }

    #[test]
    fn columns_grow_with_the_levels_below() {
        // Six times the size below, five operators and an alias: 12, 78, 474, 2850, 17106.
        let plan = nested(4).build().unwrap();
        assert_eq!(column_sizes(&plan, &mut false).unwrap(), [2850]);
        assert!(!is_large(nested(4)));
        assert!(is_large(nested(5)));
        assert!(is_large(nested(60)));
    }

    #[test]
    fn every_operator_passes_the_sizes_on() {
        let joined = |levels: usize| {
            let small = nested(0).alias("s").unwrap().build().unwrap();
            nested(levels).join_on(small, JoinType::Inner, [col("q.x").eq(col("s.x"))]).unwrap()
        };
        assert!(!is_large_six_times(joined(3), "q.x"));
        assert!(is_large_six_times(joined(4), "q.x"));
        assert!(!is_large_six_times(joined(4), "s.x"));
        let filtered = |levels: usize| nested(levels).filter(col("q.x").gt(lit(1_i64))).unwrap().distinct().unwrap();
        assert!(!is_large_six_times(filtered(3), "q.x"));
        assert!(is_large_six_times(filtered(4), "q.x"));
        let union = |levels: usize| nested(1).union(nested(levels).build().unwrap()).unwrap();
        assert!(!is_large_six_times(union(3), "x"));
        assert!(is_large_six_times(union(4), "x"));
        let grouped = |levels: usize| nested(levels).aggregate([col("q.x")], Vec::<Expr>::new()).unwrap();
        assert!(!is_large_six_times(grouped(3), "q.x"));
        assert!(is_large_six_times(grouped(4), "q.x"));
        let subquery = |levels: usize| nested(0).filter(exists(Arc::new(nested(levels).build().unwrap()))).unwrap();
        assert!(!is_large(subquery(4)));
        assert!(is_large(subquery(5)));
    }
}
