//! The origin of rows in errors: the port and the file. Only the owner of the port sees where the file is stored.

use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use portolan_catalog::{PortRef, names_location};

use super::adapter::ColumnError;
use super::listing::ListingError;
use super::location::Location;
use crate::data_fault::DataFault;
use crate::error::{Error, ErrorKind};
use crate::panics::Panic;
use crate::source::SourceCounter;

/// The origin of a file's rows, for errors.
#[derive(Debug)]
pub(super) struct Origin {
    /// The port, or the name of files without a port.
    pub(super) port: PortRef,
    /// True if the files belong to a port. Errors about other files do not name one.
    pub(super) has_port: bool,
    /// The location of the files.
    pub(super) location: Location,
    /// The strings that no error may repeat.
    pub(super) redact: Redaction,
    /// Counts the errors.
    pub(super) counter: Arc<SourceCounter>,
}

/// The length of the shortest string that is replaced, in bytes. A shorter one is in ordinary words, and replacing it
/// would show it by the gaps.
const SHORTEST_SECRET: usize = 4;

/// Strings that no error may repeat.
#[derive(Clone, Default)]
pub(super) struct Redaction(pub(super) Vec<String>);

impl Origin {
    /// Returns the beginning of each message, which names the port.
    pub(super) fn prefix(&self) -> String {
        if self.has_port { format!("port {}: ", self.port) } else { String::new() }
    }

    /// Returns the error for a file that cannot be read.
    pub(super) fn unreadable(&self, file: &Path, cause: DataFusionError) -> DataFusionError {
        if let Some(fault) = data_fault(&cause) {
            return self.faulty(file, fault);
        }
        let name = self.location.name_of(file);
        let what = if is_gone(&cause) { "is gone" } else { "cannot be read" };
        self.unavailable(format!("{}file {name} {what}", self.prefix()), &cause)
    }

    /// Returns the error for data that does not fit the contract. Others than the owner see the name of the file, and the
    /// fault: it names no location.
    pub(super) fn faulty(&self, file: &Path, fault: &DataFault) -> DataFusionError {
        self.counter.failed_to_read();
        let message = |name: &str| self.redact.clean(&format!("{}file {name}: {fault}", self.prefix()));
        let others = message(file.filename().unwrap_or_default());
        let error = Error::new(ErrorKind::InvalidData, others).for_owner(message(&self.location.name_of(file)));
        DataFusionError::External(Box::new(error))
    }

    /// Returns the error for a file whose reader panicked.
    pub(super) fn broken(&self, file: &Path, panic: &Panic) -> DataFusionError {
        let name = self.location.name_of(file);
        self.unavailable(format!("{}file {name} cannot be read", self.prefix()), panic)
    }

    /// Returns the error for files that cannot be listed.
    pub(super) fn unlisted(&self, error: ListingError) -> DataFusionError {
        let context = |at: &str| format!("{}{}", self.prefix(), error.message(at));
        let (owner, others) = (context(self.location.as_str()), context(self.location.last_segment()));
        let cause = match &error {
            ListingError::Store(cause) => Some(cause.to_string()),
            _ => None,
        };
        self.error(&owner, &others, cause)
    }

    /// Returns the error for files that cannot be found or read.
    pub(super) fn unavailable(&self, context: String, cause: &dyn std::error::Error) -> DataFusionError {
        self.error(&context, &context, Some(cause.to_string()))
    }

    /// Returns the error for files that exist and cannot be used.
    pub(super) fn failed(&self, context: String) -> DataFusionError {
        self.error(&context, &context, None)
    }

    /// Returns an error that names the location of the files to the owner alone.
    fn error(&self, owner: &str, others: &str, cause: Option<String>) -> DataFusionError {
        self.counter.failed_to_read();
        let (mut owner, mut others) = (self.redact.clean(owner), self.for_others(&self.redact.clean(others)));
        if let Some(cause) = cause {
            let cause = self.redact.clean(&cause);
            owner = format!("{owner}: {cause}");
            // Readers and stores may add a location to any message.
            let cause = self.location.without_folders(&cause);
            if !names_location(&cause) {
                others = format!("{others}: {cause}");
            }
        }
        let error = Error::new(ErrorKind::SiteUnavailable, others).for_owner(owner);
        DataFusionError::External(Box::new(error))
    }

    /// Returns a message for others than the owner: with the names of files, but without their folders.
    fn for_others(&self, context: &str) -> String {
        let context = self.location.without_folders(context);
        match names_location(&context) {
            true => format!("{}one of its files cannot be read", self.prefix()),
            false => context,
        }
    }

    /// Adds the name of the file to an error of its reader. Errors of the query's own expressions stay as they are.
    pub(super) fn name(&self, file: &Path, error: DataFusionError) -> DataFusionError {
        if let Some(fault) = data_fault(&error) {
            return self.faulty(file, fault);
        }
        if let DataFusionError::External(column) = error.find_root()
            && let Some(ColumnError(what)) = column.downcast_ref()
        {
            return self.failed(format!("{}file {}: {what}", self.prefix(), self.location.name_of(file)));
        }
        if is_of_file(&error) { self.unreadable(file, error) } else { error }
    }
}

impl Redaction {
    /// Returns `text` with every secret replaced that is not shorter than [`SHORTEST_SECRET`].
    pub(super) fn clean(&self, text: &str) -> String {
        let secrets = self.0.iter().filter(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redaction({})", self.0.len())
    }
}

/// Returns the fault of the data that caused an error.
pub(super) fn data_fault(error: &DataFusionError) -> Option<&DataFault> {
    match error.find_root() {
        DataFusionError::External(cause) => cause.downcast_ref(),
        _ => None,
    }
}

/// True if an error, or one of its causes, is that a file is missing.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. })) {
            return true;
        }
        next = error.source();
    }
    false
}

/// True if an error, or one of its causes, is that a server does not respond.
pub(super) fn is_unanswered(error: &(dyn std::error::Error + 'static)) -> bool {
    use HttpErrorKind::{Connect, Interrupted, Request, Timeout};
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return matches!(error.kind(), Connect | Request | Timeout | Interrupted);
        }
        next = error.source();
    }
    false
}

/// True if an error comes from the bytes of a file, and not from an expression of the query that runs in the scan.
fn is_of_file(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => true,
        DataFusionError::ArrowError(error, _) => is_of_file_in_arrow(error),
        DataFusionError::External(error) => {
            error.is::<object_store::Error>() || error.is::<ParquetError>() || error.is::<std::io::Error>()
        }
        _ => false,
    }
}

fn is_of_file_in_arrow(error: &ArrowError) -> bool {
    match error {
        ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::IpcError(_)
        | ArrowError::IoError(..)
        | ArrowError::ParquetError(_)
        | ArrowError::SchemaError(_) => true,
        ArrowError::ExternalError(error) => {
            error.is::<ParquetError>() || error.is::<object_store::Error>() || error.is::<std::io::Error>()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Redaction;

    #[test]
    fn secrets_are_replaced_and_single_letters_are_not() {
        let redaction = Redaction(vec!["n".to_owned(), String::new(), "hunter2".to_owned()]);
        assert_eq!(redaction.clean("column `n`: hunter2 is Null"), "column `n`: *** is Null");
    }
}
