//! The one error type of the command line: what a person reads on stderr, and the exit code that goes with it.

use std::fmt;

/// Which of the exit codes an error ends the process with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for is wrong: a config, a descriptor, an argument. Exit code 2.
    Config,
    /// It was right, and did not work. Exit code 1.
    Failed,
    /// Whoever reads standard output is gone: nothing to say. Exit code 0.
    BrokenPipe,
    /// The person at the keyboard stopped it. Exit code 130.
    Interrupted,
}

/// An error that ends a command.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of a command or a part of it.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that ends with exit code 2.
    pub fn config(context: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Config, context: context.into(), source: None }
    }

    /// An error that ends with exit code 1.
    pub fn failed(context: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, context: context.into(), source: None }
    }

    /// Somebody pressed Ctrl-C.
    pub fn interrupted() -> Self {
        Self { kind: ErrorKind::Interrupted, context: "interrupted".into(), source: None }
    }

    /// What writing to an output gave; a reader that went away is no error to speak of.
    pub fn output(what: impl fmt::Display, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let kind = match io_kind(&error) {
            Some(std::io::ErrorKind::BrokenPipe) => ErrorKind::BrokenPipe,
            _ => ErrorKind::Failed,
        };
        let full = io_kind(&error).is_some_and(is_full);
        let hint = if full { ": the disk is full; make room and try again" } else { "" };
        Self { kind, context: format!("cannot write {what}{hint}"), source: Some(error.into()) }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Which exit code it ends with.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Config => 2,
            ErrorKind::Failed => 1,
            ErrorKind::BrokenPipe => 0,
            ErrorKind::Interrupted => 130,
        }
    }

    /// The context and every cause below it, in one line; a cause that the line says already is not said again.
    pub fn chain(&self) -> String {
        let mut text = self.context.clone();
        let mut next = std::error::Error::source(self);
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

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}

impl From<portolan_catalog::Diagnostics> for Error {
    fn from(diagnostics: portolan_catalog::Diagnostics) -> Self {
        Self::config(diagnostics.to_string())
    }
}

impl From<portolan_engine::Error> for Error {
    fn from(error: portolan_engine::Error) -> Self {
        Self::failed(error.chain())
    }
}

/// The kind of the I/O error at the bottom of `error`, where there is one.
pub(crate) fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
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

/// Whether an I/O error means that there is no room left.
pub(crate) fn is_full(kind: std::io::ErrorKind) -> bool {
    matches!(
        kind,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge
    )
}
