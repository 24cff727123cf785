//! Queries, fragments and estimates, from their start to their end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime};

use portolan_connectors::{FragmentHead, TraceContext, lock};

use super::histogram::Histogram;
use super::{Metrics, Span, SpanKind, WorkMetrics, outcome_name};
use crate::ErrorKind;

/// The kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkKind {
    /// A query of a session.
    Query,
    /// A fragment of another node's query.
    Fragment,
    /// An estimate for a fragment.
    Estimate,
}

/// The counters of one kind of work.
#[derive(Debug)]
pub(super) struct WorkCounters {
    /// The work that has started and not ended.
    active: AtomicU64,
    /// The part of it that waits for a slot.
    queued: AtomicU64,
    ended: Mutex<BTreeMap<&'static str, u64>>,
    duration: Histogram,
    first_batch: Histogram,
    admission: Histogram,
}

/// A query, fragment or estimate, which is counted as running until it ends. If it is dropped before, its outcome is
/// `cancelled`.
#[derive(Debug)]
pub(crate) struct Work {
    metrics: Arc<Metrics>,
    kind: WorkKind,
    query_id: String,
    trace: TraceContext,
    started: Instant,
    started_at: SystemTime,
    has_rows: AtomicBool,
    /// The outcome, once the work has ended: `None` if it succeeded.
    outcome: OnceLock<Option<ErrorKind>>,
}

/// A guard of work that waits for a slot. The wait ends when the guard is dropped.
#[derive(Debug)]
pub(crate) struct Queued<'a> {
    counters: &'a WorkCounters,
    since: Instant,
}

impl Default for WorkCounters {
    fn default() -> Self {
        // All outcomes are counted from the start, so that a monitoring system sees the first error as a change.
        let outcomes = std::iter::once(None).chain(ErrorKind::ALL.map(Some));
        let ended = outcomes.map(|outcome| (outcome_name(outcome), 0)).collect();
        Self {
            active: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            ended: Mutex::new(ended),
            duration: Histogram::default(),
            first_batch: Histogram::default(),
            admission: Histogram::default(),
        }
    }
}

impl WorkCounters {
    /// Counts work that has ended.
    pub(super) fn count(&self, outcome: Option<ErrorKind>) {
        *lock(&self.ended).entry(outcome_name(outcome)).or_default() += 1;
    }

    pub(super) fn read(&self) -> WorkMetrics {
        let queued = self.queued.load(Ordering::Relaxed);
        WorkMetrics {
            running: self.active.load(Ordering::Relaxed).saturating_sub(queued),
            queued,
            ended: lock(&self.ended).clone(),
            duration: self.duration.read(),
            first_batch: self.first_batch.read(),
            admission: self.admission.read(),
        }
    }
}

impl Work {
    /// Starts to count the work of this head.
    pub(crate) fn start(metrics: &Arc<Metrics>, kind: WorkKind, head: &FragmentHead) -> Arc<Self> {
        metrics.of(kind).active.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            metrics: metrics.clone(),
            kind,
            query_id: head.query_id.clone(),
            trace: head.trace.clone(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            has_rows: AtomicBool::new(false),
            outcome: OnceLock::new(),
        })
    }

    /// Counts the work as waiting for a slot until the guard is dropped.
    pub(crate) fn queued(&self) -> Queued<'_> {
        let counters = self.metrics.of(self.kind);
        counters.queued.fetch_add(1, Ordering::Relaxed);
        Queued { counters, since: Instant::now() }
    }

    /// Records that rows came. Only the first rows count.
    pub(crate) fn has_rows(&self) {
        if !self.has_rows.swap(true, Ordering::Relaxed) {
            self.metrics.of(self.kind).first_batch.observe(self.started.elapsed());
        }
    }

    /// True if the work has ended without success.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.outcome.get(), Some(Some(_)))
    }

    /// Ends the work. Only the first outcome counts.
    pub(crate) fn end(&self, outcome: Option<ErrorKind>) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        let (took, name) = (self.started.elapsed(), outcome_name(outcome));
        let counters = self.metrics.of(self.kind);
        counters.active.fetch_sub(1, Ordering::Relaxed);
        counters.count(outcome);
        counters.duration.observe(took);
        let kind = match self.kind {
            WorkKind::Query => SpanKind::Query,
            WorkKind::Fragment => SpanKind::Fragment,
            WorkKind::Estimate => SpanKind::Estimate,
        };
        let ms = took.as_millis() as u64;
        tracing::debug!(query = self.query_id, trace = %self.trace, outcome = name, ms, "{} ended", kind.name());
        let span = || Span {
            trace: self.trace.clone(),
            kind,
            query_id: self.query_id.clone(),
            started: self.started_at,
            ended: SystemTime::now(),
            outcome: name,
        };
        self.metrics.report(span, self.trace.is_sampled());
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.end(Some(ErrorKind::Cancelled));
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        self.counters.admission.observe(self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Principal;
    use crate::metrics::SpanSink;

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Span>>);

    impl SpanSink for Kept {
        fn ended(&self, span: Span) {
            lock(&self.0).push(span);
        }
    }

    fn head() -> FragmentHead {
        FragmentHead::new("q", Principal::anonymous(), Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn work_is_counted_from_its_start_to_its_first_end() {
        let sink = Arc::new(Kept::default());
        let metrics = Metrics::new(Some(sink.clone()));
        let (one, two) =
            (Work::start(&metrics, WorkKind::Query, &head()), Work::start(&metrics, WorkKind::Query, &head()));
        let waiting = two.queued();
        let now = metrics.read().queries;
        assert_eq!((now.running, now.queued, now.admission.count), (1, 1, 0));
        drop(waiting);
        one.has_rows();
        one.has_rows();
        one.end(None);
        one.end(Some(ErrorKind::Internal));
        assert!(!one.has_failed() && !two.has_failed());
        drop(one);
        let now = metrics.read().queries;
        assert_eq!((now.running, now.queued, now.admission.count), (1, 0, 1));
        assert_eq!((now.ended["ok"], now.ended["internal"], now.ended["cancelled"]), (1, 0, 0));
        assert_eq!((now.duration.count, now.first_batch.count), (1, 1));
        drop(two);
        metrics.refused(WorkKind::Query, ErrorKind::NotFound);
        let now = metrics.read().queries;
        assert_eq!((now.running, now.ended["cancelled"], now.ended["not_found"]), (0, 1, 1));
        assert_eq!(now.duration.count, 2, "refused work has no duration");
        assert_eq!(metrics.read().fragments, WorkCounters::default().read());
        let outcomes: Vec<_> = lock(&sink.0).iter().map(|span| (span.kind.name(), span.outcome)).collect();
        assert_eq!(outcomes, [("query", "ok"), ("query", "cancelled")]);
    }

    #[test]
    fn each_outcome_has_a_name_of_its_own() {
        assert_eq!(WorkCounters::default().read().ended.len(), 1 + ErrorKind::ALL.len());
    }
}
