//! Reads the rows of a fragment from its site. Dropping the stream stops the work there; a stream that ends before the
//! site said so is an error.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, apply_expression_roots};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt;
use portolan_connectors::{FragmentSummary, Peer};
use tokio::sync::Notify;

use super::ahead::Ahead;
use super::keys::KeyReport;
use super::reading::{Reading, read_all};
use super::start::Start;
use crate::mesh::{LinkMeter, MeshView, StreamMeter};
use crate::plan::{Counted, Fragment};
use crate::progress::EdgeCounters;
use crate::state::QueryContext;

/// How wide a value of variable width is taken to be.
const ASSUMED_TEXT_BYTES: usize = 24;
/// Batches that wait for their reader, at most: beyond them the owner waits.
const BATCHES_AHEAD: usize = 2;

/// Reads the rows of a fragment from its site.
#[derive(Clone, Debug)]
pub(crate) struct RemoteScanExec {
    pub(crate) fragment: Arc<Fragment>,
    site: Arc<dyn Peer>,
    query: Arc<QueryContext>,
    /// The ports that fragments may read.
    view: Arc<MeshView>,
    /// Measures the link to the site.
    meter: Arc<LinkMeter>,
    /// What joins above will tell of the rows that can match.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    pub(crate) counters: Arc<EdgeCounters>,
    /// What the site said at the end.
    summary: Arc<Mutex<Option<FragmentSummary>>>,
    /// What came of keys.
    report: Arc<Mutex<Option<KeyReport>>>,
    /// Its rows, where it was started before the plan around it.
    ahead: Ahead,
}

impl RemoteScanExec {
    pub(crate) fn new(
        fragment: Arc<Fragment>,
        site: Arc<dyn Peer>,
        query: Arc<QueryContext>,
        view: Arc<MeshView>,
        meter: Arc<LinkMeter>,
    ) -> Self {
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
            bytes_sent: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            pulled: Mutex::default(),
        });
        Self {
            fragment,
            site,
            query,
            view,
            meter,
            filters: vec![],
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            counters,
            summary: Arc::default(),
            report: Arc::default(),
            ahead: Ahead::default(),
        }
    }

    /// The same scan, whether it runs or not, in another plan.
    pub(super) fn renumbered(&self, fragment: Arc<Fragment>) -> Self {
        Self { fragment, ..self.clone() }
    }

    /// Asks for the rows before the plan around it runs.
    pub(crate) fn start_ahead(&self, context: Arc<TaskContext>) -> Result<()> {
        self.ahead.put(self.execute(0, context)?);
        Ok(())
    }

    /// Reads rows before the plan around it runs, up to a bound and for so long at most; gives how many there are.
    pub(crate) async fn read_ahead(&self, context: &TaskContext, wait: Duration) -> Result<Counted> {
        self.ahead.read(&self.schema, context, wait).await
    }

    /// The same scan, of all rows whatever joins tell.
    pub(super) fn without_filters(&self) -> Self {
        Self { filters: vec![], ..self.clone() }
    }

    /// What the site said at the end; `None` while the fragment runs, or where it never ran.
    pub(crate) fn summary(&self) -> Option<FragmentSummary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came of keys; `None` where none were asked for, and until it is known.
    pub(crate) fn key_report(&self) -> Option<KeyReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        // A join that finds its filter here fills it.
        apply_expression_roots(self.filters.iter(), f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a remote scan has no inputs here") }
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        Ok(FilterDescription::all_unsupported(&parent_filters, &self.children()))
    }

    /// Keeps the filters that joins fill while they run. The joins still do all of their work: rows that the filters
    /// would drop may come.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let dynamic: Vec<_> = child_pushdown_result
            .parent_filters
            .iter()
            .map(|f| f.filter.clone())
            .filter(|f| f.is::<DynamicFilterPhysicalExpr>())
            .collect();
        let result = FilterPushdownPropagation::all_unsupported(child_pushdown_result);
        if phase != FilterPushdownPhase::Post || self.fragment.edge.keys.is_none() || dynamic.is_empty() {
            return Ok(result);
        }
        let mut scan = self.clone();
        scan.filters.extend(dynamic);
        Ok(result.with_updated_node(Arc::new(scan)))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a remote scan has one partition, not {partition}");
        }
        if let Some(rows) = self.ahead.take() {
            return Ok(rows);
        }
        let start = Start {
            fragment: self.fragment.clone(),
            site: self.site.clone(),
            query: self.query.clone(),
            view: self.view.clone(),
            schema: self.schema.clone(),
            filters: self.filters.clone(),
            counters: self.counters.clone(),
            report: self.report.clone(),
            keys_sent: MetricBuilder::new(&self.metrics).counter("keys_sent", partition),
            key_bytes: MetricBuilder::new(&self.metrics).counter("key_bytes", partition),
            key_wait: MetricBuilder::new(&self.metrics).subset_time("key_wait", partition),
        };
        let reading = Reading {
            rows: 0,
            schema: self.schema.clone(),
            counters: self.counters.clone(),
            summary: self.summary.clone(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            bytes: MetricBuilder::new(&self.metrics).counter("wire_bytes", partition),
            first_batch: MetricBuilder::new(&self.metrics).subset_time("time_to_first_batch", partition),
            started: Instant::now(),
            meter: StreamMeter::new(self.meter.clone()),
            fragment: self.fragment.clone(),
        };
        // It runs beside whatever else the query does, so that both sides of a join come at once; dropping the stream
        // ends it.
        let wanted = Arc::new(Notify::new());
        let mut task = RecordBatchReceiverStream::builder(self.schema.clone(), BATCHES_AHEAD);
        task.spawn(read_all(start, reading, wanted.clone(), task.tx()));
        let rows = task.build();
        let stream = futures::stream::once(async move {
            wanted.notify_one();
            rows
        })
        .flatten();
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
