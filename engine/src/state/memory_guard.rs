//! The guard over the memory of the host: a thread that compares the memory of the process with its limit, and ends the
//! largest query before the kernel ends the process.
//!
//! The memory that matters here is what nothing counts, so the guard cannot know which query holds it. The query that
//! has reserved the most is the likeliest one, and its end frees the most in any case. A small query that began after
//! the last end is not the reason if the memory has not grown since.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Activity;
use crate::execution::admission::Admission;
use crate::execution::pressure::{Level, Pressure, ResidentMemory};
use crate::metrics::Metrics;
use crate::{Error, ErrorKind};

/// The time between two readings. A reading takes some microseconds. A query that copies values on two cores may get
/// some 100 MB meanwhile.
const INTERVAL: Duration = Duration::from_millis(50);
/// The time after which another query is ended if the memory still grows. A query notices its end when its operators
/// yield.
const PAUSE: Duration = Duration::from_millis(500);
/// The time after which another query is ended if the memory does not fall. The allocator returns freed memory to the
/// system about a second later.
const SETTLED: Duration = Duration::from_secs(3);

/// The guard over the memory of the host, and the parts of the engine that it uses.
#[derive(Debug)]
pub(crate) struct MemoryGuard {
    pressure: Arc<Pressure>,
    admission: Admission,
    activity: Arc<Activity>,
    metrics: Arc<Metrics>,
    last: Option<Ended>,
}

/// The last query that was ended, until the pressure is low.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at: Instant,
    /// The memory that the process held at the end, in bytes, or less if the pressure was not critical since.
    resident: u64,
}

impl MemoryGuard {
    /// Starts the thread of a guard. The thread ends when the sender is dropped. `None` if there is no limit, or the
    /// system does not report the memory of the process.
    ///
    /// The thread holds only parts of the engine, so that it does not keep an engine that is dropped.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub(crate) fn start(
        memory: Arc<dyn ResidentMemory>,
        pressure: &Arc<Pressure>,
        admission: &Admission,
        activity: &Arc<Activity>,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Option<Sender<()>>> {
        let Some(resident) = memory.bytes().filter(|_| pressure.has_limit()) else { return Ok(None) };
        let mut guard = Self {
            pressure: pressure.clone(),
            admission: admission.clone(),
            activity: activity.clone(),
            metrics: metrics.clone(),
            last: None,
        };
        guard.look(resident, Instant::now());
        let (sender, stop) = channel();
        std::thread::Builder::new().name("portolan-memory".into()).spawn(move || guard.watch(&*memory, &stop))?;
        Ok(Some(sender))
    }

    fn watch(mut self, memory: &dyn ResidentMemory, stop: &Receiver<()>) {
        while stop.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            // Without a reading, the last one stays.
            if let Some(resident) = memory.bytes() {
                self.look(resident, Instant::now());
            }
        }
    }

    /// Acts on a reading of the memory that the process holds.
    fn look(&mut self, resident: u64, now: Instant) {
        let was_high = self.pressure.is_high();
        let level = self.pressure.observe(resident);
        if was_high != self.pressure.is_high() {
            tracing::debug!(?level, "{}", self.pressure);
        }
        match level {
            Level::Low => {
                self.last = None;
                if was_high {
                    self.admission.admit_waiting();
                }
            }
            // The memory has fallen. What it grows by from now on belongs to others than the query that was ended.
            Level::High => {
                if let Some(last) = &mut self.last {
                    last.resident = last.resident.min(resident);
                }
            }
            Level::Critical => {
                let settled = self.last.and_then(|last| last.settled(resident));
                if self.last.is_none_or(|last| last.allows_another(resident, now)) && self.end_largest(settled) {
                    self.last = Some(Ended { at: now, resident });
                }
            }
        }
    }

    /// Ends the query that has reserved the most. `false` if there is none.
    fn end_largest(&self, settled: Option<Instant>) -> bool {
        let Some((query, bytes)) = self.activity.largest_query(settled) else { return false };
        tracing::warn!(query = query.id, bytes, "{}: the largest query is ended", self.pressure);
        let what = format!(
            "{}, and the node ended this query, which had reserved the most memory ({bytes} bytes): reduce the query, \
             or lower limits.memory, limits.query_memory or limits.concurrent_queries of the node",
            self.pressure
        );
        query.stop.end(Error::new(ErrorKind::ResourceExhausted, what));
        self.metrics.ended_for_memory();
        true
    }
}

impl Ended {
    fn allows_another(self, resident: u64, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at);
        since >= SETTLED || (since >= PAUSE && resident > self.resident)
    }

    /// Returns the time since which the process has not held more memory.
    fn settled(self, resident: u64) -> Option<Instant> {
        (resident <= self.resident).then_some(self.at)
    }
}

#[cfg(test)]
mod tests;
