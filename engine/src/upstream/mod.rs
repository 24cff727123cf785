//! Workarounds for DataFusion: one file a kind of fault, with the version that has it and a test that fails once
//! DataFusion no longer does. The book's upstream notes list them with links.
//!
//! [`analyzer_rules`] run once over each plan, before its columns are promised to anybody. [`optimizer_rules`] run in the
//! pass that normalises.

pub(crate) mod aggregate_filters;
mod constant_filters;
mod cross_joins;
mod date_parts;
mod equal_projections;
mod float_extrema;
pub(crate) mod from_first;
pub(crate) mod join_keys;
pub(crate) mod nested_keys;
mod null_equality;
mod operand_types;
pub(crate) mod overflow;
pub(crate) mod patterns;
mod regex_literals;
pub(crate) mod set_operations;
mod subqueries;
pub(crate) mod sums;
mod three_valued;
pub(crate) mod using_joins;
pub(crate) mod volatile;
pub(crate) mod window_limits;
mod zero_signs;

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
        .with_default_features()
        .with_type_planner(Arc::new(operand_types::TimestampTypes))
        .with_analyzer_rules(analyzer_rules())
        .with_optimizer_rules(optimizer_rules());
    // Those of the same name as one of DataFusion's stand in its place.
    builder.aggregate_functions().get_or_insert_default().extend(sums::functions());
    builder.aggregate_functions().get_or_insert_default().extend(float_extrema::functions());
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.extend(overflow::checked::functions());
    // It names the files of a port, and fails above anything but a scan.
    functions.retain(|function| function.name() != "input_file_name");
    functions.extend(patterns::functions());
    functions.push(date_parts::date_part());
    builder
}

/// The analyzer's rules in order: ours that need a plan as it is written, DataFusion's, ours that need its types.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(subqueries::SubqueriesAsJoins)];
    rules.extend(Analyzer::new().rules.into_iter().map(operand_types::guarded));
    rules.push(Arc::new(regex_literals::RegexLiterals));
    rules.push(Arc::new(zero_signs::ZeroSigns));
    rules.push(Arc::new(volatile::VolatileOnce));
    rules
}

/// The optimizer's rules in order.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter().map(cross_joins::guarded).map(equal_projections::guarded);
    let rules = rules.map(null_equality::guarded).map(constant_filters::guarded).map(volatile::guarded);
    rules.map(three_valued::guarded).map(overflow::guarded).collect()
}
