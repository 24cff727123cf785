//! The rows of a port in a database.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_schema::DataType;

/// A table, a view or a query of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSource {
    /// The kind of the database.
    pub kind: DatabaseKind,
    /// The address of the database.
    pub address: DatabaseAddress,
    /// The rows in the database.
    pub relation: DatabaseRelation,
    /// The names of columns in the database, by their names in SQL. A column that is missing has the same name.
    pub names: BTreeMap<String, String>,
    /// The types of the columns of which the contract says more than the logical type, by their names in SQL.
    pub types: BTreeMap<String, DataType>,
    /// The types of the columns in the database as the contract declares them, by their names in SQL.
    pub physical_types: BTreeMap<String, String>,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatabaseKind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
    /// MySQL.
    MySql,
    /// SQLite.
    Sqlite,
}

/// The address of a database in a contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatabaseAddress {
    /// A server in the network.
    Server {
        /// The name or the address of the host.
        host: String,
        /// The port.
        port: u16,
        /// The name of the database.
        database: String,
    },
    /// A file: an absolute path, or a path relative to the folder `base`.
    File {
        /// The path, as the contract has it.
        path: String,
        /// The folder of the contract.
        base: PathBuf,
    },
}

/// The rows of a port in a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatabaseRelation {
    /// A table or a view.
    Table {
        /// The schema; `None` for the default schema of the database.
        schema: Option<String>,
        /// The name.
        name: String,
    },
    /// A `SELECT` in the SQL of the database.
    Query(String),
}

impl DatabaseKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::MariaDb, Self::MySql, Self::Sqlite];

    /// Returns the `type` of a server of this kind in a contract, which is also the scheme of its URL.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    /// Returns the port on which such a server usually listens; `None` for a database in a file.
    pub fn usual_port(self) -> Option<u16> {
        match self {
            Self::Postgres => Some(5432),
            Self::MariaDb | Self::MySql => Some(3306),
            Self::Sqlite => None,
        }
    }

    /// Returns the name of the product.
    pub fn product(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
            Self::Sqlite => "SQLite",
        }
    }
}
