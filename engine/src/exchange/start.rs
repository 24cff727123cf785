//! Asks an owner for a fragment: at once where no keys are to cut it, else when the joins above have their keys or the
//! wait for them is over.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, Literal};
use datafusion::physical_plan::metrics::{Count, Time};
use portolan_connectors::{FragmentPlan, FragmentRequest, FragmentStream, Site, lock};
use tokio::sync::Notify;

use super::keys::{KeyReport, Restriction, restrict};
use crate::Result;
use crate::mesh::MeshView;
use crate::plan::{Fragment, KeyPlan};
use crate::progress::EdgeCounters;
use crate::state::QueryContext;

/// What is needed to ask an owner for a fragment.
pub(super) struct Start {
    pub(super) fragment: Arc<Fragment>,
    pub(super) site: Arc<dyn Site>,
    pub(super) query: Arc<QueryContext>,
    /// The ports that the fragment may read, to encode it with its keys.
    pub(super) view: Arc<MeshView>,
    pub(super) schema: SchemaRef,
    pub(super) filters: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) counters: Arc<EdgeCounters>,
    pub(super) report: Arc<Mutex<Option<KeyReport>>>,
    pub(super) keys_sent: Count,
    pub(super) key_bytes: Count,
    pub(super) key_wait: Time,
}

impl Start {
    /// Asks for the rows; `None` where no row can match anything. `wanted` tells when somebody first reads.
    pub(super) async fn start(self, wanted: &Notify) -> Result<Option<FragmentStream>> {
        let plan = self.fragment.edge.keys.clone();
        let plan = match plan.filter(|_| !self.filters.is_empty()) {
            None => self.fragment.sent.clone(),
            Some(plan) => match self.with_keys(&plan, wanted).await {
                Some(sent) => sent,
                None => return Ok(None),
            },
        };
        let request = FragmentRequest { head: self.query.head.sent_on(), plan, schema: self.schema.clone() };
        self.site.execute(request).await.map(Some)
    }

    /// Waits for keys and puts them onto the fragment; `None` where no row can match.
    async fn with_keys(&self, plan: &KeyPlan, wanted: &Notify) -> Option<FragmentPlan> {
        let asked = Instant::now();
        // Of the longest wait a part may be over.
        let wait = plan.wait.saturating_sub(self.query.waiting_since.get().map_or(Duration::ZERO, Instant::elapsed));
        let complete = tokio::time::timeout(wait, self.complete()).await.is_ok();
        let waited = asked.elapsed();
        self.key_wait.add_duration(waited);
        let restrictions: Vec<_> = self.filters.iter().map(|f| Restriction::of(f.as_ref())).collect();
        let mut report = KeyReport { expected: plan.keys, waited, ..KeyReport::default() };
        if restrictions.iter().any(Restriction::lets_nothing_through) {
            report.not_asked = true;
            self.tell(report);
            return None;
        }
        if complete && self.filters.iter().any(|f| says_nothing(f.as_ref())) {
            // A join whose build side is empty leaves its filter as it was, and mostly never reads this side.
            wanted.notified().await;
        }
        if !complete {
            report.reasons.push(format!("they did not come within {} ms", plan.wait.as_millis()));
        }
        let restricted = restrict(&self.fragment, plan, &restrictions, self.query.key_bytes, &self.view);
        let sent = restricted.sent.unwrap_or_else(|| self.fragment.sent.clone());
        report.bytes = sent.size().saturating_sub(self.fragment.sent.size());
        report.keys = restricted.keys;
        report.forms = restricted.forms;
        report.reasons.extend(restricted.reasons);
        report.adapted = report.keys.is_some_and(|keys| is_surprise(keys, plan));
        if !report.forms.is_empty() {
            self.keys_sent.add(report.keys.unwrap_or(0));
            self.key_bytes.add(report.bytes);
            self.counters.bytes_sent.fetch_add(report.bytes as u64, Ordering::Relaxed);
        }
        self.tell(report);
        Some(sent)
    }

    async fn complete(&self) {
        for filter in &self.filters {
            if let Some(filter) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
                filter.wait_complete().await;
            }
        }
    }

    fn tell(&self, report: KeyReport) {
        *lock(&self.report) = Some(report);
    }
}

/// Whether a filter lets all rows through, as one does that was never filled.
fn says_nothing(filter: &dyn PhysicalExpr) -> bool {
    let current = filter.downcast_ref::<DynamicFilterPhysicalExpr>().and_then(|f| f.current().ok());
    let literal = current.as_ref().and_then(|e| e.downcast_ref::<Literal>());
    literal.is_some_and(|l| *l.value() == ScalarValue::Boolean(Some(true)))
}

fn is_surprise(keys: usize, plan: &KeyPlan) -> bool {
    let (keys, expected) = ((keys as f64).max(1.0), plan.keys.max(1.0));
    (keys / expected).max(expected / keys) > plan.adapt_factor
}
