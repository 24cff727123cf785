//! The parts of which a second run could return other rows. The passes have changed the plan of each of their readers in the
//! same way. Only that of the first reader is kept, and the fragments of the others are not sent.
//!
//! While parts are compared, all readers of a part but the first one are leaves, so that everything in a part counts once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::LogicalPlan;

use super::CutPlan;
use super::fragments::Representatives;
use crate::plan::{Placed, Shared};
use crate::planner::map_parts::map_parts;

/// Makes all readers of a part but the first one leaves. Returns the plan, and the number of such parts.
pub(super) fn first_readers(mut cut: CutPlan) -> Result<(CutPlan, usize)> {
    let mut found = Found { readers: readers(&cut.plan)?, numbers: BTreeMap::new(), unsent: BTreeSet::new() };
    if found.readers.is_empty() {
        return Ok((cut, 0));
    }
    cut.plan = found.rewrite(cut.plan, &mut cut.placed)?;
    Ok((cut.sending(&found.unsent, &Representatives::new())?, found.numbers.len()))
}

/// Returns the number of readers of each part, by its number in the plan.
fn readers(plan: &LogicalPlan) -> Result<BTreeMap<usize, usize>> {
    let mut readers = BTreeMap::new();
    plan.apply_with_subqueries(|operator| {
        let Some(shared) = Shared::of(operator) else { return Ok(TreeNodeRecursion::Continue) };
        let times: &mut usize = readers.entry(shared.number).or_default();
        *times += 1;
        // The other readers have the same parts below them.
        Ok(if *times > 1 { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
    })?;
    Ok(readers)
}

struct Found {
    readers: BTreeMap<usize, usize>,
    /// The new numbers of the parts.
    numbers: BTreeMap<usize, usize>,
    /// The numbers of the fragments below readers that become leaves.
    unsent: BTreeSet<usize>,
}

impl Found {
    fn rewrite(&mut self, plan: LogicalPlan, placed: &mut Placed) -> Result<LogicalPlan> {
        let Some(shared) = Shared::of(&plan) else {
            // The operators of a fragment run elsewhere.
            return match placed.fragment {
                Some(_) => Ok(plan),
                None => map_parts(plan, placed, |part, placed| self.rewrite(part, placed)),
            };
        };
        if let Some(number) = self.numbers.get(&shared.number) {
            add_fragments(placed, &mut self.unsent);
            placed.refer_to(*number);
            return Ok(Shared { number: *number, ..shared.leaf() }.into_plan());
        }
        let Some(mut below) = placed.inputs.pop() else {
            return internal_err!("a shared part has no plan");
        };
        let number = self.numbers.len() + 1;
        self.numbers.insert(shared.number, number);
        let input = self.rewrite(shared.input.as_ref().clone(), &mut below)?;
        below.share_as(number, self.readers.get(&shared.number).copied().unwrap_or(1));
        *placed = below;
        Ok(Shared::required(number, Arc::new(input)).into_plan())
    }
}

/// Adds the numbers of the fragments below an operator.
pub(super) fn add_fragments(placed: &Placed, numbers: &mut BTreeSet<usize>) {
    numbers.extend(placed.fragment);
    placed.inputs.iter().chain(&placed.subqueries).for_each(|part| add_fragments(part, numbers));
}

/// Gives all readers of a part the plan of the first one.
pub(super) fn all_readers(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut first = BTreeMap::new();
    plan.apply_with_subqueries(|operator| {
        if let Some(shared) = Shared::of(operator).filter(|shared| !shared.is_leaf) {
            first.entry(shared.number).or_insert_with(|| shared.input.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match first.is_empty() {
        true => Ok(plan),
        false => Readers { first, parts: BTreeMap::new() }.given(plan),
    }
}

struct Readers {
    /// The plan of the first reader of each part, by the number of the part. Readers in it may be leaves.
    first: BTreeMap<usize, Arc<LogicalPlan>>,
    /// The plans in which no reader is a leaf.
    parts: BTreeMap<usize, Arc<LogicalPlan>>,
}

impl Readers {
    fn given(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let given = plan.transform_down_with_subqueries(|operator| {
            let Some(shared) = Shared::of(&operator) else { return Ok(Transformed::no(operator)) };
            let reader = shared.over(self.part(shared.number)?).into_plan();
            Ok(Transformed::new(reader, true, TreeNodeRecursion::Jump))
        })?;
        Ok(given.data)
    }

    fn part(&mut self, number: usize) -> Result<Arc<LogicalPlan>> {
        if let Some(part) = self.parts.get(&number) {
            return Ok(part.clone());
        }
        let Some(first) = self.first.remove(&number) else {
            return internal_err!("a shared part has readers and no plan");
        };
        let part = Arc::new(self.given(first.as_ref().clone())?);
        self.parts.insert(number, part.clone());
        Ok(part)
    }
}
