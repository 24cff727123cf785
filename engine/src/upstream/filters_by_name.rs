//! A workaround for physical planning: no filter is pushed through an operator that has several columns of one name.
//!
//! `FilterPushdown` of DataFusion 55.2 finds the columns of a filter below an operator by their names
//! (`FilterRemapper::try_remap`). Of two columns `t`, it takes the first one: `x.v < 9 OR y.t <> 'a'` above
//! `Projection: x.v, x.t, y.t (Right Join)` becomes `v < 9 OR t <> 'a'` over the rows of `x`. Here the rule runs on the
//! parts of a plan in which each name is one column, and no filter becomes too large (`growth.rs`). The filters that joins
//! make while they run have a check of their own (`exchange/ambiguous.rs`).

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNode;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::growth::is_filter_to_stay;
use super::guarded_rules::PhysicalRule;

/// The name of the rule before other rules change the plan. The one after them pushes down the filters of joins.
pub(super) const RULE: &str = "FilterPushdown";

/// Returns the rule, guarded if it is the one that pushes filters down.
pub(super) fn guarded(rule: PhysicalRule) -> PhysicalRule {
    if rule.name() == RULE { Arc::new(FiltersByName(rule)) } else { rule }
}

#[derive(Debug)]
struct FiltersByName(PhysicalRule);

impl PhysicalOptimizerRule for FiltersByName {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let is_to_skip = |node: &dyn ExecutionPlan| has_ambiguous_names(node) || is_filter_to_stay(node);
        if !plan.exists(|node| Ok(is_to_skip(node.as_ref())))? {
            return self.0.optimize(plan, config);
        }
        let children = plan.children().into_iter().map(|child| self.optimize(child.clone(), config));
        let children = children.collect::<Result<_>>()?;
        replace_children_if_necessary(plan, children)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// True if a filter of a key that a semi join pushes to its other side may meet another column there. `keys` are the
/// names of the keys that are columns. `left` and `right` are true for the names of the sides.
pub(crate) fn crosses_sides(
    join_type: JoinType,
    mut keys: impl Iterator<Item = (Option<String>, Option<String>)>,
    left: impl Fn(&str) -> bool,
    right: impl Fn(&str) -> bool,
) -> bool {
    let is_another = |key: Option<String>, other: Option<String>, has: &dyn Fn(&str) -> bool| {
        key.is_some_and(|key| other.as_ref() != Some(&key) && has(&key))
    };
    match join_type {
        JoinType::LeftSemi => keys.any(|(l, r)| is_another(l, r, &right)),
        JoinType::RightSemi => keys.any(|(l, r)| is_another(r, l, &left)),
        _ => false,
    }
}

/// True if a filter that is pushed through an operator by the name of its column may meet another column.
pub(crate) fn has_ambiguous_names(plan: &dyn ExecutionPlan) -> bool {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let name = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Column>().map(|c| c.name().to_owned());
        let has = |side: &Arc<dyn ExecutionPlan>, name: &str| side.schema().column_with_name(name).is_some();
        let keys = join.on().iter().map(|(left, right)| (name(left), name(right)));
        if crosses_sides(*join.join_type(), keys, |n| has(join.left(), n), |n| has(join.right(), n)) {
            return true;
        }
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let below = aggregate.input().schema();
        let renamed = aggregate.group_expr().expr().iter().any(|(group, name)| {
            let is_same = group.downcast_ref::<Column>().is_some_and(|c| c.name() == name);
            !is_same && below.column_with_name(name).is_some()
        });
        if renamed {
            return true;
        }
    }
    let schema = plan.schema();
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name().as_str()))
}
