//! Databases for tests: one in each kind of server, with an owner that writes it, and a reader whose account nodes have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod mariadb;
pub mod postgres;
pub mod sqlite;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use mysql_async::prelude::Queryable;
use portolan_catalog::DatabaseKind;
use portolan_connectors::lock;
use portolan_testbed::postgres as postgres_tables;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_postgres::SimpleQueryMessage;

/// The kinds that have a server here. No registry has MySQL.
pub const KINDS: [DatabaseKind; 3] = [DatabaseKind::Postgres, DatabaseKind::MariaDb, DatabaseKind::Sqlite];
/// The server of the contracts.
pub const SERVER: &str = "warehouse";
/// The beginning of the passwords. No message and no log contains it.
pub const PASSWORD: &str = "hunter2-";
const HOST: &str = "127.0.0.1";

/// Prints that a program is missing, so that what `untested` names is not tested. Under CI, it panics instead.
pub(crate) fn missing(program: &str, untested: &str) {
    assert!(std::env::var_os("CI").is_none(), "the tests need {program}: see \"Build and test\" in CONTRIBUTING.md");
    eprintln!("SKIPPED: {program} is missing, so {untested} NOT tested");
}

/// True if this machine has the server of a kind. Prints a message otherwise.
pub async fn is_available(kind: DatabaseKind) -> bool {
    match kind {
        DatabaseKind::Postgres => postgres::server().await.is_some(),
        DatabaseKind::Sqlite => true,
        _ => mariadb::server().await.is_some(),
    }
}

/// A database of one test.
pub struct TestDatabase {
    kind: DatabaseKind,
    name: String,
    port: u16,
    owner: Owner,
}

/// The connection that writes a database.
enum Owner {
    Postgres(tokio_postgres::Client),
    MariaDb(&'static mariadb::MariaDbServer, Mutex<mysql_async::Conn>),
    Sqlite(PathBuf, StdMutex<rusqlite::Connection>),
}

impl TestDatabase {
    /// Creates a database. `name` is distinct among the tests. The file of SQLite is in `folder`. Returns `None` without
    /// the server's programs, after a message.
    pub async fn create(kind: DatabaseKind, name: &str, folder: &Path) -> Option<Self> {
        if kind == DatabaseKind::Postgres {
            let server = postgres::server().await?;
            return Some(Self::in_postgres(server, name).await);
        }
        let (port, owner) = if kind == DatabaseKind::Sqlite {
            std::fs::create_dir_all(folder).unwrap();
            let file = folder.join(format!("{name}.db"));
            let connection = rusqlite::Connection::open(&file).unwrap();
            connection.pragma_update(None, "journal_mode", "wal").unwrap();
            (0, Owner::Sqlite(file, StdMutex::new(connection)))
        } else {
            let server = mariadb::server().await?;
            let connection = server.create_database(name, &account(name), &password(name)).await;
            (server.port(), Owner::MariaDb(server, Mutex::new(connection)))
        };
        Some(Self { kind, name: name.into(), port, owner })
    }

    /// Creates a database in a PostgreSQL server of the test's own.
    pub async fn in_postgres(server: &portolan_testbed::postgres::PostgresServer, name: &str) -> Self {
        let client = server.create_database(name, &account(name), &password(name)).await;
        let owner = Owner::Postgres(client.unwrap_or_else(|e| panic!("{}", e.owner_chain())));
        Self { kind: DatabaseKind::Postgres, name: name.into(), port: server.port(), owner }
    }

    /// Returns the kind of the database.
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// Returns the name of the account of nodes.
    pub fn account(&self) -> String {
        account(&self.name)
    }

    /// Returns the server of the contracts.
    pub fn server(&self) -> Value {
        let of_kind = json!([{ "property": "portolan.type", "value": self.kind.type_name() }]);
        match &self.owner {
            Owner::Postgres(_) => json!({
                "server": SERVER, "type": "postgres", "host": HOST, "port": self.port, "database": self.name,
                "schema": "public",
            }),
            Owner::MariaDb(..) => json!({
                "server": SERVER, "type": "mysql", "host": HOST, "port": self.port, "database": self.name,
                "customProperties": of_kind,
            }),
            Owner::Sqlite(file, _) => {
                json!({ "server": SERVER, "type": "custom", "path": file, "customProperties": of_kind })
            }
        }
    }

    /// Returns the options of the server: `sources.warehouse` in the config of a node. A file has its root, and no account.
    pub fn source(&self) -> Value {
        match &self.owner {
            Owner::Sqlite(file, _) => json!({ "root": file.parent().unwrap() }),
            _ => json!({ "database": {
                "host": format!("{HOST}:{}", self.port), "user": self.account(), "password": password(&self.name),
            } }),
        }
    }

    /// Runs statements as the owner, one after the other.
    pub async fn execute(&self, statements: &[impl AsRef<str>]) {
        for sql in statements.iter().map(AsRef::as_ref) {
            match &self.owner {
                Owner::Postgres(client) => client.batch_execute(sql).await.map_err(|e| format!("{e:?}")),
                Owner::MariaDb(_, connection) => {
                    connection.lock().await.query_drop(sql).await.map_err(|e| e.to_string())
                }
                Owner::Sqlite(_, connection) => lock(connection).execute_batch(sql).map_err(|e| e.to_string()),
            }
            .unwrap_or_else(|e| panic!("{:?}: {e}\n{sql}", self.kind));
        }
    }

    /// Creates a table with the columns and the rows of a batch, which must be [`held`] by the database. `own_types` are the
    /// types of columns that have others than the usual ones.
    pub async fn create_table(&self, table: &str, rows: &RecordBatch, own_types: &[(&str, &str)]) {
        let schema = rows.schema();
        let columns = schema.fields().iter().map(|field| {
            let own = own_types.iter().find(|(name, _)| name == field.name()).map(|(_, own)| (*own).to_owned());
            let name = own.unwrap_or_else(|| self.type_name(field.data_type()));
            format!("{} {name}", self.quoted(field.name()))
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let more = match self.kind {
            DatabaseKind::Postgres => "",
            // Only such a table refuses values of other types.
            DatabaseKind::Sqlite => "STRICT",
            _ => "CHARACTER SET utf8mb4",
        };
        self.execute(&[format!("CREATE TABLE {} ({columns}) {more}", self.quoted(table))]).await;
        self.load(table, rows).await;
    }

    /// Returns the name of a type that is not declared to have a value in each row.
    fn type_name(&self, data_type: &DataType) -> String {
        match self.kind {
            DatabaseKind::Postgres => postgres_tables::type_name(data_type).unwrap_or_else(|| panic!("no {data_type}")),
            DatabaseKind::Sqlite => sqlite::type_name(data_type).to_owned(),
            // The first instant of a table would otherwise be the time of the last change.
            _ => mariadb::type_name(data_type) + " NULL",
        }
    }

    /// Returns a name between quotes.
    pub fn quoted(&self, name: &str) -> String {
        match self.kind {
            DatabaseKind::MariaDb | DatabaseKind::MySql => format!("`{}`", name.replace('`', "``")),
            _ => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// Adds rows to a table, and lets the database collect its statistics.
    pub async fn load(&self, table: &str, rows: &RecordBatch) {
        let table = &self.quoted(table);
        match &self.owner {
            Owner::Postgres(client) => {
                let loaded = postgres_tables::copy_in(client, table, rows).await;
                loaded.unwrap_or_else(|e| panic!("{table}: {}", e.owner_chain()));
                self.execute(&[format!("ANALYZE {table}")]).await;
            }
            Owner::MariaDb(server, connection) => server.load(&mut *connection.lock().await, table, rows).await,
            Owner::Sqlite(_, connection) => sqlite::load(&mut lock(connection), table, rows),
        }
    }

    /// Returns the one number of a query that the owner runs.
    pub async fn number(&self, sql: &str) -> i64 {
        match &self.owner {
            Owner::Postgres(client) => {
                let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{e:?}\n{sql}"));
                let row = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                });
                row.expect("a row").parse().unwrap()
            }
            Owner::MariaDb(_, connection) => {
                let found: Option<i64> = connection.lock().await.query_first(sql).await.unwrap();
                found.expect("a row")
            }
            Owner::Sqlite(_, connection) => lock(connection).query_row(sql, [], |row| row.get(0)).unwrap(),
        }
    }

    /// Returns the number of queries that the account of nodes runs at this moment. The transaction of a connection that
    /// does nothing counts as one.
    pub async fn running(&self) -> i64 {
        match self.kind {
            DatabaseKind::Postgres => {
                // A transaction, such as one that holds a lock, sees the activities of one moment.
                self.execute(&["SELECT pg_stat_clear_snapshot()"]).await;
                self.number(&self.sessions("AND state <> 'idle'")).await
            }
            DatabaseKind::Sqlite => 0,
            _ => self.number(&self.sessions("AND command <> 'Sleep'")).await,
        }
    }

    /// Returns the number of connections of the account of nodes.
    pub async fn connections(&self) -> i64 {
        if self.kind == DatabaseKind::Sqlite { 0 } else { self.number(&self.sessions("")).await }
    }

    fn sessions(&self, condition: &str) -> String {
        let account = self.account();
        match self.kind {
            DatabaseKind::Postgres => {
                format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{account}' {condition}")
            }
            _ => format!("SELECT count(*) FROM information_schema.processlist WHERE user = '{account}' {condition}"),
        }
    }
}

/// Returns rows as a database of a kind holds them: with its widths of integers, and without values that it does not have.
/// No database has nanoseconds.
pub fn held(kind: DatabaseKind, rows: &RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = rows.columns().iter().map(|column| held_column(kind, column)).collect();
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(&columns);
    let fields: Vec<_> =
        fields.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn held_column(kind: DatabaseKind, column: &ArrayRef) -> ArrayRef {
    let is_sqlite = kind == DatabaseKind::Sqlite;
    let target = match column.data_type() {
        DataType::Int16 | DataType::Int32 if is_sqlite => DataType::Int64,
        DataType::Float32 if is_sqlite => DataType::Float64,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone().filter(|_| !is_sqlite)),
        other => other.clone(),
    };
    let column = cast(column, &target).unwrap();
    match column.as_primitive_opt::<Float64Type>() {
        // PostgreSQL alone has NaN. The others do not keep the sign of zero.
        Some(values) if kind != DatabaseKind::Postgres => {
            let finite = |value: f64| if value.is_finite() { value + 0.0 } else { 1.5 };
            Arc::new(values.iter().map(|value| value.map(finite)).collect::<Float64Array>())
        }
        _ => column,
    }
}

fn account(name: &str) -> String {
    format!("{name}_reader")
}

fn password(name: &str) -> String {
    format!("{PASSWORD}{name}")
}
