//! Pass 11, share: a part that occurs several times in the plan of the local node runs once, and equal fragments are sent
//! once. The parts are equal up to the aliases above them.
//!
//! An owner runs the same pass over the fragment that it receives. So a fragment with equal parts travels as it is.
//!
//! What is below a barrier stays there. A recursive query runs its parts several times, and keeps them.
//! Before: `Join(SubqueryAlias: a (Aggregate(Exchange #1)), SubqueryAlias: b (Aggregate(Exchange #2)))`, and both fragments
//! are the same.
//! After: `Join(SubqueryAlias: a (Shared 1), SubqueryAlias: b (Shared 1))`, where part 1 is `Aggregate(Exchange #1)`.

mod fragments;
mod once;
mod parts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;

use self::fragments::Representatives;
use super::same::may_have_equal_parts;
use crate::Settings;
use crate::plan::{Fragment, Placed};

/// Shares the equal parts of a plan. Returns the plan with its fragments, and marks the parts in the placed plan.
pub(super) fn share(
    plan: LogicalPlan,
    placed: &mut Placed,
    fragments: Vec<Arc<Fragment>>,
    settings: &Settings,
) -> Result<(LogicalPlan, Vec<Arc<Fragment>>)> {
    let (mut plan, mut fragments, mut last) = once::first_readers(plan, placed, fragments)?;
    if settings.share && may_have_equal_parts(&plan)? {
        let equal = fragments::equal(&plan)?;
        let unsent;
        (plan, unsent, last) = parts::computed_once(plan, placed, &equal, last)?;
        let none = Representatives::new();
        (plan, fragments) = fragments::without(plan, placed, fragments, &unsent, &none)?;
        // A forced strategy keeps its keys.
        (plan, fragments) = fragments::sent_once(plan, placed, fragments, settings.strategy.is_empty())?;
        (plan, ..) = parts::computed_once(plan, placed, &none, last)?;
    }
    Ok((once::all_readers(plan)?, fragments))
}
