//! A filter stays above a projection if it would become too large below it.
//!
//! DataFusion 55.2 moves filters down by replacing each column with its expression. A column that the expression of the
//! level below reads six times multiplies the filter by six at each level. So it is with filters of a query
//! (`PushDownFilter`, `EliminateOuterJoin`), with those that joins, TopN, `min` and `max` make while they run
//! (`FilterPushdown`), and with fields of structs (`PushDownLeafProjections`). Eight nested queries hold a planning
//! thread without end. Here the sizes are computed before anything is built. What would become too large stays where it
//! is, with the same rows.
//!
//! ```text
//! Filter: x > 2                          The filter would become x * x + x * x > 2 below the projection,
//!   Projection: x * x + x * x AS x       and grow at each further level.
//! ```

mod columns;
mod physical;

use std::collections::HashMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::guarded_rules::{Action, Guard};

pub(crate) use columns::{restrict, restricted};
pub(super) use physical::is_filter_to_stay;

/// The largest number of parts that a filter gains on its way through projections.
const MOST_GAINED: u64 = 1_000;

pub(super) const GUARD: Guard =
    Guard { rules: &["push_down_filter", "eliminate_outer_join"], action: Action::Skip(is_to_stay) };

/// True for a filter that would become too large below the projections that follow.
fn is_to_stay(plan: &LogicalPlan) -> Result<bool> {
    let (mut predicates, mut below) = (vec![], plan);
    // The rule makes one filter of several.
    while let LogicalPlan::Filter(filter) = below {
        predicates.push(&filter.predicate);
        below = filter.input.as_ref();
    }
    gains_too_much(predicates, below)
}

/// True if predicates over the columns of a plan would become too large below its projections.
pub(super) fn gains_too_much<'p>(
    predicates: impl IntoIterator<Item = &'p Expr>,
    plan: &'p LogicalPlan,
) -> Result<bool> {
    let mut uses: HashMap<&Column, u64> = HashMap::new();
    for predicate in predicates {
        count(predicate, 1, &mut uses);
    }
    let (mut gained, mut plan) = (0_u64, plan);
    loop {
        let (schema, exprs, input) = match plan {
            LogicalPlan::Projection(projection) => (&projection.schema, &projection.expr, &projection.input),
            LogicalPlan::Aggregate(aggregate) => (&aggregate.schema, &aggregate.group_expr, &aggregate.input),
            _ => return Ok(false),
        };
        let mut below = HashMap::new();
        for (column, times) in uses {
            let Some(expr) = schema.maybe_index_of_column(column).and_then(|place| exprs.get(place)) else { continue };
            let expr = without_alias(expr);
            gained = gained.saturating_add(times.saturating_mul(size(expr)? - 1));
            count(expr, times, &mut below);
        }
        if gained > MOST_GAINED {
            return Ok(true);
        }
        (uses, plan) = (below, input.as_ref());
    }
}

/// Adds the columns of an expression that has so many uses.
fn count<'e>(expr: &'e Expr, times: u64, uses: &mut HashMap<&'e Column, u64>) {
    for (column, of_column) in expr.column_refs_counts() {
        let total = uses.entry(column).or_default();
        *total = total.saturating_add(times.saturating_mul(of_column as u64));
    }
}

fn without_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => without_alias(&alias.expr),
        other => other,
    }
}

/// Returns the number of parts of an expression, at least one.
fn size(expr: &Expr) -> Result<u64> {
    let mut size = 0;
    expr.apply(|_| {
        size += 1;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ToDFSchema;
    use datafusion::functions::expr_fn::coalesce;
    use datafusion::logical_expr::LogicalPlanBuilder;
    use datafusion::logical_expr::logical_plan::{EmptyRelation, Filter};
    use datafusion::prelude::{col, lit};

    use super::*;

    /// Returns levels of projections, each of which reads its column so many times.
    fn projected(levels: usize, times: usize) -> LogicalPlan {
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]).to_dfschema_ref().unwrap();
        let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
        let sum = (1..times).fold(col("x"), |sum, _| sum + col("x"));
        (0..levels).fold(rows, |plan, _| {
            LogicalPlanBuilder::from(plan).project([sum.clone().alias("x")]).unwrap().build().unwrap()
        })
    }

    fn filtered(predicate: Expr, plan: LogicalPlan) -> LogicalPlan {
        LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan)).unwrap())
    }

    fn stays(plan: LogicalPlan) -> bool {
        is_to_stay(&filtered(col("x").gt(lit(2_i64)), plan)).unwrap()
    }

    #[test]
    fn a_filter_that_would_become_too_large_stays() {
        // A sum of six columns has 11 parts. A filter gains 10 at the first level, 60 at the second, 360 at the third
        // and 2160 at the fourth.
        assert!(!stays(projected(3, 6)));
        assert!(stays(projected(4, 6)));
        assert!(stays(projected(60, 6)));
        // DataFusion makes one filter of both.
        assert!(stays(filtered(col("x").gt(lit(1_i64)), projected(4, 6))));
        // One use at each level.
        assert!(!stays(projected(60, 1)));
        assert!(!is_to_stay(&projected(60, 6)).unwrap());
        // The filter itself may be large.
        let listed = col("x").in_list((0_i64..5_000).map(lit).collect(), false);
        assert!(!is_to_stay(&filtered(listed, projected(1, 2))).unwrap());
    }

    #[test]
    fn a_filter_of_groups_that_would_become_too_large_stays() {
        let grouped = |times: usize| {
            let group = coalesce(vec![col("x"); times]).alias("x");
            let plan = LogicalPlanBuilder::from(projected(0, 1)).aggregate([group], Vec::<Expr>::new());
            plan.unwrap().build().unwrap()
        };
        assert!(!stays(grouped(1_000)));
        assert!(stays(grouped(1_001)));
    }
}
