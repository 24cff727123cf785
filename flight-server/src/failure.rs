//! The errors that many files build, and what becomes of an error: a status for the caller and a line in the log.

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use portolan_connectors::node::status::to_status;
use portolan_engine::{Error, ErrorKind};
use tonic::Status;

/// The status of a failed call, with one line in the log. `call` is what failed; `who` asked for it.
pub(crate) fn refuse(error: &Error, call: &str, who: &str) -> Status {
    match error.kind() {
        ErrorKind::Internal => tracing::error!(call, who, kind = ?error.kind(), "{}", error.chain()),
        _ => tracing::warn!(call, who, kind = ?error.kind(), "{}", error.chain()),
    }
    to_status(error)
}

/// A request that cannot be right.
pub(crate) fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}

/// Something that this server does not do.
pub(crate) fn unsupported(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, context)
}

/// A statement that its client cancelled.
pub(crate) fn statement_cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the statement was cancelled")
}

/// A caller who did not authenticate.
pub(crate) fn unauthenticated(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unauthenticated, context)
}

/// An answer that could not be put into Arrow's form.
pub(crate) fn encoding(error: FlightError) -> Error {
    match error {
        FlightError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::new(ErrorKind::Internal, "an answer cannot be encoded").with_source(other),
        },
        other => Error::new(ErrorKind::Internal, "an answer cannot be encoded").with_source(other),
    }
}

/// As [`encoding`], for errors of Arrow itself.
pub(crate) fn arrow(error: ArrowError) -> Error {
    encoding(FlightError::Arrow(error))
}
