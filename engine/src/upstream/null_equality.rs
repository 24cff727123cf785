//! A workaround, part of normalising: a join by `IS NOT DISTINCT FROM` gets no keys that are compared with `=`.
//!
//! A join of DataFusion 55.2 compares all of its keys in one way. `ExtractEquijoinPredicate` adds an `=` of the join's
//! filter to keys for which NULL equals NULL, and rows match whose values are NULL on both sides. Such a filter stays one.
//! Before: `Join: a.x = b.x, a.y = b.y (NULL equals NULL)`. After: `Join: a.x = b.x (NULL equals NULL) Filter: a.y = b.y`.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule, guarded if it is the one that mixes keys.
pub(super) fn guarded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    if rule.name() == ExtractEquijoinPredicate::new().name() { Arc::new(GuardedKeys::default()) } else { rule }
}

#[derive(Debug, Default)]
struct GuardedKeys(ExtractEquijoinPredicate);

impl OptimizerRule for GuardedKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty() => {
                Ok(Transformed::no(plan))
            }
            _ => self.0.rewrite(plan, config),
        }
    }
}
