//! Reads the rows of a fragment from its site. Dropping the stream stops the work there; a stream that ends before the
//! site said so is an error.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use portolan_connectors::{FragmentItem, FragmentRequest, FragmentStream, FragmentSummary, Peer};

use crate::execution::errors::into_datafusion;
use crate::execution::run::conform;
use crate::planner::Fragment;
use crate::progress::EdgeCounters;
use crate::{Error, ErrorKind, Principal};

/// How wide a value of variable width is taken to be.
const ASSUMED_TEXT_BYTES: usize = 24;

/// What the fragments of one query have in common.
#[derive(Debug)]
pub(crate) struct QueryContext {
    pub(crate) query_id: String,
    /// On whose behalf it runs.
    pub(crate) principal: Principal,
    /// How many nodes the query went through before it came here.
    pub(crate) hops: u32,
    pub(crate) deadline: Instant,
}

/// Reads the rows of a fragment from its site.
#[derive(Debug)]
pub(crate) struct RemoteScanExec {
    pub(crate) fragment: Arc<Fragment>,
    site: Arc<dyn Peer>,
    query: Arc<QueryContext>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    pub(crate) counters: Arc<EdgeCounters>,
    /// What the site said at the end.
    summary: Arc<Mutex<Option<FragmentSummary>>>,
}

impl RemoteScanExec {
    pub(crate) fn new(fragment: Arc<Fragment>, site: Arc<dyn Peer>, query: Arc<QueryContext>) -> Self {
        let schema: SchemaRef = Arc::new(Schema::clone(fragment.schema.as_arrow()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let counters = Arc::new(EdgeCounters {
            domains: fragment.domains.clone(),
            site: fragment.site.to_string(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        });
        Self {
            fragment,
            site,
            query,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            counters,
            summary: Arc::default(),
        }
    }

    /// What the site said at the end; `None` while the fragment runs, or where it never ran.
    pub(crate) fn summary(&self) -> Option<FragmentSummary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fragment in words, for errors.
    fn describe(&self) -> String {
        format!("domain {} at {}", self.fragment.domains.join(", "), self.fragment.site)
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "RemoteScanExec: fragment={}, site={}", self.fragment.number, self.fragment.site)?;
        match self.fragment.rows {
            Some(rows) => write!(f, ", estimated_rows={rows}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &str {
        "RemoteScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a remote scan has no inputs here") }
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a remote scan has one partition, not {partition}");
        }
        let request = FragmentRequest {
            query_id: self.query.query_id.clone(),
            principal: self.query.principal.name().to_owned(),
            plan: self.fragment.encoded.clone(),
            schema: self.schema.clone(),
            hops: self.query.hops + 1,
            deadline: self.query.deadline,
        };
        let site = self.site.clone();
        let reading = Reading {
            rows: 0,
            schema: self.schema.clone(),
            counters: self.counters.clone(),
            summary: self.summary.clone(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            bytes: MetricBuilder::new(&self.metrics).counter("wire_bytes", partition),
            first_batch: MetricBuilder::new(&self.metrics).subset_time("time_to_first_batch", partition),
            started: Instant::now(),
            what: self.describe(),
        };
        let stream = futures::stream::once(async move {
            let what = reading.what.clone();
            let stream = site.execute(request).await.map_err(|e| into_datafusion(e.within(what)))?;
            Ok::<_, DataFusionError>(futures::stream::try_unfold((stream, reading), read_next))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.fragment.rows {
            let widths =
                self.schema.fields().iter().map(|f| f.data_type().primitive_width().unwrap_or(ASSUMED_TEXT_BYTES));
            statistics.num_rows = Precision::Inexact(rows);
            statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(widths.sum()));
        }
        Ok(Arc::new(statistics))
    }
}

/// One fragment being read.
struct Reading {
    rows: u64,
    schema: SchemaRef,
    counters: Arc<EdgeCounters>,
    summary: Arc<Mutex<Option<FragmentSummary>>>,
    baseline: BaselineMetrics,
    bytes: Count,
    first_batch: Time,
    started: Instant,
    what: String,
}

type Next = Option<(arrow::record_batch::RecordBatch, (FragmentStream, Reading))>;

async fn read_next((mut stream, mut reading): (FragmentStream, Reading)) -> Result<Next> {
    let item = stream.next().await;
    let fail = |error: Error| Err(into_datafusion(error.within(&reading.what)));
    match item {
        Some(Ok(FragmentItem::Batch { batch, wire_bytes })) => {
            let batch = match conform(&batch, &reading.schema) {
                Ok(batch) => batch,
                Err(e) => return fail(Error::new(ErrorKind::SiteUnavailable, e.chain())),
            };
            if reading.rows == 0 {
                reading.first_batch.add_elapsed(reading.started);
            }
            reading.rows += batch.num_rows() as u64;
            reading.baseline.record_output(batch.num_rows());
            reading.bytes.add(wire_bytes);
            reading.counters.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            reading.counters.bytes.fetch_add(wire_bytes as u64, Ordering::Relaxed);
            Ok(Some((batch, (stream, reading))))
        }
        Some(Ok(FragmentItem::Finished(summary))) if summary.rows == reading.rows => {
            reading.counters.finished.store(true, Ordering::Relaxed);
            *reading.summary.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
            reading.baseline.done();
            Ok(None)
        }
        Some(Ok(FragmentItem::Finished(summary))) => fail(Error::new(
            ErrorKind::SiteUnavailable,
            format!("{} rows were sent and {} arrived", summary.rows, reading.rows),
        )),
        Some(Err(error)) => fail(error),
        None => fail(Error::new(
            ErrorKind::SiteUnavailable,
            format!("the rows stopped after {} without an end", reading.rows),
        )),
    }
}
