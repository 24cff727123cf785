//! Pass 7, widen: parts that differ only in their columns get the columns of each other, so that they are equal. The pass
//! share then computes them once.
//!
//! The optimizer has left each copy of a `WITH` query with the columns that its own reading needs. Similar subexpressions
//! are what Zhou et al. 2007 (*Efficient Exploitation of Similar Subexpressions for Query Processing*) cover with one plan.
//! Here the plans differ in columns and aggregates alone: groups, conditions and joins are the same.
//!
//! Before: `Join(Aggregate: k, sum(x) (t), Aggregate: k, count(*) (t))`.
//! After: `Join(Projection: k, sum(x) (Aggregate: k, sum(x), count(*) (t)), Projection: k, count(*) (Aggregate: k, sum(x),
//! count(*) (t)))`.

mod merge;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{LogicalPlan, Projection};

use self::merge::{columns, merged};
use super::same::{is_closed, is_work, may_have_equal_parts};
use crate::upstream::volatile::calls_volatile;

/// How often the parts of a plan are widened: a part below a widened part may differ from others again.
const ROUNDS: usize = 4;

/// Gives the parts of a plan that differ only in their columns the same columns.
pub(super) fn widen(mut plan: LogicalPlan) -> Result<LogicalPlan> {
    if !may_have_equal_parts(&plan)? {
        return Ok(plan);
    }
    for _ in 0..ROUNDS {
        let mut parts = Parts::default();
        parts.find(&plan)?;
        parts.0.retain(|part| part.is_wider);
        if parts.0.is_empty() {
            break;
        }
        plan = parts.rewrite(plan)?;
    }
    Ok(plan)
}

#[derive(Default)]
struct Parts(Vec<Part>);

/// A part with the columns of all parts that differ from it only in columns.
struct Part {
    shape: u64,
    plan: LogicalPlan,
    /// True if one of them lacked a column.
    is_wider: bool,
}

impl Parts {
    /// Finds the parts, the larger ones first.
    fn find(&mut self, plan: &LogicalPlan) -> Result<()> {
        if is_closed(plan) {
            return Ok(());
        }
        if is_work(plan) && plan.all_out_ref_exprs().is_empty() && !calls_volatile(plan)? {
            let shape = shape(plan);
            for part in self.0.iter_mut().filter(|part| part.shape == shape) {
                let Some(wider) = merged(&part.plan, plan) else { continue };
                part.is_wider |= wider != part.plan || wider != *plan;
                part.plan = wider;
                return Ok(());
            }
            self.0.push(Part { shape, plan: plan.clone(), is_wider: false });
        }
        for input in plan.inputs() {
            self.find(input)?;
        }
        plan.apply_subqueries(|subquery| {
            self.find(subquery)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    /// Replaces each part by its columns of the wider part.
    fn rewrite(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if is_closed(&plan) {
            return Ok(plan);
        }
        if is_work(&plan)
            && let Some(wider) = self.wider(&plan)
        {
            return Ok(wider);
        }
        let plan = plan.map_children(|input| Ok(Transformed::yes(self.rewrite(input)?)))?;
        let plan = plan.data.map_subqueries(|subquery| Ok(Transformed::yes(self.rewrite(subquery)?)))?;
        Ok(plan.data)
    }

    /// Returns the columns of a part over the part with more columns, if it lacks any.
    fn wider(&self, plan: &LogicalPlan) -> Option<LogicalPlan> {
        let shape = shape(plan);
        let of_shape = || self.0.iter().filter(|part| part.shape == shape);
        let part = of_shape().find(|part| merged(&part.plan, plan).is_some_and(|merged| merged == part.plan))?;
        if part.plan == *plan {
            return None;
        }
        if part.plan.schema().iter().eq(plan.schema().iter()) {
            return Some(part.plan.clone());
        }
        let narrowed = Projection::try_new(columns(plan), Arc::new(part.plan.clone())).ok()?;
        Some(LogicalPlan::Projection(narrowed))
    }
}

/// Returns a number that is the same for all plans that differ only in their columns.
fn shape(plan: &LogicalPlan) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_shape(plan, &mut hasher);
    hasher.finish()
}

fn hash_shape(plan: &LogicalPlan, hasher: &mut DefaultHasher) {
    if !matches!(plan, LogicalPlan::Projection(_)) {
        discriminant(plan).hash(hasher);
    }
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.hash(hasher),
        LogicalPlan::Join(join) => (join.join_type, join.on.len()).hash(hasher),
        LogicalPlan::SubqueryAlias(alias) => alias.alias.hash(hasher),
        LogicalPlan::TableScan(scan) => (&scan.table_name, scan.filters.len()).hash(hasher),
        _ => {}
    }
    plan.inputs().into_iter().for_each(|input| hash_shape(input, hasher));
}
