//! Turns panics of the libraries that read sources into errors. A source must not take down its node, nor other
//! sources.
//!
//! Opening a port, computing its statistics and scanning it use this module. Each error names the port, and the file if
//! it is known.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Panic(String);

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its reader panicked: {}", self.0)
    }
}

impl std::error::Error for Panic {}

impl Panic {
    /// Returns the message of `payload`, which unwound a thread.
    pub(crate) fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Self(text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned()))
    }
}

/// Runs the work.
///
/// # Errors
/// The work panicked.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    // The state that the work has changed is dropped with the work.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panic::of(payload.as_ref()))
}

/// Awaits the work.
///
/// # Errors
/// The work panicked.
pub(crate) async fn caught_async<T>(work: impl Future<Output = T>) -> Result<T, Panic> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|payload| Panic::of(payload.as_ref()))
}
