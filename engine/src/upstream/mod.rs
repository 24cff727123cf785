//! Workarounds for DataFusion: one file a kind of fault, with the version that has it and a test that fails once
//! DataFusion no longer does. The book's upstream notes list them with links.
//!
//! [`analyzer_rules`] run once over each plan, before its columns are promised to anybody. [`optimizer_rules`] run in the
//! pass that normalises.

mod constant_filters;
mod cross_joins;
mod null_equality;
mod subqueries;
mod three_valued;
pub(crate) mod window_limits;

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};

/// A session state with DataFusion's functions and rules, and those that stand in their place.
pub(crate) fn state_builder() -> SessionStateBuilder {
    SessionStateBuilder::new()
        .with_default_features()
        .with_analyzer_rules(analyzer_rules())
        .with_optimizer_rules(optimizer_rules())
}

/// The analyzer's rules in order: ours that need a plan as it is written, DataFusion's, ours that need its types.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(subqueries::SubqueriesAsJoins)];
    rules.extend(Analyzer::new().rules);
    rules
}

/// The optimizer's rules in order.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter();
    let rules = rules.map(cross_joins::guarded).map(null_equality::guarded);
    rules.map(constant_filters::guarded).map(three_valued::guarded).collect()
}
