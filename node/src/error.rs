//! The error type of nodes and of the programs that run them: a kind, a context and the causes.

use std::fmt;

/// The kinds of errors that a program treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is wrong: a config, a descriptor, an argument.
    Config,
    /// The input is right, and the work failed.
    Failed,
    /// The reader of an output has closed it. There is nothing to report.
    BrokenPipe,
    /// The caller stopped the work.
    Interrupted,
}

/// An error of a node, or of a program that runs one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    /// The context for others than the node's owner, if it differs.
    public_context: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns an error of kind [`ErrorKind::Config`].
    pub fn config(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, context.into())
    }

    /// Returns an error of kind [`ErrorKind::Failed`].
    pub fn failed(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, context.into())
    }

    /// Returns an error of kind [`ErrorKind::Interrupted`].
    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted".into())
    }

    /// Returns the error of writing to an output: [`ErrorKind::BrokenPipe`] if the reader has closed the output, and
    /// [`ErrorKind::Failed`] otherwise.
    pub fn output(what: impl fmt::Display, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let kind = match io_kind(&error) {
            Some(std::io::ErrorKind::BrokenPipe) => ErrorKind::BrokenPipe,
            _ => ErrorKind::Failed,
        };
        let full = io_kind(&error).is_some_and(is_full);
        let hint = if full { ": the disk is full; make room and try again" } else { "" };
        Self::new(kind, format!("cannot write {what}{hint}")).with_source(error)
    }

    fn new(kind: ErrorKind, context: String) -> Self {
        Self { kind, context, public_context: None, source: None }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns what others than the node's owner may see: without locations of files, and without causes.
    pub fn public(&self) -> &str {
        self.public_context.as_deref().unwrap_or("the log of the node has the reason")
    }

    /// Returns the context and every cause in one line, as the node's owner may see it. Omits a cause whose message is
    /// already in the line.
    pub fn owner_chain(&self) -> String {
        portolan_connectors::with_causes(&self.context, self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}

impl From<portolan_catalog::Diagnostics> for Error {
    fn from(diagnostics: portolan_catalog::Diagnostics) -> Self {
        let public_context = Some(diagnostics.without_locations());
        Self { public_context, ..Self::config(diagnostics.to_string()) }
    }
}

impl From<portolan_engine::Error> for Error {
    fn from(error: portolan_engine::Error) -> Self {
        // One line, whatever a node sent. If the error is of this process, its caller is the owner of the data.
        Self::failed(portolan_catalog::printable(&error.owner_chain()))
    }
}

/// Returns the kind of the I/O error among the causes of `error`, if there is one.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        if let Some(arrow::error::ArrowError::IoError(_, io)) = cause.downcast_ref::<arrow::error::ArrowError>() {
            return Some(io.kind());
        }
        if let Some(parquet::errors::ParquetError::External(inner)) = cause.downcast_ref() {
            return io_kind(inner.as_ref());
        }
        next = cause.source();
    }
    None
}

/// True if an I/O error means that the disk is full.
fn is_full(kind: std::io::ErrorKind) -> bool {
    matches!(
        kind,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge
    )
}
