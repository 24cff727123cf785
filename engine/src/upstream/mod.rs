//! Workarounds for DataFusion: one file or folder for each kind of fault. `tests` has the answers of DataFusion alone,
//! so that a release that fixes a fault is noticed. The book's page on the differences lists the kinds, with links.
//!
//! - [`analyzer_rules`] run over each plan before its columns are promised to a client.
//! - [`optimizer_rules`] run in the pass that normalises.
//! - [`executable`] runs last before physical planning.
//! - [`physical_optimizer_rules`] run in physical planning.

pub(crate) mod aggregate_filters;
mod column_bounds;
pub(crate) mod compared_casts;
mod constant_filters;
mod cross_joins;
mod date_parts;
mod date_truncs;
mod distinct_limits;
mod distinct_sums;
mod equal_projections;
mod expressions;
mod false_orders;
pub(crate) mod filters_by_name;
mod float_extrema;
pub(crate) mod from_first;
pub(crate) mod functional_dependencies;
pub(crate) mod generated_names;
mod group_filters;
pub(crate) mod growth;
mod guarded_rules;
pub(crate) mod identifiers;
mod inferred_filters;
pub(crate) mod join_keys;
mod lost_sorts;
mod nan_signs;
mod nested_loops;
mod null_equality;
mod opaque;
mod operand_types;
mod overflow;
pub(crate) mod patterns;
mod ranks;
mod regex_literals;
mod same_column;
pub(crate) mod set_operations;
mod subqueries;
pub(crate) mod sums;
#[cfg(test)]
mod tests;
mod three_valued;
pub(crate) mod topk_groups;
pub(crate) mod unfiltered_keys;
mod unordered_casts;
pub(crate) mod using_joins;
pub(crate) mod volatile;
pub(crate) mod window_limits;
pub(crate) mod zero_signs;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use self::guarded_rules::{Guard, PhysicalGuard};
pub(crate) use self::operand_types::{keep_digits, without_mark};
use crate::dialect;

/// The guards of DataFusion's optimizer rules. If two guard one rule, the later one sees a plan first.
const GUARDS: [Guard; 15] = [
    compared_casts::GUARD,
    constant_filters::GUARD,
    cross_joins::GUARD,
    distinct_sums::GUARD,
    equal_projections::GUARD,
    group_filters::GUARD,
    inferred_filters::GUARD,
    column_bounds::GUARD,
    growth::GUARD,
    functional_dependencies::GUARD,
    null_equality::GUARD,
    volatile::GUARDS[0],
    volatile::GUARDS[1],
    three_valued::GUARD,
    // This guard replaces operators that the guard before reads.
    overflow::GUARD,
];

/// The guards of DataFusion's physical optimizer rules. If several guard one rule, the last one sees a plan first.
const PHYSICAL_GUARDS: [PhysicalGuard; 6] = [
    // It runs after `lost_sorts`: a sort that this one adds may order groups.
    distinct_limits::GUARD,
    false_orders::GUARD,
    group_filters::PHYSICAL_GUARD,
    lost_sorts::GUARD,
    nested_loops::GUARD,
    unfiltered_keys::GUARD,
];

/// Returns a session state with DataFusion's functions and rules, with the functions and rules that replace some of
/// them, and with the functions of other dialects.
pub(crate) fn state_builder() -> SessionStateBuilder {
    let mut builder = SessionStateBuilder::new()
        // They come before DataFusion's: the first planner that knows an expression plans it.
        .with_expr_planners(vec![Arc::new(date_parts::Extract), Arc::new(operand_types::ComparedOperands)])
        .with_default_features()
        .with_relation_planners(vec![Arc::new(functional_dependencies::Relations)])
        .with_type_planner(Arc::new(operand_types::TimestampTypes))
        .with_analyzer_rules(analyzer_rules())
        .with_optimizer_rules(optimizer_rules())
        .with_physical_optimizer_rules(physical_optimizer_rules());
    // A function with the name of one of DataFusion's replaces it.
    builder.aggregate_functions().get_or_insert_default().extend(sums::functions());
    builder.aggregate_functions().get_or_insert_default().extend(float_extrema::functions());
    builder.window_functions().get_or_insert_default().extend(ranks::functions());
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.extend(overflow::checked::functions());
    // This function shows the names of a port's files, and fails above anything but a scan.
    functions.retain(|function| function.name() != "input_file_name");
    functions.extend(patterns::functions());
    functions.push(date_parts::date_part());
    functions.push(date_truncs::date_trunc());
    functions.push(zero_signs::nullif::function());
    functions.extend(dialect::functions());
    builder
}

/// Returns the plan that is executed, for physical planning only: with functions that no other node has to know.
pub(crate) fn executable(plan: &LogicalPlan) -> Result<LogicalPlan> {
    nan_signs::canonical(compared_casts::hide(unordered_casts::hide(overflow::checked_plan(plan)?)?)?)
}

/// Returns the analyzer's rules in order: those that need a plan as it is written, DataFusion's, and those that need
/// its types.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(subqueries::SubqueriesAsJoins)];
    rules.extend(Analyzer::new().rules.into_iter().map(operand_types::guarded));
    rules.push(Arc::new(regex_literals::RegexLiterals));
    rules.push(Arc::new(zero_signs::ZeroSigns));
    rules.push(Arc::new(volatile::VolatileOnce));
    rules
}

/// Returns the optimizer's rules in order.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    Optimizer::new().rules.into_iter().map(guarded).collect()
}

/// Returns the rule that removes columns which nothing above reads.
pub(crate) fn projection_rule() -> Arc<dyn OptimizerRule + Send + Sync> {
    guarded(Arc::new(OptimizeProjections::new()))
}

/// Returns a rule of DataFusion inside the guards for it.
fn guarded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    guarded_rules::guarded(rule, &GUARDS)
}

/// Returns the physical optimizer's rules in order.
fn physical_optimizer_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules.into_iter().map(filters_by_name::guarded);
    rules.map(|rule| guarded_rules::guarded_physical(rule, &PHYSICAL_GUARDS)).collect()
}
