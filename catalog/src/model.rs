//! What a domain publishes, as types: products, their output ports, columns, keys and where the data lies.
//! This is the form that nodes exchange; the standards' documents are parsed into it and left behind.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::diagnostic::Place;
use crate::names::{DomainName, PortName, PortRef, ProductName};
use crate::statistics::PortStatistics;

/// Everything that one domain publishes, at one version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainCatalog {
    /// The domain.
    pub domain: DomainName,
    /// A digest of the content: equal digests mean equal catalogs.
    pub version: String,
    /// The products, by name.
    pub products: BTreeMap<ProductName, Product>,
}

/// A data product: a SQL schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Its name, which is its SQL schema.
    pub name: ProductName,
    /// Its version, as its descriptor gives it.
    pub version: Option<String>,
    /// Its state in its life cycle (`draft`, `active`, `deprecated`, …), as its descriptor gives it.
    pub status: String,
    /// What it is for, in its owner's words.
    pub description: Option<String>,
    /// The person or team to ask.
    pub owner: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// The output ports, by name.
    pub ports: BTreeMap<PortName, Port>,
    /// Why the newest descriptor was not taken, where it was not: the product is then as it was before.
    pub load_error: Option<String>,
}

/// An output port: one governed relation, a SQL table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Its full name.
    pub name: PortRef,
    /// Its version, as its descriptor gives it.
    pub version: Option<String>,
    /// What a row of it is, in its owner's words.
    pub description: Option<String>,
    /// The `id` of the contract that describes it.
    pub contract: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The columns of the primary key that its contract declares, in key order; empty if none is declared.
    /// Declared, not checked: it may guide cost and never license a rewrite that changes results.
    pub primary_key: Vec<String>,
    /// The references to other ports that its contract declares. Declared, not checked, as the primary key.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// What its owner knows of its data. It guides cost.
    #[serde(default)]
    pub statistics: Arc<PortStatistics>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Where the data lies. Known to the owner alone: it does not travel.
    #[serde(skip)]
    pub source: Option<PortSource>,
}

/// A column of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its Arrow type. `None` until the source was opened: a contract gives a family of types only.
    pub data_type: Option<DataType>,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// The contract's `logicalType`, where given.
    pub logical_type: Option<String>,
    /// What it means, in its owner's words.
    pub description: Option<String>,
    /// How sensitive it is (`public`, `restricted`, …), where given.
    pub classification: Option<String>,
    /// Whether its contract declares its values unique. Declared, not checked.
    pub unique: bool,
    /// The values that its contract allows, as text; empty where it allows any. Declared, not checked.
    #[serde(default)]
    pub enumeration: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
}

/// A foreign key: columns of one port whose values are found in those of another, or of the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name, where the contract gives one.
    pub name: Option<String>,
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The names of what they refer to, as the contract gives them: a port, a product and a port, or all three.
    /// [`crate::MeshSnapshot::referenced`] finds the port.
    pub table: Vec<String>,
    /// The columns there, in the order of `columns`.
    pub referenced_columns: Vec<String>,
}

/// The kind of files that a port reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values (or another delimiter), with a header line unless told otherwise.
    Csv,
    /// One JSON object a line.
    Json,
    /// Arrow IPC files.
    Arrow,
}

/// The source of a port's rows, as the `servers` of its contract describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct PortSource {
    /// The name of the `server` in the contract. `sources.<name>` in the node's config adds the options that do not
    /// belong in a contract, such as credentials.
    pub server: String,
    /// The kind of the source, with the properties that only this kind has.
    pub kind: SourceKind,
    /// The place of each column in the contract, so that an error about a column can point there.
    pub declared_at: BTreeMap<String, Place>,
    /// The place of the server in the contract.
    pub place: Place,
}

/// The kind of a source, with the properties that only this kind has. An opener rejects a kind that it does not know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SourceKind {
    /// Files, on local disk or in an object store.
    Files(FileSource),
}

/// The files of a port.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// An absolute path, a path relative to the descriptor's folder, or a URL (`s3://`, `gs://`, `az://`,
    /// `http(s)://`); a single file, a folder, or a glob.
    pub location: String,
    /// The folder that a relative `location` starts from.
    pub base: PathBuf,
    /// The files' format.
    pub format: FileFormat,
    /// CSV: the delimiter. `None`: a comma.
    pub delimiter: Option<u8>,
    /// CSV: whether the first line names the columns.
    pub has_header: bool,
    /// Hive partition columns (`…/year=2024/…`), outermost first.
    pub partition_columns: Vec<String>,
    /// The URL of the object store, if the contract has one.
    pub endpoint: Option<String>,
}

impl Product {
    /// An empty product of that name, active, of which nothing else is said.
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
        }
    }
}

impl Port {
    /// A port of that name without columns, of which nothing else is said.
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
            source: None,
        }
    }

    /// The port's Arrow schema; `None` while its source was never opened.
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
        let SourceKind::Files(files) = &self.kind;
        Some(files)
    }
}

impl SourceKind {
    /// Returns the name of the kind, for errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
        }
    }
}

/// Classifications of columns whose values everybody may see who sees the column.
const OPEN_CLASSIFICATIONS: [&str; 2] = ["public", "internal"];

impl Column {
    /// Returns a column that may hold NULL, and of which nothing else is known.
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

    /// Whether single values of it may be shown to whoever sees the column: it is not classified, or as `public` or
    /// `internal`.
    pub fn is_open(&self) -> bool {
        let is_open = |c: &String| OPEN_CLASSIFICATIONS.iter().any(|open| open.eq_ignore_ascii_case(c));
        self.classification.as_ref().is_none_or(is_open)
    }
}

impl DomainCatalog {
    /// The port of that name, if the domain publishes it.
    pub fn port(&self, product: &ProductName, port: &PortName) -> Option<&Port> {
        self.products.get(product)?.ports.get(port)
    }

    /// Every port, in the order of their names.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.products.values().flat_map(|p| p.ports.values())
    }

    /// The catalog once its sources were opened: each column takes its type, and whether it may hold NULL, from
    /// `schema` of its port. What the contract says of NULL is declared and not checked, and a plan must not rely
    /// on it. Ports without a schema and columns that the schema lacks stay as they are.
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

    /// The catalog with what is now known of the data of these ports. The others stay as they are.
    pub fn with_statistics(mut self, statistics: &BTreeMap<PortRef, Arc<PortStatistics>>) -> Self {
        for port in self.products.values_mut().flat_map(|p| p.ports.values_mut()) {
            if let Some(statistics) = statistics.get(&port.name) {
                port.statistics = statistics.clone();
            }
        }
        self.with_version()
    }

    /// Sets the version to the digest of everything that travels; where the data lies does not.
    pub(crate) fn with_version(mut self) -> Self {
        self.version = String::new();
        // Field metadata are hash maps: their order must not matter.
        let mut content = serde_json::to_value(&self).unwrap_or_default();
        content.sort_all_objects();
        let digest = Sha256::digest(content.to_string());
        self.version = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self
    }
}

#[cfg(test)]
mod tests;
