//! The one error type of the query path. The kind of an error shows the caller what to do, and the context shows where
//! the error arose.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kind of an error, which decides what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The query or the request is invalid: change it.
    InvalidQuery,
    /// A named object does not exist.
    NotFound,
    /// An object with this name already exists.
    AlreadyExists,
    /// The caller is not authenticated: log in.
    Unauthenticated,
    /// The caller is not authorized.
    PermissionDenied,
    /// The query or the request is valid, but this node does not support it.
    Unsupported,
    /// A node or a source does not answer, or its answer is not valid: try again later, or contact the owner.
    SiteUnavailable,
    /// The time limit was exceeded.
    DeadlineExceeded,
    /// A limit was reached, such as memory, disk, concurrency or message size.
    ResourceExhausted,
    /// The query was cancelled.
    Cancelled,
    /// A bug in Portolan.
    Internal,
}

/// An error of the query path.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    retry_after: Option<Duration>,
}

/// A result on the query path.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns an error of this kind. `context` says what happened, where, and what to do: lower case, no final period.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None, retry_after: None }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `outer`, the larger operation that failed, before the context.
    #[must_use]
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        self.context = format!("{outer}: {}", self.context);
        self
    }

    /// Sets the time after which the caller can try again.
    #[must_use]
    pub fn with_retry_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.retry_after = time.into();
        self
    }

    /// Returns the time after which the caller can try again, if it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns what happened, where, and what to do, without the causes.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Returns the context and every cause in one line. Omits a cause whose message is already in the line.
    pub fn chain(&self) -> String {
        let mut text = self.context.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            let said = cause.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}
