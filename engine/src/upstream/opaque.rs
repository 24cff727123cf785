//! An operator that passes the rows of its input on. It hides what is known of them, keeps filters above it, or runs its
//! input at most once.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err, resources_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};

/// The properties that an operator hides. Each value includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hidden {
    Nothing,
    /// The orders of the rows.
    Orders,
    /// The columns that have one value or are equal.
    Values,
    /// The columns by which rows are distributed.
    Partitions,
}

/// An operator that passes the rows of its input on.
#[derive(Clone, Debug)]
pub(super) struct OpaqueExec {
    input: Arc<dyn ExecutionPlan>,
    hidden: Hidden,
    /// The positions of the columns whose filters stay above.
    unfiltered: Vec<usize>,
    once: Option<Once>,
    properties: Arc<PlanProperties>,
}

/// The state of an input that runs at most once, and the error of a second run.
#[derive(Debug)]
struct Once {
    has_run: AtomicBool,
    refusal: &'static str,
}

/// A copy of an operator has not run.
impl Clone for Once {
    fn clone(&self) -> Self {
        Self { has_run: AtomicBool::new(false), refusal: self.refusal }
    }
}

impl OpaqueExec {
    /// Returns an operator that hides properties of `input`.
    pub(super) fn hiding(input: Arc<dyn ExecutionPlan>, hidden: Hidden) -> Result<Self> {
        Self::over(input, hidden, vec![], None)
    }

    /// Returns an operator that keeps filters of these columns above it. `columns` are positions in the schema of `input`.
    pub(super) fn below_filters(input: Arc<dyn ExecutionPlan>, columns: Vec<usize>) -> Result<Self> {
        Self::over(input, Hidden::Nothing, columns, None)
    }

    /// Returns an operator that runs `input`, which has one partition, at most once. A second run has no memory left, with
    /// this message.
    pub(super) fn once(input: Arc<dyn ExecutionPlan>, refusal: &'static str) -> Result<Self> {
        Self::over(input, Hidden::Nothing, vec![], Some(Once { has_run: AtomicBool::new(false), refusal }))
    }

    fn over(input: Arc<dyn ExecutionPlan>, hidden: Hidden, unfiltered: Vec<usize>, once: Option<Once>) -> Result<Self> {
        let mut properties = input.properties().as_ref().clone();
        if hidden >= Hidden::Orders {
            let known = input.equivalence_properties();
            let mut shown = EquivalenceProperties::new(known.schema().clone());
            if hidden < Hidden::Values {
                shown.add_equivalence_group(known.eq_group().clone())?;
            }
            properties = properties.with_eq_properties(shown);
        }
        if hidden >= Hidden::Partitions {
            let partitions = input.output_partitioning().partition_count();
            properties = properties.with_partitioning(Partitioning::UnknownPartitioning(partitions));
        }
        Ok(Self { input, hidden, unfiltered, once, properties: Arc::new(properties) })
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::over(input, self.hidden, self.unfiltered.clone(), self.once.clone())
    }
}

impl DisplayAs for OpaqueExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpaqueExec")
    }
}

impl ExecutionPlan for OpaqueExec {
    fn name(&self) -> &str {
        "OpaqueExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// False if orders are hidden: a sort must stay above, because its order would be hidden if it moved below.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.hidden < Hidden::Orders]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn repartitioned(&self, partitions: usize, config: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match self.input.repartitioned(partitions, config)? {
            Some(input) => Ok(Some(Arc::new(self.with_input(input)?))),
            None => Ok(None),
        }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(self.with_input(input)?)),
            _ => internal_err!("OpaqueExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if let Some(once) = &self.once
            && once.has_run.swap(true, Ordering::Relaxed)
        {
            return resources_err!("{}", once.refusal);
        }
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => internal_err!("OpaqueExec has one input"),
        }
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let mut filtered: HashSet<usize> = (0..self.schema().fields().len()).collect();
        filtered.retain(|column| !self.unfiltered.contains(column));
        let filters = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, filtered, &self.input)?;
        Ok(FilterDescription::new().with_child(filters))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
