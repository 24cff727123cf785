//! A workaround, part of normalising: a sum beside `DISTINCT` aggregates is added up once.
//!
//! `SingleDistinctToGroupBy` of DataFusion 55.2 makes two aggregates of `count(DISTINCT x), sum(y)`: the lower one groups
//! by `x` and computes `sum(y)`, and the upper one adds up these sums. The sum of a decimal becomes wider twice, other than
//! the plan's columns say, and a comparison with it fails. A sum of BIGINT fails if one of its parts does not fit, even if
//! the total does. Aggregates with such a sum stay as they are. Floats have no such type.
//!
//! Before: `Aggregate: count(DISTINCT x), sum(y)`. After the unguarded rule:
//! `Aggregate: count(alias1), sum(alias2) (Aggregate: groupBy=[x AS alias1], sum(y) AS alias2)`.

use datafusion::common::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::guarded_rules::{Action, Guard};

pub(super) const GUARD: Guard =
    Guard { rules: &["single_distinct_aggregation_to_group_by"], action: Action::Skip(adds_up_exactly) };

/// True for an aggregate with a sum that may fail or become wider, and that is not `DISTINCT`.
fn adds_up_exactly(plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(false) };
    let fields = aggregate.schema.fields();
    // Behind the columns of the groups.
    let results = &fields[fields.len().saturating_sub(aggregate.aggr_expr.len())..];
    Ok(aggregate.aggr_expr.iter().zip(results).any(|(expr, result)| match expr {
        Expr::AggregateFunction(call) => {
            call.func.name() == "sum" && !call.params.distinct && !result.data_type().is_floating()
        }
        _ => false,
    }))
}
