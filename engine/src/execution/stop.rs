//! The signal that stops a query, and the error that its reader gets.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::errors::cancelled;
use crate::Error;

/// The signal that stops a query. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    signal: CancellationToken,
    /// The reason of the engine; `None` if a principal cancelled the query.
    reason: Arc<OnceLock<Error>>,
}

impl Stop {
    /// Returns a signal that also comes when `parent` is cancelled.
    pub(crate) fn below(parent: &CancellationToken) -> Self {
        Self { signal: parent.child_token(), ..Self::default() }
    }

    /// Cancels the query for a principal.
    pub(crate) fn cancel(&self) {
        self.signal.cancel();
    }

    /// Ends the query for a reason of the engine, which the reader of the query gets as the error.
    pub(crate) fn end(&self, reason: Error) {
        // Only the first reason counts.
        let _ = self.reason.set(reason);
        self.signal.cancel();
    }

    /// Returns the signal alone.
    pub(crate) fn signal(&self) -> &CancellationToken {
        &self.signal
    }

    /// True if the query was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Returns when the query was stopped.
    pub(crate) fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.signal.clone().cancelled_owned()
    }

    /// Returns the error of the stopped query.
    pub(crate) fn error(&self) -> Error {
        self.reason.get().map_or_else(cancelled, Error::flat)
    }

    /// Returns the error of a query that failed with `error`. If the engine ended the query, its reason comes first:
    /// the code that noticed the signal does not know the reason.
    pub(crate) fn instead_of(&self, error: Error) -> Error {
        self.reason.get().map_or(error, Error::flat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_reason_of_the_engine_takes_the_place_of_other_errors() {
        let session = CancellationToken::new();
        let (cancelled, ended) = (Stop::below(&session), Stop::below(&session));
        ended.end(Error::new(ErrorKind::ResourceExhausted, "no memory"));
        assert!(ended.is_stopped() && !cancelled.is_stopped());
        session.cancel();
        assert!(cancelled.is_stopped());
        let other = || Error::new(ErrorKind::SiteUnavailable, "down");
        let kinds = |stop: &Stop| [stop.error().kind(), stop.instead_of(other()).kind()];
        assert_eq!(kinds(&cancelled), [ErrorKind::Cancelled, ErrorKind::SiteUnavailable]);
        assert_eq!(kinds(&ended), [ErrorKind::ResourceExhausted; 2]);
    }
}
