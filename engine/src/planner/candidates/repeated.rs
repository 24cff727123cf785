//! The parts that a plan repeats. Each of them runs once, if all its readers get its rows at one site.

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;

use super::tree::CandidateTree;
use crate::plan::{Placed, SiteChoice};
use crate::planner::movement::Routes;
use crate::planner::same::{are_same, is_work, is_worth_sharing, walk};

/// The parts that occur several times in a plan, and are worth computing once. Parts inside a repeated part are ignored.
#[derive(Default)]
pub(in crate::planner) struct Repeated(Vec<LogicalPlan>);

impl Repeated {
    /// Finds the repeated parts of a plan.
    pub(in crate::planner) fn of(plan: &LogicalPlan) -> DataFusionResult<Self> {
        let (mut seen, mut repeated): (Vec<LogicalPlan>, Vec<LogicalPlan>) = (vec![], vec![]);
        walk(plan, &mut |operator| {
            if !is_work(operator) {
                return Ok(TreeNodeRecursion::Continue);
            }
            if repeated.iter().any(|part| are_same(part, operator)) {
                return Ok(TreeNodeRecursion::Jump);
            }
            if !seen.iter().any(|known| are_same(known, operator)) {
                seen.push(operator.clone());
            } else if is_worth_sharing(operator)? {
                repeated.push(operator.clone());
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self(repeated))
    }

    pub(in crate::planner) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the index of a part, if it is one of the repeated ones.
    pub(super) fn index_of(&self, plan: &LogicalPlan) -> Option<usize> {
        // Comparing plans takes long, and only such operators are shared.
        if is_work(plan) { self.0.iter().position(|part| are_same(part, plan)) } else { None }
    }
}

/// Returns the cost that a placed plan saves because its repeated parts run once, in milliseconds.
pub(in crate::planner) fn savings(
    tree: &CandidateTree,
    placed: &Placed,
    repeated: &Repeated,
    routes: Routes<'_>,
) -> f64 {
    let mut savings = Savings { repeated, routes, had: BTreeSet::new(), fragments: 0, milliseconds: 0.0 };
    savings.add(tree, placed, &SiteChoice::Here, 0);
    savings.milliseconds
}

struct Savings<'a> {
    repeated: &'a Repeated,
    routes: Routes<'a>,
    /// The indices of the repeated parts that a site has, with the number of the fragment that has them.
    had: BTreeSet<(usize, SiteChoice, usize)>,
    fragments: usize,
    milliseconds: f64,
}

impl Savings<'_> {
    /// Adds the savings of an operator whose rows a fragment needs at `wanted`. Fragment 0 is the local node's part.
    fn add(&mut self, tree: &CandidateTree, placed: &Placed, wanted: &SiteChoice, fragment: usize) {
        // Keys of one reader cut its own rows.
        let has_keys = placed.edge.as_ref().is_some_and(|edge| edge.keys.is_some());
        if !has_keys
            && let Some(part) = self.repeated.index_of(&tree.plan)
            && !self.had.insert((part, placed.site.clone(), fragment))
        {
            self.milliseconds += tree.cost_at(&placed.site, wanted, self.routes).unwrap_or_default();
            return;
        }
        let is_fragment = matches!(placed.site, SiteChoice::Site(_)) && placed.site != *wanted;
        self.fragments += usize::from(is_fragment);
        let fragment = if is_fragment { self.fragments } else { fragment };
        let parts = placed.inputs.iter().chain(&placed.subqueries);
        for (tree, part) in tree.inputs.iter().chain(&tree.subqueries).zip(parts) {
            self.add(tree, part, &placed.site, fragment);
        }
    }
}
