//! A workaround, part of normalising: a join by `IS NOT DISTINCT FROM` gets no keys that are compared with `=`.
//!
//! A join of DataFusion 55.2 compares all of its keys in one way. `ExtractEquijoinPredicate` adds an `=` of the join's
//! filter to keys for which NULL equals NULL. Then rows match if their values are NULL on both sides. Here such a
//! filter stays a filter.
//! Before: `Join: a.x = b.x, a.y = b.y (NULL equals NULL)`.
//! After: `Join: a.x = b.x (NULL equals NULL) Filter: a.y = b.y`.

use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::LogicalPlan;

use super::guarded_rules::{Action, Guard};

pub(super) const GUARD: Guard = Guard { rules: &["extract_equijoin_predicate"], action: Action::Skip(matches_null) };

/// True for a join with keys for which NULL equals NULL.
fn matches_null(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Join(join) => join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty(),
        _ => false,
    })
}
