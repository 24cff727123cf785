//! The end of work on a thread before it is done: at a deadline, or if its result is not needed any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, InterruptHandle};

use crate::poison::lock;

/// The instructions of SQLite's machine between two looks at the clock. They take well below a millisecond.
const INSTRUCTIONS: i32 = 4000;
/// The pause between two attempts to get a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The switch that stops the work on a connection.
pub(super) struct Stop {
    deadline: Instant,
    cancelled: AtomicBool,
    /// The time by which a part of the work must be done, if it is before the deadline.
    limit: Mutex<Option<Instant>>,
    /// Interrupts the connection while the work runs. It is taken away before the connection does other work.
    handle: Mutex<Option<InterruptHandle>>,
}

impl Stop {
    pub(super) fn new(deadline: Instant) -> Arc<Self> {
        Arc::new(Self {
            deadline,
            cancelled: AtomicBool::new(false),
            limit: Mutex::default(),
            handle: Mutex::default(),
        })
    }

    /// Stops the work.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(handle) = lock(&self.handle).as_ref() {
            handle.interrupt();
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// True if the deadline is over.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// True if the work must end.
    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled() || self.is_late()
    }

    /// Runs a part of the work that may take this time at most. Returns `None` if SQLite stopped the part after it.
    ///
    /// # Errors
    /// The error of the part.
    pub(super) fn within<T>(
        &self,
        time: Duration,
        part: impl FnOnce() -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        *lock(&self.limit) = Some(Instant::now() + time);
        let result = part();
        *lock(&self.limit) = None;
        match result {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
                if self.is_over() { Err(error) } else { Ok(None) }
            }
            other => other.map(Some),
        }
    }

    fn stops_here(&self) -> bool {
        self.is_over() || lock(&self.limit).is_some_and(|limit| Instant::now() >= limit)
    }

    /// Makes a connection stop with this switch, and wait for locks up to `lock_wait`.
    ///
    /// # Errors
    /// SQLite refuses the handlers.
    pub(super) fn attach(self: &Arc<Self>, link: &mut Connection, lock_wait: Duration) -> rusqlite::Result<()> {
        let stop = self.clone();
        link.progress_handler(INSTRUCTIONS, Some(move || stop.stops_here()))?;
        let (stop, mut first) = (self.clone(), Instant::now());
        let wait = move |attempt: i32| {
            if attempt == 0 {
                first = Instant::now();
            }
            let waits = !stop.stops_here() && first.elapsed() < lock_wait;
            if waits {
                std::thread::sleep(LOCK_PAUSE);
            }
            waits
        };
        link.busy_handler(Some(wait))?;
        *lock(&self.handle) = Some(link.get_interrupt_handle());
        Ok(())
    }

    /// Frees a connection from this switch. After it, the switch has no effect on the connection.
    ///
    /// # Errors
    /// SQLite refuses to remove the handlers.
    pub(super) fn detach(&self, link: &mut Connection) -> rusqlite::Result<()> {
        *lock(&self.handle) = None;
        link.progress_handler(0, None::<fn() -> bool>)?;
        link.busy_handler(None::<fn(i32) -> bool>)
    }
}

/// Stops the work when it is dropped.
pub(super) struct StopOnDrop(pub(super) Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
