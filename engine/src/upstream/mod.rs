//! Workarounds for DataFusion: one file a kind of fault, with the version that has it and a test that fails once
//! DataFusion no longer does. The book's upstream notes list them with links.
//!
//! [`analyzer_rules`] run once over each plan, before its columns are promised to anybody. [`optimizer_rules`] run in the
//! pass that normalises.

mod cross_joins;
mod date_parts;
mod operand_types;
pub(crate) mod window_limits;

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};

pub(crate) use self::operand_types::{keep_digits, without_mark};

/// A session state with DataFusion's functions and rules, and those that stand in their place.
pub(crate) fn state_builder() -> SessionStateBuilder {
    let mut builder = SessionStateBuilder::new()
        // In front of DataFusion's: the first one that knows an expression plans it.
        .with_expr_planners(vec![Arc::new(date_parts::Extract), Arc::new(operand_types::ComparedOperands)])
        .with_default_features();
    // Behind DataFusion's: the last one of a name stands.
    builder.scalar_functions().get_or_insert_default().push(date_parts::date_part());
    builder
        .with_type_planner(Arc::new(operand_types::TimestampTypes))
        .with_analyzer_rules(analyzer_rules())
        .with_optimizer_rules(optimizer_rules())
}

/// The analyzer's rules in order: ours that need a plan as it is written, DataFusion's, ours that need its types.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    Analyzer::new().rules.into_iter().map(operand_types::guarded).collect()
}

/// The optimizer's rules in order.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    Optimizer::new().rules.into_iter().map(cross_joins::guarded).collect()
}
