//! The catalog of a domain: products, output ports, columns, keys and the sources of rows. Nodes exchange catalogs in
//! this representation. The standards' documents are parsed into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::diagnostic::Place;
use crate::names::{DomainName, PortName, PortRef, ProductName};
use crate::rules::Rule;
use crate::statistics::{ColumnStatistics, PortStatistics};
use crate::text_format::{ColumnFormat, TextFormat};

/// The products of one domain, at one version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DomainCatalog {
    /// The domain.
    pub domain: DomainName,
    /// A digest of the content. Equal digests mean equal catalogs.
    pub version: String,
    /// The products, by name.
    pub products: BTreeMap<ProductName, Product>,
}

/// A data product: a SQL schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Product {
    /// The name, which is also the name of the SQL schema.
    pub name: ProductName,
    /// The version in the descriptor.
    pub version: Option<String>,
    /// The state in the life cycle (`draft`, `active`, `deprecated`, …) in the descriptor.
    pub status: String,
    /// The purpose, as the descriptor states it.
    pub description: Option<String>,
    /// The responsible person or team.
    pub owner: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// The output ports, by name.
    pub ports: BTreeMap<PortName, Port>,
    /// The error of the newest descriptor, if it cannot be loaded. The product then follows the last good descriptor.
    pub load_error: Option<String>,
    /// The place of the product's descriptor. Only the owner knows it.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// An output port: one governed relation, a SQL table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Port {
    /// The full name.
    pub name: PortRef,
    /// The version in the descriptor.
    pub version: Option<String>,
    /// The meaning of a row, as the descriptor states it.
    pub description: Option<String>,
    /// The `id` of the contract that describes the port.
    pub contract: Option<String>,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The columns of the primary key that the contract declares, in key order. Empty if the contract declares none.
    /// The node does not check the key: it may guide costs, and must never permit a rewrite that changes results.
    pub primary_key: Vec<String>,
    /// The references to other ports that the contract declares. The node does not check them.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// The statistics of the data, which guide costs. The owner collects them.
    #[serde(default)]
    pub statistics: Arc<PortStatistics>,
    /// Free labels.
    pub tags: Vec<String>,
    /// The reason why the owner cannot open the port, if it cannot: without the locations of files.
    #[serde(default)]
    pub load_error: Option<String>,
    /// The ports of the same domain that the query of a derived port reads. Empty for a port over data.
    #[serde(default)]
    pub derived_from: Vec<PortRef>,
    /// The source of the rows. Only the owner knows the source: a node does not send it.
    #[serde(skip)]
    pub source: Option<PortSource>,
    /// The place of the port in the descriptor of its product. Only the owner knows it.
    #[serde(skip)]
    pub place: Option<Place>,
    /// The rules of the contract about the data. Only the owner knows the rules: a node does not send them.
    #[serde(skip)]
    pub rules: Vec<Rule>,
}

/// A column of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Column {
    /// The name.
    pub name: String,
    /// The Arrow type. `None` until the source is opened: a contract has only a family of types.
    pub data_type: Option<DataType>,
    /// True if a value may be NULL.
    pub nullable: bool,
    /// The `logicalType` in the contract, if there is one.
    pub logical_type: Option<String>,
    /// The meaning, as the contract states it.
    pub description: Option<String>,
    /// The sensitivity (`public`, `restricted`, …) in the contract, if there is one.
    pub classification: Option<String>,
    /// True if the contract declares the values unique. The node does not check this.
    pub unique: bool,
    /// The values that the contract allows, as strings. Empty if it allows any value. The node does not
    /// check this.
    #[serde(default)]
    pub enumeration: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
}

/// A foreign key: columns whose values are also in columns of another port, or of the same port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The name, if the contract has one.
    pub name: Option<String>,
    /// The referencing columns.
    pub columns: Vec<String>,
    /// The name of the referenced port, as it is in the contract: the port, the product and the port, or all three
    /// parts. [`crate::MeshSnapshot::referenced`] finds the port.
    pub table: Vec<String>,
    /// The columns of the referenced port, in the order of `columns`.
    pub referenced_columns: Vec<String>,
}

/// The format of a port's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values, or values with another delimiter. Files have a header line, unless the contract says
    /// otherwise.
    Csv,
    /// JSON objects, one on each line or in one array.
    Json,
    /// Arrow IPC files.
    Arrow,
}

/// The source of a port's rows, as the `servers` of its contract describe it, or the query of a derived port.
#[derive(Clone, Debug, PartialEq)]
pub struct PortSource {
    /// The name of the `server` in the contract. `sources.<name>` in the node's config adds the options that do not
    /// belong in a contract, such as credentials. Empty for a query.
    pub server: String,
    /// The kind of the source, with the properties that only this kind has.
    pub kind: SourceKind,
    /// The place of each column in the contract, so that an error about a column can point there.
    pub declared_at: BTreeMap<String, Place>,
    /// The place of the server or of the query in the contract.
    pub place: Place,
}

/// The kind of a source, with the properties that only this kind has. An opener rejects a kind that it does not know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SourceKind {
    /// Files, on local disk or in an object store.
    Files(FileSource),
    /// A table, a view or a query of a database.
    Database(DatabaseSource),
    /// A query over other ports of the domain. No opener opens it: the engine plans it.
    Query(QuerySource),
}

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

/// The query of a derived port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySource {
    /// The text of the query: a `SELECT` over other ports of the domain.
    pub text: String,
    /// The types of the columns of which the contract says more than the logical type, by their names.
    pub types: BTreeMap<String, DataType>,
}

impl QuerySource {
    /// Returns a query whose contract has only logical types.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), types: BTreeMap::new() }
    }
}

/// The files of a port.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// A single file, a folder, or a glob: an absolute path, a path relative to `base`, or a URL (`s3://`, `gs://`,
    /// `az://`, `http(s)://`).
    pub location: String,
    /// The folder of the contract.
    pub base: PathBuf,
    /// The format.
    pub format: FileFormat,
    /// CSV: the delimiter. `None` stands for a comma.
    pub delimiter: Option<u8>,
    /// CSV: true if the first line has the names of the columns.
    pub has_header: bool,
    /// The Hive partition columns (`…/year=2024/…`), outermost first.
    pub partition_columns: Vec<String>,
    /// The URL of the object store, if the contract has one.
    pub endpoint: Option<String>,
    /// CSV and JSON: the notation of the files.
    pub text: TextFormat,
    /// The notation of the columns, by their names in SQL. A column that is missing has the default notation.
    pub columns: BTreeMap<String, ColumnFormat>,
}

impl FileSource {
    /// Returns files at `location`, which is relative to the folder `base`, in the usual form of their format: CSV has a
    /// header and commas.
    pub fn new(location: impl Into<String>, base: impl Into<PathBuf>, format: FileFormat) -> Self {
        Self {
            location: location.into(),
            base: base.into(),
            format,
            delimiter: None,
            has_header: true,
            partition_columns: vec![],
            endpoint: None,
            text: TextFormat::default(),
            columns: BTreeMap::new(),
        }
    }

    /// True if the location is a path on the owner's machine, and not in an object store or on a web server.
    pub fn is_local(&self) -> bool {
        self.location.split_once("://").is_none_or(|(scheme, _)| scheme == "file")
    }

    /// Returns the name that a column of the port has in the files.
    pub fn name_in_file<'a>(&'a self, column: &'a str) -> &'a str {
        self.columns.get(column).and_then(|c| c.name_in_file.as_deref()).unwrap_or(column)
    }
}

impl Product {
    /// Returns an active product without ports, of which only the name is known.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: ProductName::new(name),
            version: None,
            status: "active".into(),
            description: None,
            owner: None,
            tags: vec![],
            ports: BTreeMap::new(),
            load_error: None,
            place: None,
        }
    }
}

impl Port {
    /// Returns a port without columns, of which only the name is known.
    pub fn new(name: PortRef) -> Self {
        Self {
            name,
            version: None,
            description: None,
            contract: None,
            columns: vec![],
            primary_key: vec![],
            references: vec![],
            statistics: Arc::default(),
            tags: vec![],
            load_error: None,
            derived_from: vec![],
            source: None,
            place: None,
            rules: vec![],
        }
    }

    /// Replaces the columns.
    #[must_use]
    pub fn with_columns(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.columns = columns.into_iter().collect();
        self
    }

    /// True if the rows of the port are the result of a query over other ports of its domain.
    pub fn is_derived(&self) -> bool {
        !self.derived_from.is_empty() || self.query().is_some()
    }

    /// True if the rows of the port are in files on the owner's machine. Only the owner knows it.
    pub fn has_local_files(&self) -> bool {
        self.source.as_ref().is_some_and(|source| match &source.kind {
            SourceKind::Files(files) => files.is_local(),
            SourceKind::Database(database) => matches!(database.address, DatabaseAddress::File { .. }),
            SourceKind::Query(_) => false,
        })
    }

    /// Returns the query of a derived port. Only the owner knows it.
    pub fn query(&self) -> Option<&QuerySource> {
        self.source.as_ref()?.query()
    }

    /// Returns the port's Arrow schema, or `None` if the source was never opened.
    pub fn schema(&self) -> Option<SchemaRef> {
        let fields = self
            .columns
            .iter()
            .map(|c| Some(Field::new(&c.name, c.data_type.clone()?, c.nullable)))
            .collect::<Option<Vec<_>>>()?;
        Some(Schema::new(fields).into())
    }
}

impl PortSource {
    /// Returns the files of the port, or `None` if the source is of another kind.
    pub fn files(&self) -> Option<&FileSource> {
        match &self.kind {
            SourceKind::Files(files) => Some(files),
            SourceKind::Database(_) | SourceKind::Query(_) => None,
        }
    }

    /// Returns the table of the port in a database, or `None` if the source is of another kind.
    pub fn database(&self) -> Option<&DatabaseSource> {
        match &self.kind {
            SourceKind::Database(database) => Some(database),
            SourceKind::Files(_) | SourceKind::Query(_) => None,
        }
    }

    /// Returns the query of the port, or `None` if the source is of another kind.
    pub fn query(&self) -> Option<&QuerySource> {
        match &self.kind {
            SourceKind::Query(query) => Some(query),
            SourceKind::Files(_) | SourceKind::Database(_) => None,
        }
    }
}

impl SourceKind {
    /// Returns the name of the kind, for errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Database(database) => database.kind.type_name(),
            Self::Query(_) => "query",
        }
    }
}

/// The classifications of columns whose values every reader of the column may see.
const OPEN_CLASSIFICATIONS: [&str; 2] = ["public", "internal"];

impl Column {
    /// Returns a column that may be NULL, of which only the name is known.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            data_type: None,
            nullable: true,
            logical_type: None,
            description: None,
            classification: None,
            unique: false,
            enumeration: vec![],
            tags: vec![],
        }
    }

    /// Sets the Arrow type.
    #[must_use]
    pub fn with_type(mut self, data_type: DataType) -> Self {
        self.data_type = Some(data_type);
        self
    }

    /// True if every reader of the column may see single values: the classification is absent, `public` or `internal`.
    pub fn is_open(&self) -> bool {
        let is_open = |c: &String| OPEN_CLASSIFICATIONS.iter().any(|open| open.eq_ignore_ascii_case(c));
        self.classification.as_ref().is_none_or(is_open)
    }
}

impl DomainCatalog {
    /// Returns a domain with these ports, each in a product of which only the name is known. The version is the digest of
    /// this content.
    pub fn new(domain: impl Into<String>, ports: impl IntoIterator<Item = Port>) -> Self {
        let mut products: BTreeMap<ProductName, Product> = BTreeMap::new();
        for port in ports {
            let name = port.name.product.clone();
            let product = products.entry(name.clone()).or_insert_with(|| Product::new(name.as_str()));
            product.ports.insert(port.name.port.clone(), port);
        }
        Self { domain: DomainName::new(domain), version: String::new(), products }.with_version()
    }

    /// Returns the port of that name, if the domain publishes it.
    pub fn port(&self, product: &ProductName, port: &PortName) -> Option<&Port> {
        self.products.get(product)?.ports.get(port)
    }

    /// Returns every port, in the order of the names.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.products.values().flat_map(|p| p.ports.values())
    }

    /// Returns the catalog with the types and the nullability of opened sources. `schema` returns the schema of a port.
    /// A plan must not rely on the nullability in the contract, which is only declared. Ports without a schema and
    /// columns that the schema lacks stay as they are.
    pub fn with_schemas(mut self, schema: impl Fn(&PortRef) -> Option<SchemaRef>) -> Self {
        for port in self.products.values_mut().flat_map(|p| p.ports.values_mut()) {
            let Some(schema) = schema(&port.name) else { continue };
            for column in &mut port.columns {
                if let Ok(field) = schema.field_with_name(&column.name) {
                    column.data_type = Some(field.data_type().clone());
                    column.nullable = field.is_nullable();
                }
            }
        }
        self.with_version()
    }

    /// Returns the catalog with new statistics of these ports. Other ports stay as they are.
    pub fn with_statistics(mut self, statistics: &BTreeMap<PortRef, Arc<PortStatistics>>) -> Self {
        for port in self.products.values_mut().flat_map(|p| p.ports.values_mut()) {
            if let Some(statistics) = statistics.get(&port.name) {
                port.statistics = statistics.clone();
            }
        }
        self.with_version()
    }

    /// Returns the catalog without the statistics of classified columns, which are those that are not
    /// [open](Column::is_open). Only the average widths stay, because the cost of an edge depends on them.
    pub fn without_classified_statistics(mut self) -> Self {
        for port in self.products.values_mut().flat_map(|p| p.ports.values_mut()) {
            let Port { columns, statistics, .. } = port;
            if columns.iter().all(Column::is_open) {
                continue;
            }
            let open: BTreeSet<&str> = columns.iter().filter(|c| c.is_open()).map(|c| c.name.as_str()).collect();
            for (name, column) in &mut Arc::make_mut(statistics).columns {
                if !open.contains(name.as_str()) {
                    *column = ColumnStatistics { width: column.width, ..ColumnStatistics::default() };
                }
            }
        }
        self.with_version()
    }

    /// Sets the version to the digest of the content that nodes exchange, which excludes the sources.
    pub(crate) fn with_version(mut self) -> Self {
        self.version = String::new();
        // Field metadata are hash maps, whose order must not change the digest.
        let mut content = serde_json::to_value(&self).unwrap_or_default();
        content.sort_all_objects();
        let digest = Sha256::digest(content.to_string());
        self.version = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self
    }
}

#[cfg(test)]
mod tests;
