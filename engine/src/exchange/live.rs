//! The live side of a plan's edges: the places that run each fragment, the counters and metrics of its rows, and the
//! report about its keys.
//!
//! A remote scan is a description. At execution, it finds its edge in [`LiveEdges`], an extension of the configuration
//! that its task runs with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use futures::stream::BoxStream;
use portolan_connectors::{FragmentSummary, RelayedColumns, lock};
use tokio::sync::Notify;

use super::edge_state::EdgeState;
use super::hashed::{FragmentHashes, HashedColumns};
use super::keys::KeyReport;
use super::prefetch::Prefetched;
use super::reading::{Reading, read_all, relay_all};
use super::start::Start;
use super::trace;
use crate::execution::errors::{from_datafusion, into_datafusion};
use crate::execution::part::RowPart;
use crate::mesh::MeshView;
use crate::metrics::EdgeWork;
use crate::plan::{Counted, Exchange, Fragment};
use crate::progress::EdgeCounters;
use crate::state::QueryContext;
use crate::{Error, ErrorKind};

/// The largest number of batches that wait for their reader. If there are more, the owner waits.
const WAITING_BATCHES: usize = 2;
/// The only partition of a remote scan.
const PARTITION: usize = 0;

/// The edges of one plan of one query, by the numbers of their fragments. A number identifies an edge of this plan
/// only: a plan that replaces it has its own edges.
#[derive(Debug)]
pub(crate) struct LiveEdges {
    view: Arc<MeshView>,
    query: Arc<QueryContext>,
    edges: Mutex<BTreeMap<usize, Arc<LiveEdge>>>,
    /// The hashes in the plan. A plan that replaces this one shares them.
    hashed: Arc<HashedColumns>,
}

/// An edge of a plan. Its clones share counters and reports.
#[derive(Clone, Debug)]
pub(crate) struct LiveEdge {
    state: EdgeState,
    /// The metrics of the scan that was planned for the edge.
    pub(crate) metrics: ExecutionPlanMetricsSet,
    /// The rows of the edge, if it was started before the plan around it.
    prefetched: Prefetched,
}

/// The parts of a remote scan that its execution needs.
pub(super) struct ScanRun {
    pub(super) schema: SchemaRef,
    /// The filters of joins above, which the joins fill with restrictions on the rows that can match.
    pub(super) filters: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) metrics: ExecutionPlanMetricsSet,
    /// The columns of the rows, if they are relayed.
    pub(super) relayed: Option<RelayedColumns>,
}

impl LiveEdges {
    /// Returns the edges of a plan whose fragments have not started.
    pub(crate) fn new(view: Arc<MeshView>, query: Arc<QueryContext>) -> Self {
        Self { view, query, edges: Mutex::default(), hashed: Arc::default() }
    }

    /// Returns the edges of `plan`, which replaces the plan of these edges. Exchanges that run already keep their
    /// edges, under their new numbers.
    pub(crate) fn replaced_by(&self, plan: &LogicalPlan) -> Result<Self> {
        let mut edges = BTreeMap::new();
        plan.apply_with_subqueries(|node| {
            if let Some(exchange) = Exchange::of(node)
                && let Some(running) = &exchange.running
                && let Some(edge) = self.lock().get(&running.number)
            {
                edges.insert(exchange.fragment.number, Arc::new(edge.with_fragment(exchange.fragment.clone())));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let (view, query, hashed) = (self.view.clone(), self.query.clone(), self.hashed.clone());
        Ok(Self { view, query, edges: Mutex::new(edges), hashed })
    }

    /// Finds the hashed columns of the plan, and checks its joins as far as they are known.
    ///
    /// # Errors
    /// `PermissionDenied` if a join compares hashes that do not agree.
    pub(super) fn check_hashes(&self, plan: &LogicalPlan) -> crate::Result<()> {
        let hashes = trace::hashes(plan, self).map_err(|e| from_datafusion(&e))?;
        self.hashed.replace(hashes)
    }

    /// Returns the hashes in the plan.
    pub(crate) fn hashed(&self) -> Arc<HashedColumns> {
        self.hashed.clone()
    }

    /// Finds the edges in the configuration that a plan is made with, or runs with.
    ///
    /// # Errors
    /// If there are none.
    pub(super) fn of(config: &SessionConfig) -> Result<Arc<Self>> {
        match config.get_extension() {
            Some(edges) => Ok(edges),
            None => internal_err!("a remote scan needs the edges of its query in the configuration of its session"),
        }
    }

    /// Returns the view of the mesh in which the sites of the edges are found.
    pub(super) fn view(&self) -> Arc<MeshView> {
        self.view.clone()
    }

    /// Returns the edge of a fragment, and adds it first if the fragment is new.
    ///
    /// # Errors
    /// If the fragment's site is not a peer of this node, or if the number is that of another plan's fragment. In the
    /// second case, one plan would get the rows of the other.
    pub(super) fn edge(&self, fragment: &Arc<Fragment>) -> Result<Arc<LiveEdge>> {
        let mut edges = self.lock();
        if let Some(edge) = edges.get(&fragment.number) {
            if !edge.is_of(fragment) {
                return Err(into_datafusion(Error::new(
                    ErrorKind::Internal,
                    format!(
                        "fragment {} at {} does not belong to the plan that this configuration already runs: call \
                         `with_remote_scans` once for each plan",
                        fragment.number, fragment.site
                    ),
                )));
            }
            return Ok(edge.clone());
        }
        let edge = Arc::new(LiveEdge::new(fragment.clone(), &self.view)?);
        edges.insert(fragment.number, edge.clone());
        Ok(edge)
    }

    /// Returns the edges in the order of their fragments.
    pub(crate) fn all(&self) -> Vec<Arc<LiveEdge>> {
        self.lock().values().cloned().collect()
    }

    /// Returns the counters of the edges, in the same order, without those below barriers.
    pub(crate) fn counters(&self) -> Vec<Arc<EdgeCounters>> {
        let edges = self.lock();
        let shown = edges.values().filter(|edge| !edge.fragment().is_hidden);
        shown.map(|edge| edge.counters().clone()).collect()
    }

    /// Returns the rows of a fragment. A fragment that was started before the plan around it is not started again.
    ///
    /// # Errors
    /// As for [`LiveEdges::edge`].
    pub(super) fn rows(&self, fragment: &Arc<Fragment>, run: ScanRun) -> Result<SendableRecordBatchStream> {
        let edge = self.edge(fragment)?;
        Ok(match edge.prefetched.take() {
            Some(rows) => rows,
            None => edge.start(run, self),
        })
    }

    /// Requests the rows of an edge before the plan around it runs.
    pub(crate) fn prefetch(&self, edge: &LiveEdge) -> Result<()> {
        let schema = edge.fragment().arrow_schema();
        let run = ScanRun { schema, filters: vec![], metrics: edge.metrics.clone(), relayed: None };
        edge.prefetched.put(self.rows(edge.fragment(), run)?);
        Ok(())
    }

    /// Returns the rows of a fragment as the messages of its site, with the columns of `schema`; `None` if a place that
    /// can run the fragment does not relay. The request is sent when the rows are read.
    ///
    /// # Errors
    /// As for [`LiveEdges::edge`].
    pub(crate) fn relay(
        &self,
        fragment: &Arc<Fragment>,
        schema: SchemaRef,
        columns: RelayedColumns,
    ) -> Result<Option<BoxStream<'static, crate::Result<RowPart>>>> {
        let edge = self.edge(fragment)?;
        if !edge.state.replicas.iter().all(|replica| replica.site.relays()) {
            return Ok(None);
        }
        let run = ScanRun { schema, filters: vec![], metrics: edge.metrics.clone(), relayed: Some(columns) };
        let (start, reading) = edge.parts(run, self);
        Ok(Some(relay_all(start, reading)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<LiveEdge>>> {
        lock(&self.edges)
    }
}

impl LiveEdge {
    fn new(fragment: Arc<Fragment>, view: &MeshView) -> Result<Self> {
        let state = EdgeState::new(fragment, view)?;
        Ok(Self { state, metrics: ExecutionPlanMetricsSet::new(), prefetched: Prefetched::default() })
    }

    /// Returns the same edge for the fragment's description in another plan.
    fn with_fragment(&self, fragment: Arc<Fragment>) -> Self {
        let mut edge = self.clone();
        edge.state.fragment = fragment;
        edge
    }

    /// Returns the fragment whose rows cross the edge.
    pub(crate) fn fragment(&self) -> &Arc<Fragment> {
        &self.state.fragment
    }

    /// Returns the hashes of the fragment's columns, once they are known.
    pub(super) fn hashes(&self) -> FragmentHashes {
        self.state.hashes.clone()
    }

    /// Returns the counters of the edge's rows.
    pub(super) fn counters(&self) -> &Arc<EdgeCounters> {
        &self.state.counters
    }

    /// True if the fragment is that of the edge, or a decoded copy of it.
    fn is_of(&self, fragment: &Arc<Fragment>) -> bool {
        let own = self.fragment();
        Arc::ptr_eq(own, fragment)
            || own.site == fragment.site && own.sent == fragment.sent && own.edge == fragment.edge
    }

    /// Starts to read the rows of the fragment, in parallel with the rest of the query. So the rows of both sides of a
    /// join come at the same time. Dropping the stream ends the reading task, which holds neither the edge nor the
    /// configuration that leads to the edge.
    fn start(&self, run: ScanRun, edges: &LiveEdges) -> SendableRecordBatchStream {
        let schema = run.schema.clone();
        let (start, reading) = self.parts(run, edges);
        let wanted = Arc::new(Notify::new());
        let mut task = RecordBatchReceiverStream::builder(schema.clone(), WAITING_BATCHES);
        task.spawn(read_all(start, reading, wanted.clone(), task.tx()));
        let rows = task.build();
        let stream = futures::stream::once(async move {
            wanted.notify_one();
            rows
        })
        .flatten();
        Box::pin(RecordBatchStreamAdapter::new(schema, stream))
    }

    /// Returns the request for the rows of the fragment, and the reader of the rows.
    fn parts(&self, run: ScanRun, edges: &LiveEdges) -> (Start, Reading) {
        let ScanRun { schema, filters, metrics, relayed } = run;
        let (query, view) = (edges.query.clone(), edges.view.clone());
        let work = EdgeWork::start(&query.metrics, &query.head, self.counters());
        let start = Start {
            edge: self.state.clone(),
            query,
            view,
            schema: schema.clone(),
            relayed,
            filters,
            work: work.clone(),
            keys_sent: MetricBuilder::new(&metrics).counter("keys_sent", PARTITION),
            key_bytes: MetricBuilder::new(&metrics).counter("key_bytes", PARTITION),
            key_wait: MetricBuilder::new(&metrics).subset_time("key_wait", PARTITION),
        };
        let reading = Reading {
            edge: self.state.clone(),
            rows: 0,
            schema,
            baseline: BaselineMetrics::new(&metrics, PARTITION),
            bytes: MetricBuilder::new(&metrics).counter("wire_bytes", PARTITION),
            first_batch: MetricBuilder::new(&metrics).subset_time("time_to_first_batch", PARTITION),
            started: Instant::now(),
            hashed: edges.hashed(),
            work,
        };
        (start, reading)
    }

    /// Reads rows before the plan around them runs, up to a size limit and for at most `wait`. Returns the number of
    /// rows, and the statistics of the columns at the positions `keys`.
    pub(crate) async fn count_prefetched(
        &self,
        keys: &BTreeSet<usize>,
        context: &TaskContext,
        wait: Duration,
    ) -> Result<Counted> {
        self.prefetched.read(&self.fragment().arrow_schema(), keys, context, wait).await
    }

    /// Returns the summary that the site sent at the end; `None` while the fragment runs, or if it never ran.
    pub(crate) fn summary(&self) -> Option<FragmentSummary> {
        lock(&self.state.summary).clone()
    }

    /// Returns the report about keys; `None` if no keys were wanted, or if the report is not known yet.
    pub(crate) fn key_report(&self) -> Option<KeyReport> {
        lock(&self.state.report).clone()
    }
}
