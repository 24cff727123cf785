//! The operator that reads a shared part. Each reader is an operator of its own: a leaf while the plan is optimized, so that
//! nothing of one reader gets below it. In the finished plan, the first reader shows the part.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err, resources_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;
use portolan_connectors::lock;

use super::rows::SharedRows;
use crate::execution::barrier::all_children;

/// The only partition of a reader.
const PARTITION: usize = 0;

/// A part of a plan that runs once for several readers.
#[derive(Debug)]
pub(crate) struct SharedPart {
    /// The number of the part in its plan.
    number: usize,
    /// The final plan of the part, with one partition.
    input: Arc<dyn ExecutionPlan>,
    /// The number of readers in the finished plan.
    readers: AtomicUsize,
    /// The rows, once a reader has started the part.
    rows: Mutex<Option<Arc<SharedRows>>>,
}

/// A reader of a shared part.
#[derive(Debug)]
pub(crate) struct SharedExec {
    part: Arc<SharedPart>,
    /// True for the reader that shows the part.
    shows_part: AtomicBool,
    /// True once the reader has started.
    has_started: AtomicBool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedPart {
    /// Returns the part with this number and this final plan.
    pub(crate) fn new(number: usize, input: Arc<dyn ExecutionPlan>) -> Arc<Self> {
        let input: Arc<dyn ExecutionPlan> = match input.output_partitioning().partition_count() {
            1 => input,
            _ => Arc::new(CoalescePartitionsExec::new(input)),
        };
        Arc::new(Self { number, input, readers: AtomicUsize::new(0), rows: Mutex::default() })
    }

    /// Starts a reader, and the part with the first one.
    fn reader(
        &self,
        context: &Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<SendableRecordBatchStream> {
        let mut rows = lock(&self.rows);
        let rows = match rows.as_ref() {
            Some(rows) => rows.clone(),
            None => {
                let part = self.input.execute(PARTITION, context.clone())?;
                let readers = self.readers.load(Ordering::Relaxed);
                let metrics = SpillMetrics::new(metrics, PARTITION);
                rows.insert(SharedRows::new(part, readers, context.runtime_env(), metrics)).clone()
            }
        };
        match rows.reader() {
            Some(reader) => Ok(reader),
            None => internal_err!("shared part {} has more readers than its plan", self.number),
        }
    }
}

impl SharedExec {
    /// Returns a reader of a part.
    pub(crate) fn new(part: Arc<SharedPart>) -> Self {
        let properties = PlanProperties::new(
            part.input.equivalence_properties().clone(),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        let (shows_part, has_started) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { part, shows_part, has_started, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

/// Counts the readers of the shared parts in a finished plan. The first reader of each part shows the part from then on.
pub(crate) fn count_readers(plan: &dyn ExecutionPlan) {
    if let Some(reader) = plan.downcast_ref::<SharedExec>() {
        let is_first = reader.part.readers.fetch_add(1, Ordering::Relaxed) == 0;
        reader.shows_part.store(is_first, Ordering::Relaxed);
    }
    all_children(plan).into_iter().for_each(|child| count_readers(child.as_ref()));
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readers = self.part.readers.load(Ordering::Relaxed);
        write!(f, "SharedExec: part={}, readers={readers}", self.part.number)
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.shows_part.load(Ordering::Relaxed) { vec![&self.part.input] } else { vec![] }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.iter().all(|child| Arc::ptr_eq(child, &self.part.input)) {
            true => Ok(self),
            false => internal_err!("the plan of a shared part is final"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != PARTITION {
            return internal_err!("expected partition {PARTITION} of a shared part, got {partition}");
        }
        // A join that starts its build side again, because memory is short, would find no rows: they are gone, and the place
        // of another reader is not free.
        if self.has_started.swap(true, Ordering::Relaxed) {
            return resources_err!(
                "the build side of a join needs more memory than the query has, and is a part of the query that runs once: raise \
                 limits.query_memory, or try `SET portolan.share = off`"
            );
        }
        let output = BaselineMetrics::new(&self.metrics, PARTITION);
        let rows = self.part.reader(&context, &self.metrics)?.inspect(move |batch| {
            if let Ok(batch) = batch {
                output.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        StatisticsContext::new().compute(self.part.input.as_ref(), &StatisticsArgs::new())
    }
}
