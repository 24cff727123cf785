//! Requests a fragment from an owner. If no keys are to cut the fragment, the request is sent at once. Otherwise it is
//! sent when the joins above have their keys, or when the wait for the keys is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, Literal};
use datafusion::physical_plan::metrics::{Count, Time};
use portolan_connectors::{FragmentHead, FragmentPlan, FragmentRequest, FragmentStream, lock};
use tokio::sync::Notify;

use super::edge_state::EdgeState;
use super::keys::{KeyReport, Restriction, restrict};
use crate::Result;
use crate::mesh::MeshView;
use crate::metrics::EdgeWork;
use crate::plan::KeyPlan;
use crate::state::QueryContext;

/// The inputs of a request for a fragment.
pub(super) struct Start {
    pub(super) edge: EdgeState,
    pub(super) query: Arc<QueryContext>,
    /// The ports that the fragment may read, to encode it with its keys.
    pub(super) view: Arc<MeshView>,
    pub(super) schema: SchemaRef,
    pub(super) filters: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) work: Arc<EdgeWork>,
    pub(super) keys_sent: Count,
    pub(super) key_bytes: Count,
    pub(super) key_wait: Time,
}

impl Start {
    /// Requests the rows; `None` if no row can match. `wanted` is notified when the rows are read for the first time.
    pub(super) async fn start(self, wanted: &Notify) -> Result<Option<FragmentStream>> {
        let plan = self.edge.fragment.edge.keys.clone();
        let plan = match plan.filter(|_| !self.filters.is_empty()) {
            None => self.edge.fragment.sent.clone(),
            Some(plan) => match self.with_keys(&plan, wanted).await {
                Some(sent) => sent,
                None => return Ok(None),
            },
        };
        let head = FragmentHead { trace: self.work.trace().clone(), ..self.query.head.sent_on() };
        let request = FragmentRequest { head, plan, schema: self.schema.clone() };
        self.edge.site.execute(request).await.map(Some)
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
            report.not_asked = true;
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
