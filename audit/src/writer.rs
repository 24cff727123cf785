//! The thread that writes records in groups. All records that arrive during one sync share the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chain::{Chain, Draft, Effect};
use crate::entry::{Entry, Interruption};
use crate::queue::{Caller, Group, Queue};
use crate::{Error, clock};

/// Counters of a writer.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub records: AtomicU64,
    pub groups: AtomicU64,
    pub failures: AtomicU64,
}

/// Closes the queue when the writer ends, also by a panic, so that no caller waits for a writer that has ended.
struct CloseOnEnd<'a>(&'a Queue);

impl Drop for CloseOnEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
        // Waiting callers receive an error when their records are dropped.
        self.0.take();
    }
}

/// Writes the records of the queue until it is closed.
pub(crate) fn run(queue: &Arc<Queue>, mut chain: Chain, tally: &Tally) {
    let _close = CloseOnEnd(queue);
    loop {
        let group = queue.take();
        let is_last = group.is_last;
        write(queue, &mut chain, tally, group);
        if is_last {
            break;
        }
    }
    if let Err(error) = Draft::event(&Entry::Closed).and_then(|closed| chain.append(&[closed])) {
        tracing::warn!(folder = %queue.folder.display(), %error, "cannot record the end of the audit store");
    }
}

/// Writes one group, and sends the result to its callers.
fn write(queue: &Arc<Queue>, chain: &mut Chain, tally: &Tally, mut group: Group) {
    let (mut drafts, callers): (Vec<_>, Vec<_>) =
        std::mem::take(&mut group.waiting).into_iter().map(|waiting| (waiting.draft, waiting.caller)).unzip();
    let written = interruption(&group).and_then(|first| {
        drafts.splice(0..0, first);
        if drafts.is_empty() { Ok(chain.last().sequence) } else { chain.append(&drafts) }
    });
    match written {
        Ok(last) => {
            tally.records.fetch_add(drafts.len() as u64, Ordering::Relaxed);
            tally.groups.fetch_add(u64::from(!drafts.is_empty()), Ordering::Relaxed);
            if group.failure.is_some() {
                tracing::info!(folder = %queue.folder.display(), "the audit store writes records again");
            }
            let ended = drafts.iter().filter(|draft| matches!(draft.effect, Effect::Ends(_))).count();
            queue.written(group.bytes, ended);
            // The callers' records are the last ones.
            let first = last + 1 - callers.len() as u64;
            for (caller, sequence) in callers.into_iter().zip(first..) {
                if let Caller::Read(begun) = caller {
                    begun(Ok(sequence));
                }
            }
            for flush in group.flushes {
                let _ = flush.send(Ok(()));
            }
        }
        Err(cause) => {
            tally.failures.fetch_add(1, Ordering::Relaxed);
            fail(queue, group, drafts, callers, &cause);
        }
    }
}

/// Puts the records of a group back, and sends the error to its callers.
fn fail(queue: &Arc<Queue>, mut group: Group, mut drafts: Vec<Draft>, callers: Vec<Caller>, cause: &io::Error) {
    let error = Error::unwritable(&queue.folder, cause);
    if group.failure.is_none() {
        tracing::error!(%error, "an audit record cannot be written");
    }
    // The record of the interruption is made again for the next attempt.
    let drafts = drafts.split_off(drafts.len().saturating_sub(callers.len()));
    group.waiting =
        drafts.into_iter().zip(callers).map(|(draft, caller)| crate::queue::Waiting { draft, caller }).collect();
    let flushes = std::mem::take(&mut group.flushes);
    for caller in queue.failed(group, error.clone()) {
        if let Caller::Read(begun) = caller {
            begun(Err(error.clone()));
        }
    }
    for flush in flushes {
        let _ = flush.send(Err(error.clone()));
    }
}

/// Returns the record of the time without records before this group, if there was one.
fn interruption(group: &Group) -> io::Result<Option<Draft>> {
    let Group { failure, reads_refused, refusals_lost, .. } = group;
    if failure.is_none() && *reads_refused == 0 && *refusals_lost == 0 {
        return Ok(None);
    }
    let mut error = failure.as_ref().map(|failure| failure.error.to_string());
    error.iter_mut().for_each(|error| crate::bounds::cut(error, crate::bounds::MAX_TEXT));
    let since = failure.as_ref().map(|failure| clock::to_text(failure.since));
    let entry = Interruption { since, error, reads_refused: *reads_refused, refusals_lost: *refusals_lost };
    Draft::event(&Entry::Interrupted(entry)).map(Some)
}
