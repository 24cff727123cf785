//! A guard around a rule of DataFusion's optimizers: the guard sees each plan before the rule does.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

pub(super) type LogicalRule = Arc<dyn OptimizerRule + Send + Sync>;
pub(super) type PhysicalRule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// A guard, and the names of the rules that it guards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    pub(super) rules: &'static [&'static str],
    pub(super) action: Action,
}

/// The action of a guard on a plan.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// Keeps the rule from plans for which the function returns true.
    Skip(fn(&LogicalPlan) -> Result<bool>),
    /// Calls the function in the place of the rule.
    Replace(fn(&dyn OptimizerRule, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>),
}

/// Returns the rule inside the guards for it. The last guard of the list sees a plan first.
pub(super) fn guarded(rule: LogicalRule, guards: &[Guard]) -> LogicalRule {
    guards.iter().fold(rule, |rule, guard| match guard.rules.contains(&rule.name()) {
        true => Arc::new(GuardedRule { rule, action: guard.action }),
        false => rule,
    })
}

#[derive(Debug)]
struct GuardedRule {
    rule: LogicalRule,
    action: Action,
}

impl OptimizerRule for GuardedRule {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match self.action {
            Action::Skip(skips) if skips(&plan)? => Ok(Transformed::no(plan)),
            Action::Skip(_) => self.rule.rewrite(plan, config),
            Action::Replace(rewrite) => rewrite(self.rule.as_ref(), plan, config),
        }
    }
}

/// Changes one operator of a plan.
type Prepare = fn(Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>>;

/// A guard of a physical rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhysicalGuard {
    /// The name of the rule.
    pub(super) rule: &'static str,
    /// Runs on each operator of a plan, from the leaves to the root, before the rule sees the plan.
    pub(super) prepare: Prepare,
}

/// Returns the physical rule inside the guards for it.
pub(super) fn guarded_physical(rule: PhysicalRule, guards: &[PhysicalGuard]) -> PhysicalRule {
    guards.iter().fold(rule, |rule, guard| match guard.rule == rule.name() {
        true => Arc::new(GuardedPhysicalRule { rule, guard: *guard }),
        false => rule,
    })
}

#[derive(Debug)]
struct GuardedPhysicalRule {
    rule: PhysicalRule,
    guard: PhysicalGuard,
}

impl PhysicalOptimizerRule for GuardedPhysicalRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        self.rule.optimize(plan.transform_up(self.guard.prepare).data()?, config)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}
