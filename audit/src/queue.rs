//! The records that wait for the writer, within bounds.
//!
//! A record of a read's end always finds a place: the bound on open reads bounds these records, too. A record of a
//! refusal is lost if the queue is full, and is counted.

use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::chain::{Draft, Effect};
use crate::{Error, ErrorKind, Result, Settings};

/// A record that waits, with the caller that waits for it.
pub(crate) struct Waiting {
    pub draft: Draft,
    pub caller: Caller,
}

/// The caller that waits for a record.
pub(crate) enum Caller {
    /// A read that has not begun.
    Read(Begun),
    /// No caller.
    Nobody,
}

/// Receives the sequence number of a read's durable `began` record, or the error.
pub(crate) type Begun = Box<dyn FnOnce(Result<u64>) + Send>;

/// A caller that waits until all records before are durable.
pub(crate) type Flush = oneshot::Sender<Result<()>>;

/// The queue, which callers and the writer share.
pub(crate) struct Queue {
    pub folder: PathBuf,
    pub settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
}

/// A failed write.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The time of the first failed write.
    pub since: SystemTime,
    /// The error of the last failed write.
    pub error: Error,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    flushes: Vec<Flush>,
    /// The size of the records in `waiting` and in the group that the writer has.
    bytes: usize,
    /// The reads that wait to begin, or whose end is not durable.
    open: usize,
    failure: Option<Failure>,
    reads_refused: u64,
    refusals_lost: u64,
    closed: bool,
    /// True if a caller waits for the disk.
    urgent: bool,
}

/// The records that the writer writes next.
#[derive(Default)]
pub(crate) struct Group {
    pub waiting: Vec<Waiting>,
    /// The size of the records in `waiting`.
    pub bytes: usize,
    pub flushes: Vec<Flush>,
    /// The failure that this group may end.
    pub failure: Option<Failure>,
    /// The reads that the store refused because of a failure.
    pub reads_refused: u64,
    /// The refusals that have no record.
    pub refusals_lost: u64,
    /// True if no other group follows.
    pub is_last: bool,
}

impl Queue {
    pub(crate) fn new(folder: PathBuf, settings: Settings) -> Self {
        Self { folder, settings, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the record of a read that begins, or refuses the read.
    pub(crate) fn begin(&self, draft: Draft, caller: Begun) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::closed(&self.folder));
        }
        if let Some(failure) = &state.failure {
            let error = failure.error.clone();
            state.reads_refused += 1;
            return Err(error);
        }
        if state.open >= self.settings.open_reads() || state.bytes + draft.body.len() > self.settings.queue_bytes {
            let (open, bytes) = (state.open, state.bytes);
            let text = format!(
                "{open} reads are open and {bytes} bytes of audit records wait for the disk; try again later, or raise \
                 the bounds of the audit store"
            );
            return Err(Error::new(ErrorKind::Busy, text));
        }
        state.open += 1;
        self.push(&mut state, draft, Caller::Read(caller));
        Ok(())
    }

    /// Adds the record of a read's end.
    pub(crate) fn end(&self, draft: Draft) {
        self.push(&mut self.lock(), draft, Caller::Nobody);
    }

    /// Adds the record of a refusal, or counts it if the queue is full.
    pub(crate) fn refuse(&self, draft: Draft) {
        let mut state = self.lock();
        if state.bytes + draft.body.len() > self.settings.queue_bytes {
            state.refusals_lost += 1;
        } else {
            self.push(&mut state, draft, Caller::Nobody);
        }
    }

    /// Adds a caller that waits until the records before are durable.
    pub(crate) fn flush(&self, caller: Flush) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::closed(&self.folder));
        }
        if let Some(failure) = &state.failure {
            return Err(failure.error.clone());
        }
        state.flushes.push(caller);
        state.urgent = true;
        self.changed.notify_all();
        Ok(())
    }

    fn push(&self, state: &mut State, draft: Draft, caller: Caller) {
        if state.closed {
            return;
        }
        let waits = matches!(caller, Caller::Read(_));
        let wake = state.waiting.is_empty() || (waits && !state.urgent);
        state.urgent |= waits;
        state.bytes += draft.body.len();
        state.waiting.push(Waiting { draft, caller });
        if wake {
            self.changed.notify_all();
        }
    }

    /// Ends the queue. The writer writes the records that it has.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Returns the failure of the last write, if it failed.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    /// Waits for records, and takes all of them. After a failure it waits for the time of the next attempt.
    pub(crate) fn take(&self) -> Group {
        let Settings { write_delay, retry, .. } = self.settings;
        let wait = |state, time, ready: fn(&State) -> bool| {
            let waited = self.changed.wait_timeout_while(state, time, |state| !ready(state));
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let mut state = self.lock();
        if state.failure.is_some() {
            state = wait(state, retry, |state| state.closed);
        } else {
            while state.waiting.is_empty() && !state.urgent && !state.closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state = wait(state, write_delay, |state| state.urgent || state.closed);
        }
        state.urgent = false;
        Group {
            // The writer has no other group.
            bytes: state.bytes,
            waiting: mem::take(&mut state.waiting),
            flushes: mem::take(&mut state.flushes),
            failure: state.failure.clone(),
            reads_refused: mem::take(&mut state.reads_refused),
            refusals_lost: mem::take(&mut state.refusals_lost),
            is_last: state.closed,
        }
    }

    /// Ends the failure, and frees the places of this many bytes of records, and of reads whose end is durable.
    pub(crate) fn written(&self, bytes: usize, ended: usize) {
        let mut state = self.lock();
        state.bytes -= bytes.min(state.bytes);
        state.open -= ended.min(state.open);
        state.failure = None;
    }

    /// Records a failure, and puts the records back for which no caller waits. Returns the callers that wait.
    pub(crate) fn failed(self: &Arc<Self>, group: Group, error: Error) -> Vec<Caller> {
        let (callers, mut kept): (Vec<_>, Vec<_>) =
            group.waiting.into_iter().partition(|waiting| waiting.draft.effect == Effect::Begins);
        let mut state = self.lock();
        let since = group.failure.map_or_else(SystemTime::now, |failure| failure.since);
        state.failure = Some(Failure { since, error });
        state.open -= callers.len().min(state.open);
        state.reads_refused += group.reads_refused + callers.len() as u64;
        state.refusals_lost += group.refusals_lost;
        let dropped: usize = callers.iter().map(|waiting| waiting.draft.body.len()).sum();
        state.bytes -= dropped.min(state.bytes);
        kept.append(&mut state.waiting);
        state.waiting = kept;
        callers.into_iter().map(|waiting| waiting.caller).collect()
    }
}
