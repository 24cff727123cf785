//! Connections to the file: their settings, their limits, and what their statements may do.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, FileControl, OpenFlags};

use super::place::Place;

/// The largest value or row, in bytes.
const MAX_VALUE: i32 = 64 << 20;
/// The longest query, in bytes.
const MAX_QUERY: i32 = 16 << 20;
/// The deepest expression.
const MAX_DEPTH: i32 = 1000;
/// The memory of the page cache of a connection, in KiB.
const CACHE_KIB: u32 = 8192;
/// Each connection belongs to one thread. The path of a file has no links: one that appears later may lead out of the root.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

/// A connection, and what is known about the snapshot that it last read.
pub(super) struct Link {
    pub(super) connection: Connection,
    /// The file that is open: a path can name another one later.
    file: Option<FileId>,
    /// The version of the data that `checked` is about, in the numbers of this connection.
    pub(super) version: Option<i64>,
    /// The checks that the version has passed, by their numbers.
    pub(super) checked: HashSet<usize>,
    /// True if a statement that was prepared since the last reset has a function with another value at each call.
    volatile: Arc<AtomicBool>,
}

impl Link {
    /// Opens a connection that reads.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open(place: &Place) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | FLAGS;
        let mut connection = set_up(Connection::open_with_flags(&place.path, flags)?)?;
        connection.pragma_update(None, "query_only", true)?;
        let volatile = Arc::new(AtomicBool::new(false));
        let seen = volatile.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| may_read(&context.action, &seen)))?;
        Ok(Self { connection, file: file_id(&place.path), version: None, checked: HashSet::new(), volatile })
    }

    /// Opens a connection that adds rows.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open_to_write(place: &Place) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | FLAGS;
        let connection = set_up(Connection::open_with_flags(&place.path, flags)?)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
        let (version, checked) = (None, HashSet::new());
        Ok(Self { connection, file: file_id(&place.path), version, checked, volatile: Arc::default() })
    }

    /// True if another file is at the path now, or none.
    pub(super) fn is_stale(&self, place: &Place) -> bool {
        if self.file.is_none() || self.file != file_id(&place.path) {
            return true;
        }
        let mut moved = 0;
        match self.connection.file_control(None::<&str>, FileControl::HasMoved(&mut moved)) {
            Ok(()) => moved != 0,
            Err(_) => true,
        }
    }

    /// Begins a transaction, which reads one snapshot. What is known about another snapshot is forgotten.
    ///
    /// # Errors
    /// The file cannot be read, or stays locked.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN")?;
        // Reads the file, so the snapshot begins here.
        let version = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if self.version != Some(version) {
            self.checked.clear();
            self.version = Some(version);
        }
        Ok(())
    }

    /// Ends the transaction, if there is one.
    ///
    /// # Errors
    /// SQLite cannot end it. The connection is then of no more use.
    pub(super) fn end(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }

    /// Runs work, and returns true beside its result if it has prepared a function with another value at each call.
    pub(super) fn observing<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        self.volatile.store(false, Ordering::Relaxed);
        let result = work();
        (result, self.volatile.load(Ordering::Relaxed))
    }
}

/// The identity of a file: its device and its number there.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Where files have no numbers, only the time of their creation identifies them.
#[cfg(not(unix))]
fn file_id(path: &Path) -> Option<FileId> {
    let created = std::fs::metadata(path).ok()?.created().ok()?;
    let age = created.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((age.as_secs(), u64::from(age.subsec_nanos())))
}

/// Sets what holds for every connection.
fn set_up(connection: Connection) -> rusqlite::Result<Connection> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, MAX_DEPTH)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_QUERY)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    Ok(connection)
}

/// The pragmas that the node reads. None of them changes anything.
const PRAGMAS: [&str; 8] = [
    "data_version",
    "encoding",
    "foreign_key_list",
    "index_list",
    "index_xinfo",
    "schema_version",
    "table_list",
    "table_xinfo",
];

/// Decides what a statement of a reading connection may do.
fn may_read(action: &AuthAction<'_>, volatile: &AtomicBool) -> Authorization {
    let allowed = match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive | AuthAction::Transaction { .. } => true,
        AuthAction::Function { function_name } => {
            if ["random", "randomblob"].iter().any(|name| function_name.eq_ignore_ascii_case(name)) {
                volatile.store(true, Ordering::Relaxed);
            }
            !function_name.eq_ignore_ascii_case("load_extension")
        }
        AuthAction::Pragma { pragma_name, .. } => PRAGMAS.iter().any(|name| pragma_name.eq_ignore_ascii_case(name)),
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}
