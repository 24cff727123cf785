//! DataFusion's rules that move the fields of structs towards the scans do not run where a volatile function is called:
//! they compute a field from the struct's definition, which calls the function once more.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::extract_leaf_expressions::{ExtractLeafExpressions, PushDownLeafProjections};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rule, guarded if it is one of those that copy.
pub(crate) fn guarded(rule: Rule) -> Rule {
    let copies = [ExtractLeafExpressions::new().name(), PushDownLeafProjections::new().name()].contains(&rule.name());
    if copies { Arc::new(Guarded(rule)) } else { rule }
}

#[derive(Debug)]
struct Guarded(Rule);

impl OptimizerRule for Guarded {
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
        if calls_volatile(&plan)? { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}

fn calls_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found = node.expressions().iter().any(Expr::is_volatile);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
