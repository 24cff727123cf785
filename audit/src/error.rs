//! The one error type of the crate. The kind shows the caller what to do.

use std::fmt;
use std::path::Path;

/// The kind of an error, which decides what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk does not take records: refuse reads until the operator frees space or repairs the disk.
    Unwritable,
    /// Too many reads or records wait: refuse the read, and let the client try again later.
    Busy,
    /// Another process has opened the store.
    InUse,
    /// The records on the disk are broken: let the operator verify them.
    Damaged,
    /// The store was closed.
    Closed,
    /// The records cannot be read.
    Unreadable,
}

/// An error of the audit store. It can be cloned, because one failed write fails many reads.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
}

/// A result of the audit store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns an error of this kind. `context` says what happened, where, and what to do.
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into() }
    }

    /// Returns the error of a record that cannot be written in this folder.
    pub(crate) fn unwritable(folder: &Path, cause: impl fmt::Display) -> Self {
        let folder = folder.display();
        let text = format!(
            "the audit record cannot be written in {folder}: {cause}; reads are refused until a record can be written: \
             free space on this disk, or repair it"
        );
        Self::new(ErrorKind::Unwritable, text)
    }

    /// Returns the error of a file or folder that cannot be read.
    pub(crate) fn unreadable(path: &Path, cause: impl fmt::Display) -> Self {
        let text = format!("the audit records in {} cannot be read: {cause}", path.display());
        Self::new(ErrorKind::Unreadable, text)
    }

    /// Returns the error of a closed store.
    pub(crate) fn closed(folder: &Path) -> Self {
        let text = format!("the audit store in {} is closed: start the node again", folder.display());
        Self::new(ErrorKind::Closed, text)
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {}
