//! The place of a database in errors: SQLite's error codes become kinds, with words for what to do.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::stop::Stop;
use crate::databases::Origin;
use crate::error::{Error, ErrorKind};

/// The time after which a locked file is worth another attempt.
const LOCK_RETRY: Duration = Duration::from_secs(1);

/// A database file and its names.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) origin: Origin,
    /// The absolute path of the file.
    pub(super) path: PathBuf,
    /// Seconds that a query waits for the lock of a writer.
    pub(super) lock_wait: Duration,
}

impl Place {
    /// Returns an error that names the database, and its file for the owner.
    pub(super) fn error(&self, kind: ErrorKind, text: impl AsRef<str>) -> Error {
        let (shown, url, text) = (&self.origin.shown, &self.origin.url, text.as_ref());
        Error::new(kind, format!("{shown}: {text}")).for_owner(format!("{shown} ({url}): {text}"))
    }

    /// Returns the error for work that SQLite ended. The text of the query is not repeated: it may have values.
    pub(super) fn failed(&self, error: &rusqlite::Error, stop: &Stop) -> Error {
        let (code, extended, message) = match error {
            rusqlite::Error::SqliteFailure(error, message) => {
                (error.code, error.extended_code, message.clone().unwrap_or_default())
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => (error.code, error.extended_code, msg.clone()),
            other => return self.error(ErrorKind::SiteUnavailable, format!("cannot be read: {other}")),
        };
        let (kind, text) = match code {
            ErrorCode::OperationInterrupted => return self.stopped(stop),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => return self.locked(stop),
            ErrorCode::NotADatabase => {
                (ErrorKind::InvalidData, "the file is not a SQLite database, or it is encrypted".to_owned())
            }
            ErrorCode::DatabaseCorrupt => (
                ErrorKind::InvalidData,
                format!("the file is damaged ({message}); run `PRAGMA integrity_check`, and restore it"),
            ),
            ErrorCode::CannotOpen => (ErrorKind::SiteUnavailable, self.not_opened()),
            // SQLite opens a folder, and cannot read it.
            ErrorCode::SystemIoFailure if !self.path.is_file() => (ErrorKind::SiteUnavailable, self.not_opened()),
            ErrorCode::SystemIoFailure => (ErrorKind::SiteUnavailable, format!("the file cannot be read: {message}")),
            ErrorCode::ReadOnly => (ErrorKind::SiteUnavailable, read_only(extended).to_owned()),
            ErrorCode::PermissionDenied => {
                (ErrorKind::SiteUnavailable, "the node's account may not read the file".to_owned())
            }
            ErrorCode::AuthorizationForStatementDenied => denied(&message),
            _ if message.starts_with("not authorized") => denied(&message),
            ErrorCode::OutOfMemory => (ErrorKind::ResourceExhausted, "the query needs too much memory".to_owned()),
            ErrorCode::DiskFull => (ErrorKind::ResourceExhausted, "the disk is full".to_owned()),
            ErrorCode::TooBig => {
                (ErrorKind::ResourceExhausted, "a value or the query is too long for the node's limits".to_owned())
            }
            ErrorCode::ConstraintViolation => (ErrorKind::InvalidQuery, format!("a row was rejected: {message}")),
            _ => (ErrorKind::SiteUnavailable, format!("the query failed: {message}")),
        };
        self.error(kind, text)
    }

    /// Returns the error for work that was stopped.
    pub(super) fn stopped(&self, stop: &Stop) -> Error {
        if stop.is_late() { self.origin.late() } else { self.error(ErrorKind::Cancelled, "the query was cancelled") }
    }

    fn locked(&self, stop: &Stop) -> Error {
        if stop.is_late() {
            return self.error(ErrorKind::DeadlineExceeded, "the file was locked by a writer until the deadline");
        }
        let seconds = self.lock_wait.as_secs();
        let text = format!("the file has been locked by a writer for more than {seconds} s; try again later");
        self.error(ErrorKind::SiteUnavailable, text).with_retry_after(LOCK_RETRY)
    }

    /// Returns the reason why the file cannot be opened. Only its metadata are read: to open and close the file itself
    /// would release the locks of this process.
    pub(super) fn not_opened(&self) -> String {
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "the file does not exist".to_owned(),
            Err(error) => format!("the file cannot be opened: {}", error.kind()),
            Ok(file) if file.is_dir() => "expected a file, got a folder".to_owned(),
            Ok(_) => "the file cannot be opened: the node's account needs the right to read the file. For a database in \
                      WAL mode, it also needs the right to read the files `-wal` and `-shm` beside it, or to create them"
                .to_owned(),
        }
    }

    /// Returns the error for work whose thread ended without a result.
    pub(super) fn lost(&self, until: Instant) -> Error {
        if Instant::now() >= until {
            return self.origin.late();
        }
        self.error(ErrorKind::Internal, "the thread of the query ended without a result")
    }
}

fn denied(message: &str) -> (ErrorKind, String) {
    (ErrorKind::InvalidQuery, format!("a query may only read tables and call functions ({message})"))
}

/// Returns the reason why a file that is open for reading needs a writer.
fn read_only(extended: i32) -> &'static str {
    match extended {
        ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY => {
            "a writer ended in the middle of a transaction; open the file once with an account that may write it, \
             for example with `sqlite3`"
        }
        ffi::SQLITE_READONLY_CANTINIT | ffi::SQLITE_READONLY_CANTLOCK | ffi::SQLITE_READONLY_DIRECTORY => {
            "the database is in WAL mode, and the node's account may not write the file `-shm` beside it; give the \
             account the right to write the folder, or set another journal mode"
        }
        _ => "the node's account may not write the file",
    }
}
