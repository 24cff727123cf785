//! The barrier in a physical plan. It returns the rows of a governed port unchanged, and nothing else of what happens
//! below it: no statistics, no order, no metrics, and no words of an error. For the plan around it, it is a leaf.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType, reset_plan_states};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, stream};
use portolan_catalog::PortRef;

use super::compact::isolated;
use super::errors::from_datafusion;
use crate::{Error, ErrorKind};

/// An operator that returns the rows of a governed port. The number of its partitions is fixed: that of its input depends
/// on the size of the data, and on the policy.
#[derive(Clone, Debug)]
pub(crate) struct BarrierExec {
    port: Arc<PortRef>,
    input: Arc<dyn ExecutionPlan>,
    partitions: usize,
    /// True once the plan below is final.
    is_sealed: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl BarrierExec {
    /// Returns the operator over the rows of a port, after its policies, in this number of partitions.
    pub(crate) fn new(port: PortRef, input: Arc<dyn ExecutionPlan>, partitions: usize) -> Self {
        Self::over(Arc::new(port), input, partitions.max(1), false)
    }

    /// Returns the final plan of a port's barrier as a leaf of another plan.
    pub(crate) fn sealed(port: &PortRef, plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(match plan.downcast_ref::<Self>() {
            Some(barrier) => barrier.with_input(barrier.input.clone(), true),
            // DataFusion puts the scalar subqueries of a plan above its root.
            None => {
                let partitions = plan.output_partitioning().partition_count();
                Self::over(Arc::new(port.clone()), plan, partitions, true)
            }
        })
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>, is_sealed: bool) -> Self {
        Self::over(self.port.clone(), input, self.partitions, is_sealed)
    }

    fn over(port: Arc<PortRef>, input: Arc<dyn ExecutionPlan>, partitions: usize, is_sealed: bool) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        // The leaves below a sealed barrier yield.
        let scheduling = if is_sealed { SchedulingType::Cooperative } else { SchedulingType::NonCooperative };
        let properties = Arc::new(properties.with_scheduling_type(scheduling));
        Self { port, input, partitions, is_sealed, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BarrierExec: {} by its policies", self.port)
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.children().iter().map(|_| false).collect()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.is_sealed { vec![] } else { vec![&self.input] }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (None, _) if self.is_sealed => Ok(self),
            (Some(input), true) if !self.is_sealed => Ok(Arc::new(self.with_input(input, false))),
            _ => internal_err!("BarrierExec has another number of inputs"),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = if self.is_sealed { reset_plan_states(self.input.clone())? } else { self.input.clone() };
        Ok(Arc::new(self.with_input(input, self.is_sealed)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let port = self.port.clone();
        let inputs = (partition..self.input.output_partitioning().partition_count()).step_by(self.partitions);
        let inputs = inputs.map(|input| self.input.execute(input, context.clone()));
        let inputs = inputs.collect::<Result<Vec<_>>>().map_err(|e| without_details(&port, &e))?;
        let rows = stream::select_all(inputs).map(|batch: Result<RecordBatch>| -> Result<RecordBatch> {
            let batch = batch?;
            Ok(isolated(&batch)?)
        });
        // The message of a panic may have values.
        let rows = AssertUnwindSafe(rows).catch_unwind().map(move |batch| {
            let batch = batch.unwrap_or_else(|_| internal_err!("an operator panicked"));
            let batch = batch.map_err(|e| without_details(&port, &e))?;
            metrics.record_output(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), rows.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Returns all inputs of an operator, also that of a sealed barrier. Nobody may see what is in it.
pub(crate) fn all_children(plan: &dyn ExecutionPlan) -> Vec<&Arc<dyn ExecutionPlan>> {
    plan.downcast_ref::<BarrierExec>().map_or_else(|| plan.children(), |barrier| vec![&barrier.input])
}

/// Returns an error without its words, which may have values of hidden rows. Only the owner's log has them.
pub(crate) fn without_details(port: &PortRef, error: &DataFusionError) -> DataFusionError {
    DataFusionError::External(Box::new(without_words(port, &from_datafusion(error))))
}

/// Returns an error of reading a governed port without its words.
fn without_words(port: &PortRef, error: &Error) -> Error {
    let kind = match error.kind() {
        // These say nothing about values.
        kind @ (ErrorKind::Cancelled
        | ErrorKind::DeadlineExceeded
        | ErrorKind::ResourceExhausted
        | ErrorKind::SiteUnavailable
        | ErrorKind::InvalidData) => kind,
        _ => ErrorKind::Internal,
    };
    let shown = match kind {
        ErrorKind::Cancelled => "the query was cancelled",
        ErrorKind::DeadlineExceeded => "the query exceeded its deadline",
        ErrorKind::ResourceExhausted => "the query exceeded a limit of its owner's node",
        ErrorKind::SiteUnavailable => "its source does not answer",
        ErrorKind::InvalidData => "its data does not fit its contract",
        _ => "the log of its owner's node has the reason",
    };
    let shown = format!("the governed port {port} cannot be read: {shown}");
    Error::new(kind, shown).for_owner(error.owner_chain())
}
