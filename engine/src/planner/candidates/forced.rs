//! The decisions that settings force: a strategy for each join across sites, and the operators that owners may run.

use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;

use super::sites::{other_sites, site_of};
use super::tree::CandidateTree;
use crate::mesh::MeshView;
use crate::plan::SiteChoice;
use crate::settings::{Pushdown, Settings, StrategyChoice};

/// A counter of a plan's operators, and of its joins across sites in the order of the printed plan. A setting can force
/// each join.
#[derive(Default)]
pub(in crate::planner) struct OperatorCounter {
    joins: usize,
    operators: usize,
}

impl OperatorCounter {
    /// Returns the number of the next operator.
    pub(super) fn next_operator(&mut self) -> usize {
        self.operators += 1;
        self.operators
    }

    /// Returns the strategy that a setting forces, if the plan is a join across sites.
    pub(in crate::planner) fn forced(
        &mut self,
        plan: &LogicalPlan,
        settings: &Settings,
        view: &MeshView,
    ) -> DataFusionResult<StrategyChoice> {
        // The number of the join has no effect then, and to find its sites reads everything below it.
        if settings.strategy.iter().all(|strategy| *strategy == StrategyChoice::Auto) {
            return Ok(StrategyChoice::Auto);
        }
        let LogicalPlan::Join(join) = plan else { return Ok(StrategyChoice::Auto) };
        let (left, right) = (site_of(&join.left, view)?, site_of(&join.right, view)?);
        // `Here` also stands for several sites: a join of two such sides is still a join across sites.
        let together = left == right && (left != SiteChoice::Here || other_sites(plan)?.is_empty());
        if together || left == SiteChoice::Anywhere || right == SiteChoice::Anywhere {
            return Ok(StrategyChoice::Auto);
        }
        let index = self.joins;
        self.joins += 1;
        Ok(match settings.strategy.as_slice() {
            [] => StrategyChoice::Auto,
            [all] => *all,
            each => each.get(index).copied().unwrap_or(StrategyChoice::Auto),
        })
    }
}

impl CandidateTree {
    /// True if the settings allow an owner to run the operator.
    pub(in crate::planner) fn is_pushed(&self, settings: &Settings) -> bool {
        let of_a_port =
            matches!(self.plan, LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_));
        settings.pushdown == Pushdown::All || of_a_port && self.subqueries.is_empty()
    }

    /// Returns the site that a forced strategy asks for.
    pub(super) fn forced_site(&self, forced: StrategyChoice) -> Option<SiteChoice> {
        let sole_site = |i: usize| self.inputs.get(i).and_then(|n| n.sole_site.clone());
        match forced {
            StrategyChoice::Auto => None,
            StrategyChoice::Gather | StrategyChoice::KeysFromLeft | StrategyChoice::KeysFromRight => {
                Some(SiteChoice::Here)
            }
            StrategyChoice::DelegateToLeft => sole_site(0),
            StrategyChoice::DelegateToRight => sole_site(1),
        }
    }
}
