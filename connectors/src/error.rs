//! The one error type of the query path: what kind it is tells the caller what to do, the context where it arose.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of thing went wrong, and so what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The query or the request is wrong: change it.
    InvalidQuery,
    /// Something named does not exist.
    NotFound,
    /// Something of that name exists already.
    AlreadyExists,
    /// The caller is not known: log in.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// It is right, and cannot be done here.
    Unsupported,
    /// A node or a source does not answer, or answers nonsense: try again later, or ask its owner.
    SiteUnavailable,
    /// The time that was allowed is over.
    DeadlineExceeded,
    /// A limit was reached: memory, disk, concurrency, message size.
    ResourceExhausted,
    /// Somebody cancelled it.
    Cancelled,
    /// A bug of ours.
    Internal,
}

/// An error of the query path.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of anything on the query path.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind. `context` says what happened, where, and what to do: lower case, no final period.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `outer` before the context: the larger thing that was being done.
    #[must_use]
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        self.context = format!("{outer}: {}", self.context);
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, where, and what to do, without the causes.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The context and every cause below it, in one line; a cause that the line says already is not said again.
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
