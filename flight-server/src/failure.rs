//! Errors that many files create, and what happens to an error: a status for the caller and a line in the log.

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use portolan_connectors::node::status::{to_owner_status, to_status};
use portolan_engine::{Error, ErrorKind};
use tonic::Status;

/// Returns the status of a failed call, and logs one line. `call` is the call that failed, `who` is its caller, and
/// `trace` is the trace of the client, if the caller sent one. The status for an administrator has what only the owner of
/// the data may see.
pub(crate) fn refuse(error: &Error, call: &str, who: &str, is_administrator: bool, trace: Option<&str>) -> Status {
    let kind = error.kind().name();
    match error.kind() {
        ErrorKind::Internal => tracing::error!(call, who, trace, kind, "{}", error.owner_chain()),
        _ => tracing::warn!(call, who, trace, kind, "{}", error.owner_chain()),
    }
    if is_administrator { to_owner_status(error) } else { to_status(error) }
}

/// Returns the status of a failed call as [`refuse`] does, for a caller that the server has not identified.
pub(crate) fn refuse_unknown(error: &Error, call: &str) -> Status {
    refuse(error, call, "unknown", false, None)
}

/// Returns the error for an invalid request.
pub(crate) fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}

/// Returns the error for a request that this server does not support.
pub(crate) fn unsupported(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, context)
}

/// Returns the error for a statement that its client cancelled.
pub(crate) fn statement_cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the statement was cancelled")
}

/// Returns the error for a caller that did not authenticate.
pub(crate) fn unauthenticated(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unauthenticated, context)
}

/// Returns the error for a response that could not be encoded as Arrow.
pub(crate) fn encoding(error: FlightError) -> Error {
    match error {
        FlightError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::new(ErrorKind::Internal, "a response cannot be encoded").with_source(other),
        },
        other => Error::new(ErrorKind::Internal, "a response cannot be encoded").with_source(other),
    }
}

/// Returns the error of [`encoding`] for an error of Arrow itself.
pub(crate) fn arrow(error: ArrowError) -> Error {
    encoding(FlightError::Arrow(error))
}
