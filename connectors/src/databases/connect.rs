//! The drivers of databases. Only this file names them.

use std::sync::Arc;

use portolan_catalog::DatabaseKind;

use super::database::{Database, Origin};
use super::target::Target;
use crate::error::Result;
use crate::source_options::DatabaseOptions;

/// Returns a database, without a connection. `Ok(None)` stands for a kind that this build does not have.
///
/// # Errors
/// Options that cannot be used.
pub(super) fn connect(
    kind: DatabaseKind,
    origin: Origin,
    target: &Target,
    options: &DatabaseOptions,
) -> Result<Option<Arc<dyn Database>>> {
    Ok(match (kind, target) {
        #[cfg(feature = "postgres")]
        (DatabaseKind::Postgres, Target::Server { host, port, database }) => {
            use crate::postgres::PostgresDatabase;
            Some(Arc::new(PostgresDatabase::new(origin, host, *port, database, options)?))
        }
        #[cfg(feature = "mysql")]
        (DatabaseKind::MariaDb | DatabaseKind::MySql, Target::Server { host, port, database }) => {
            use crate::mysql::MysqlDatabase;
            Some(Arc::new(MysqlDatabase::new(kind, origin, host, *port, database, options)?))
        }
        #[cfg(feature = "sqlite")]
        (DatabaseKind::Sqlite, Target::File(path)) => {
            use crate::sqlite::SqliteDatabase;
            Some(Arc::new(SqliteDatabase::new(origin, path.clone(), options)?))
        }
        _ => {
            let _ = (origin, options);
            None
        }
    })
}

/// Returns the cargo feature of a kind of database.
pub(super) fn feature(kind: DatabaseKind) -> &'static str {
    match kind {
        DatabaseKind::Postgres => "postgres",
        DatabaseKind::MariaDb | DatabaseKind::MySql => "mysql",
        DatabaseKind::Sqlite => "sqlite",
    }
}
