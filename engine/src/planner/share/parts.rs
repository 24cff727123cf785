//! Equal parts of a plan: the first one becomes a shared part, and all of them read it. Larger parts come first, and a part
//! may read others.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Extension, LogicalPlan};

use super::CutPlan;
use super::fragments::{self, Representatives};
use super::required::add_fragments;
use crate::plan::{Exchange, Placed, Shared};
use crate::planner::map_parts::map_parts;
use crate::planner::same::{are_same, in_order, is_closed, is_worth_sharing};

/// Shares the equal parts of a plan over fragments, and drops the fragments of the parts that do not run. `last` is the number
/// of the last shared part so far. Returns the plan and the new last number.
pub(super) fn share_above_fragments(mut cut: CutPlan, last: usize) -> Result<(CutPlan, usize)> {
    let mut parts = Parts { are_sent_once: false, equal: fragments::equal(&cut.plan)?, ..Parts::after(last) };
    cut.plan = parts.shared(cut.plan, &mut cut.placed)?;
    Ok((cut.sending(&parts.unsent, &Representatives::new())?, parts.last))
}

/// Shares the parts of a plan whose equal fragments are sent once.
pub(super) fn share_sent(mut cut: CutPlan, last: usize) -> Result<CutPlan> {
    cut.plan = Parts::after(last).shared(cut.plan, &mut cut.placed)?;
    Ok(cut)
}

struct Parts {
    seen: Vec<SeenPart>,
    /// True if no two fragments of the plan are equal: a fragment has several exchanges instead.
    are_sent_once: bool,
    /// The fragments that count as equal.
    equal: Representatives,
    /// The fragments of the parts that do not run.
    unsent: BTreeSet<usize>,
    /// The number of the last shared part.
    last: usize,
}

/// A part of the plan, with everything below it.
struct SeenPart {
    hash: u64,
    plan: LogicalPlan,
    /// The number of readers, if it becomes a shared part.
    readers: usize,
    /// The number and the plan of the shared part, once it is one.
    shared: Option<(usize, Arc<LogicalPlan>)>,
}

impl Parts {
    /// Returns no parts, for a plan whose fragments are sent once, and whose last shared part has this number.
    fn after(last: usize) -> Self {
        Self { seen: vec![], are_sent_once: true, equal: Representatives::new(), unsent: BTreeSet::new(), last }
    }

    /// Returns the plan with readers in the place of its equal parts, and marks the parts in `placed`. All readers of a part
    /// but the first one are leaves.
    fn shared(&mut self, plan: LogicalPlan, placed: &mut Placed) -> Result<LogicalPlan> {
        self.count(&plan)?;
        match self.seen.iter().any(|seen| seen.readers > 1) {
            true => self.rewrite(plan, placed),
            false => Ok(plan),
        }
    }

    /// Counts how often each part occurs. A part that is to be shared counts once for all that is below it.
    fn count(&mut self, plan: &LogicalPlan) -> Result<()> {
        if is_closed(plan) {
            return Ok(());
        }
        let compared = self.compared(plan)?;
        let known = self.find(&compared);
        let is_shared = known.is_some() && self.is_shared(plan)?;
        match known.and_then(|place| self.seen.get_mut(place)) {
            Some(seen) if is_shared => {
                seen.readers += 1;
                return Ok(());
            }
            Some(_) => {}
            None => self.seen.push(SeenPart { hash: hash(&compared), plan: compared, readers: 1, shared: None }),
        }
        for input in plan.inputs() {
            self.count(input)?;
        }
        plan.apply_subqueries(|subquery| {
            self.count(subquery)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    /// True if a part that occurs several times runs once for all readers.
    fn is_shared(&self, plan: &LogicalPlan) -> Result<bool> {
        // The rows of a fragment with several exchanges always cross once.
        if Exchange::of(plan).is_some() { Ok(self.are_sent_once) } else { is_worth_sharing(plan) }
    }

    /// Returns a part as it is compared: equal fragments have one number, and conditions are in one order.
    fn compared(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let compared = plan.clone().transform_down_with_subqueries(|operator| {
            let Some(exchange) = Exchange::of(&operator) else { return in_order(operator) };
            let Some(first) = self.equal.get(&exchange.fragment.number) else { return Ok(Transformed::no(operator)) };
            let node = Arc::new(Exchange { fragment: first.clone(), running: exchange.running.clone() });
            Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
        })?;
        Ok(compared.data)
    }

    /// Returns the place of an equal part among those seen.
    fn find(&self, plan: &LogicalPlan) -> Option<usize> {
        let hash = hash(plan);
        self.seen.iter().position(|seen| seen.hash == hash && are_same(&seen.plan, plan))
    }

    /// Returns a part with readers in the place of the shared parts.
    fn rewrite(&mut self, plan: LogicalPlan, placed: &mut Placed) -> Result<LogicalPlan> {
        if is_closed(&plan) {
            return Ok(plan);
        }
        if Shared::of(&plan).is_some() {
            // The mark is on the operator below.
            return Ok(plan.map_children(|input| Ok(Transformed::yes(self.rewrite(input, placed)?)))?.data);
        }
        let place = self.find(&self.compared(&plan)?);
        let readers = match place.and_then(|place| self.seen.get(place)) {
            Some(SeenPart { shared: Some((number, part)), .. }) => {
                let reader = Shared::new(*number, part.clone()).leaf().into_plan();
                if !self.are_sent_once {
                    add_fragments(placed, &mut self.unsent);
                }
                placed.refer_to(*number);
                return Ok(reader);
            }
            Some(seen) if seen.readers > 1 => seen.readers,
            _ => return self.inside(plan, placed),
        };
        self.last += 1;
        let number = self.last;
        let part = Arc::new(self.inside(plan, placed)?);
        placed.share_as(number, readers);
        if let Some(seen) = place.and_then(|place| self.seen.get_mut(place)) {
            seen.shared = Some((number, part.clone()));
        }
        Ok(Shared::new(number, part).into_plan())
    }

    /// Rewrites what is below an operator.
    fn inside(&mut self, plan: LogicalPlan, placed: &mut Placed) -> Result<LogicalPlan> {
        if placed.fragment.is_none() {
            return map_parts(plan, placed, |part, placed| self.rewrite(part, placed));
        }
        // Here is an exchange, or an alias above one. The operators in `placed` run elsewhere.
        let plan = plan.map_children(|input| Ok(Transformed::yes(self.rewrite(input, placed)?)))?;
        Ok(plan.data)
    }
}

fn hash(plan: &LogicalPlan) -> u64 {
    let mut hasher = DefaultHasher::new();
    plan.hash(&mut hasher);
    hasher.finish()
}
