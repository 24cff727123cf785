//! Pass 11, share: a part that occurs several times in the plan of the local node runs once, and equal fragments are sent
//! once. The parts are equal up to the aliases above them.
//!
//! An owner runs the same pass over the fragment that it receives. So a fragment with equal parts travels as it is.
//!
//! Parts below a barrier stay there. A recursive query runs its parts several times, and keeps them.
//!
//! Before: `Join(SubqueryAlias: a (Aggregate(Exchange #1)), SubqueryAlias: b (Aggregate(Exchange #2)))`, and both fragments
//! are the same.
//! After: `Join(SubqueryAlias: a (Shared 1), SubqueryAlias: b (Shared 1))`, where part 1 is `Aggregate(Exchange #1)`.

mod fragments;
mod parts;
mod required;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;

use super::same::may_have_equal_parts;
use crate::Settings;
use crate::plan::{Fragment, Placed};

/// The plan of the local node after the pass cut.
pub(super) struct CutPlan {
    pub(super) plan: LogicalPlan,
    /// The operators of the plan and of its fragments with their sites. Shared parts are marked here too.
    pub(super) placed: Placed,
    pub(super) fragments: Vec<Arc<Fragment>>,
}

/// Shares the equal parts of a plan.
pub(super) fn share(cut: CutPlan, settings: &Settings) -> Result<CutPlan> {
    let (mut cut, mut last) = required::first_readers(cut)?;
    if settings.share && may_have_equal_parts(&cut.plan)? {
        // In the first round, each fragment has its own join keys, and those of a part come from inside the part.
        (cut, last) = parts::share_above_fragments(cut, last)?;
        // A forced strategy keeps its keys.
        cut = fragments::send_once(cut, settings.strategy.is_empty())?;
        // Now a fragment can have several exchanges. One of them is read by all.
        cut = parts::share_sent(cut, last)?;
    }
    Ok(CutPlan { plan: required::all_readers(cut.plan)?, ..cut })
}
