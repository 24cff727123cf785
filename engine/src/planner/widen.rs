//! Pass 7, widen: fuses similar parts, so that they are equal and the pass share computes them once. Parts may differ in their
//! columns. Parts of this node may also differ in their conditions, if fusion costs less: the fused part has the rows of all
//! readers, and each reader filters its own.
//!
//! The optimizer has left each copy of a `WITH` query with the columns and the conditions that its own reading needs. Similar
//! subexpressions are what Zhou et al. 2007 (*Efficient Exploitation of Similar Subexpressions for Query Processing*) cover
//! with one plan. Here groups and joins are the same.
//!
//! Before: `Join(Aggregate: k, sum(x) (t), Aggregate: k, count(*) (t))`.
//! After: `Join(Projection: k, sum(x) (Aggregate: k, sum(x), count(*) (t)), Projection: k, count(*) (Aggregate: k, sum(x),
//! count(*) (t)))`.

mod fuse;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{LogicalPlan, TableScan};

use self::fuse::{Differences, Fused};
use super::candidates::other_sites;
use super::cardinality::{estimate, estimate_each};
use super::same::{are_same, is_closed, is_work, is_worth_sharing, may_have_equal_parts, walk};
use crate::upstream::volatile::calls_volatile;

/// The largest number of rounds in which the parts of a plan are widened: a part below a widened part may differ from
/// others again.
const ROUNDS: usize = 4;

/// Makes the parts of a plan equal that differ only in their columns or conditions.
pub(super) fn widen(mut plan: LogicalPlan) -> Result<LogicalPlan> {
    if !may_have_equal_parts(&plan)? {
        return Ok(plan);
    }
    for _ in 0..ROUNDS {
        let mut parts = Parts::default();
        parts.find(&plan)?;
        parts.0.retain(|part| part.fused.is_some());
        if parts.0.is_empty() {
            break;
        }
        plan = parts.rewrite(plan)?;
    }
    Ok(plan)
}

#[derive(Default)]
struct Parts(Vec<Part>);

/// Parts of the plan that one fused part can replace.
struct Part {
    shape: u64,
    /// The parts of the plan, without equal ones.
    members: Vec<LogicalPlan>,
    /// The plan for all members, if there are several.
    fused: Option<Fused>,
}

impl Parts {
    /// Finds the parts, the larger ones first. What is inside a fused part is found in another round.
    fn find(&mut self, plan: &LogicalPlan) -> Result<()> {
        walk(plan, &mut |operator| {
            let may_be_shared =
                is_work(operator) && operator.all_out_ref_exprs().is_empty() && !calls_volatile(operator)?;
            Ok(if may_be_shared && self.add(operator)? { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
        })
    }

    /// Adds a part to the first known part with which it can be fused, or as a part of its own. True if a known part has
    /// it.
    fn add(&mut self, plan: &LogicalPlan) -> Result<bool> {
        let shape = shape(plan);
        for differences in [Differences::Columns, Differences::Conditions] {
            for part in self.0.iter_mut().filter(|part| part.shape == shape) {
                if part.try_add(plan, differences)? {
                    return Ok(true);
                }
            }
        }
        self.0.push(Part { shape, members: vec![plan.clone()], fused: None });
        Ok(false)
    }

    /// Replaces each part by what it selects of the fused part.
    fn rewrite(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if is_closed(&plan) {
            return Ok(plan);
        }
        if is_work(&plan)
            && let Some(compensated) = self.0.iter().find_map(|part| part.compensated(&plan))
        {
            return Ok(compensated);
        }
        let plan = plan.map_children(|input| Ok(Transformed::yes(self.rewrite(input)?)))?;
        let plan = plan.data.map_subqueries(|subquery| Ok(Transformed::yes(self.rewrite(subquery)?)))?;
        Ok(plan.data)
    }
}

impl Part {
    /// Adds a member, if it can be fused with the others or equals one of them. Returns true if it was added.
    fn try_add(&mut self, plan: &LogicalPlan, differences: Differences) -> Result<bool> {
        if self.members.iter().any(|member| are_same(member, plan)) {
            return Ok(true);
        }
        let all: Vec<&LogicalPlan> = self.members.iter().chain([plan]).collect();
        let Some(fused) = Fused::of(&all, differences) else { return Ok(false) };
        let has_all = all.iter().enumerate().all(|(index, plan)| fused.compensated(index, plan).is_some());
        if !has_all || (differences == Differences::Conditions && !costs_less(&fused.plan, &all)?) {
            return Ok(false);
        }
        self.members.push(plan.clone());
        self.fused = Some(fused);
        Ok(true)
    }

    /// Returns what a member selects of the fused part; `None` for another plan.
    fn compensated(&self, plan: &LogicalPlan) -> Option<LogicalPlan> {
        let index = self.members.iter().position(|member| are_same(member, plan))?;
        self.fused.as_ref()?.compensated(index, plan)
    }
}

/// True if a fused plan costs less than the plans. It must run at this node, and be shared: otherwise each reader would compute
/// the rows of all.
fn costs_less(fused: &LogicalPlan, plans: &[&LogicalPlan]) -> Result<bool> {
    if !other_sites(fused)?.is_empty() || !is_worth_sharing(fused)? {
        return Ok(false);
    }
    let apart: f64 = plans.iter().map(|plan| work(plan)).sum();
    // The rows of the fused plan are kept once, and each reader reads all of them.
    let together = work(fused) + estimate(fused).rows * (plans.len() + 1) as f64;
    tracing::debug!(apart, together, "parts with different conditions");
    Ok(together <= apart)
}

/// Returns the estimated number of rows that the operators of a plan read and return. Both sides of the comparison run the same
/// operators at this node, so that rows are enough. A scan reads all rows of its table to test its filters.
fn work(plan: &LogicalPlan) -> f64 {
    let mut work = 0.0;
    estimate_each(plan, &mut |operator, inputs, rows| {
        let read = match operator {
            LogicalPlan::TableScan(scan) => rows_without_filters(scan),
            _ => inputs.iter().sum(),
        };
        // Each aggregate reads each row.
        let times = match operator {
            LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.len().max(1) as f64,
            _ => 1.0,
        };
        work += read * times + rows;
    });
    work
}

fn rows_without_filters(scan: &TableScan) -> f64 {
    estimate(&LogicalPlan::TableScan(TableScan { filters: vec![], ..scan.clone() })).rows
}

/// Returns a number that is the same for all plans that can be fused.
fn shape(plan: &LogicalPlan) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_shape(plan, &mut hasher);
    hasher.finish()
}

fn hash_shape(plan: &LogicalPlan, hasher: &mut DefaultHasher) {
    if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Filter(_)) {
        discriminant(plan).hash(hasher);
    }
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.len().hash(hasher),
        LogicalPlan::Join(join) => (join.join_type, join.on.len()).hash(hasher),
        LogicalPlan::SubqueryAlias(alias) => alias.alias.hash(hasher),
        LogicalPlan::TableScan(scan) => scan.table_name.hash(hasher),
        _ => {}
    }
    plan.inputs().into_iter().for_each(|input| hash_shape(input, hasher));
}
