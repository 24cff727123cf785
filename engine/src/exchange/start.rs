//! Requests a fragment from an owner. If no keys are to cut the fragment, the request is sent at once. Otherwise it is
//! sent when the joins above have their keys, or when the wait for the keys is over. If the owner has replicas and one
//! of them is not available, the next one gets the request, as long as no row has arrived.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, Literal};
use datafusion::physical_plan::metrics::{Count, Time};
use futures::{StreamExt, stream};
use portolan_connectors::{FragmentHead, FragmentPlan, FragmentRequest, FragmentStream, RelayedColumns, lock};
use tokio::sync::Notify;

use super::edge_state::EdgeState;
use super::keys::{KeyReport, Restriction, restrict};
use crate::mesh::{LinkMeter, MeshView, Replica};
use crate::metrics::EdgeWork;
use crate::plan::KeyPlan;
use crate::state::QueryContext;
use crate::{Error, ErrorKind, Result};

/// The inputs of a request for a fragment.
pub(super) struct Start {
    pub(super) edge: EdgeState,
    pub(super) query: Arc<QueryContext>,
    /// The ports that the fragment may read, to encode it with its keys.
    pub(super) view: Arc<MeshView>,
    pub(super) schema: SchemaRef,
    /// The columns of the rows, if they are relayed.
    pub(super) relayed: Option<RelayedColumns>,
    pub(super) filters: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) work: Arc<EdgeWork>,
    pub(super) keys_sent: Count,
    pub(super) key_bytes: Count,
    pub(super) key_wait: Time,
}

/// The rows of a fragment, and the meter of the link over which they come.
pub(super) struct Started {
    pub(super) rows: FragmentStream,
    pub(super) meter: Arc<LinkMeter>,
}

impl Start {
    /// Requests the rows; `None` if no row can match. `wanted` is notified when the rows are read for the first time.
    pub(super) async fn start(self, wanted: &Notify) -> Result<Option<Started>> {
        let plan = self.edge.fragment.edge.keys.clone();
        let plan = match plan.filter(|_| !self.filters.is_empty()) {
            None => self.edge.fragment.sent.clone(),
            Some(plan) => match self.with_keys(&plan, wanted).await {
                Some(sent) => sent,
                None => return Ok(None),
            },
        };
        let (trace, relayed) = (self.work.trace().clone(), self.relayed);
        let head = FragmentHead { trace, relayed, ..self.query.head.sent_on() };
        let request = FragmentRequest { head, plan, schema: self.schema.clone() };
        self.request(request).await.map(Some)
    }

    /// Sends the request to the replicas, one after the other, until one answers.
    async fn request(&self, request: FragmentRequest) -> Result<Started> {
        let replicas = &self.edge.replicas;
        let mut failed = vec![];
        for Replica { site, meter } in replicas {
            let is_last = failed.len() + 1 == replicas.len();
            let rows = match site.execute(request.clone()).await {
                Ok(rows) if replicas.len() > 1 => first_received(rows).await,
                started => started,
            };
            match rows {
                Ok(rows) => return Ok(Started { rows, meter: meter.clone() }),
                Err(e) if !is_last && may_succeed_elsewhere(e.kind()) => {
                    tracing::info!(node = %site.id(), error = %e.chain(), "the next replica gets the fragment");
                    failed.push(e.chain());
                }
                Err(e) if failed.is_empty() => return Err(e),
                Err(e) => return Err(e.within(format!("other replicas failed first ({})", failed.join("; ")))),
            }
        }
        let what = format!("there is no connection to {}", self.edge.fragment.site);
        Err(Error::new(ErrorKind::Internal, what))
    }

    /// Waits for keys and adds them to the fragment; `None` if no row can match.
    async fn with_keys(&self, plan: &KeyPlan, wanted: &Notify) -> Option<FragmentPlan> {
        let started = Instant::now();
        // A part of the longest wait may be over already.
        let wait = plan.wait.saturating_sub(self.query.waiting_since.get().map_or(Duration::ZERO, Instant::elapsed));
        let complete = tokio::time::timeout(wait, self.complete()).await.is_ok();
        let waited = started.elapsed();
        self.key_wait.add_duration(waited);
        let restrictions: Vec<_> = self.filters.iter().map(|f| Restriction::of(f.as_ref())).collect();
        let mut report = KeyReport { expected: plan.keys, waited, ..KeyReport::default() };
        if restrictions.iter().any(Restriction::rejects_all_rows) {
            report.not_requested = true;
            self.set_report(report);
            return None;
        }
        if complete && self.filters.iter().any(|f| passes_all_rows(f.as_ref())) {
            // A join whose build side is empty leaves its filter as it was, and usually never reads this side.
            wanted.notified().await;
        }
        if !complete {
            report.reasons.push(format!("they did not come within {} ms", plan.wait.as_millis()));
        }
        let restricted = restrict(&self.edge.fragment, plan, &restrictions, self.query.key_bytes, &self.view);
        let sent = restricted.sent.unwrap_or_else(|| self.edge.fragment.sent.clone());
        report.bytes = sent.size().saturating_sub(self.edge.fragment.sent.size());
        report.keys = restricted.keys;
        report.forms = restricted.forms;
        report.reasons.extend(restricted.reasons);
        report.deviates = report.keys.is_some_and(|keys| deviates(keys, plan));
        if !report.forms.is_empty() {
            self.keys_sent.add(report.keys.unwrap_or(0));
            self.key_bytes.add(report.bytes);
            self.work.sent_keys(report.keys.unwrap_or(0), report.bytes);
            self.edge.counters.bytes_sent.fetch_add(report.bytes as u64, Ordering::Relaxed);
        }
        self.set_report(report);
        Some(sent)
    }

    async fn complete(&self) {
        for filter in &self.filters {
            if let Some(filter) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
                filter.wait_complete().await;
            }
        }
    }

    fn set_report(&self, report: KeyReport) {
        *lock(&self.edge.report) = Some(report);
    }
}

/// True if another replica may run a fragment that failed: the node does not respond, has another version, or has data
/// that it cannot read.
fn may_succeed_elsewhere(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::SiteUnavailable | ErrorKind::InvalidData | ErrorKind::Unsupported)
}

/// Waits until the first item of a fragment has arrived, and returns all items.
///
/// # Errors
/// The error of the site, if it fails before it sends anything; `SiteUnavailable` if it sends nothing, not even an end.
async fn first_received(mut rows: FragmentStream) -> Result<FragmentStream> {
    match rows.next().await {
        Some(Err(e)) => Err(e),
        Some(Ok(first)) => Ok(stream::iter([Ok(first)]).chain(rows).boxed()),
        None => Err(Error::new(ErrorKind::SiteUnavailable, "its rows stopped before the first one, without an end")),
    }
}

/// True if a filter lets all rows pass, like a filter that was never filled.
fn passes_all_rows(filter: &dyn PhysicalExpr) -> bool {
    let current = filter.downcast_ref::<DynamicFilterPhysicalExpr>().and_then(|f| f.current().ok());
    let literal = current.as_ref().and_then(|e| e.downcast_ref::<Literal>());
    literal.is_some_and(|l| *l.value() == ScalarValue::Boolean(Some(true)))
}

/// True if the number of keys is far from the expected number.
fn deviates(keys: usize, plan: &KeyPlan) -> bool {
    let (keys, expected) = ((keys as f64).max(1.0), plan.keys.max(1.0));
    (keys / expected).max(expected / keys) > plan.adapt_factor
}
