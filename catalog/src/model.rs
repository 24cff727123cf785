//! The catalog of a domain: products, output ports, columns, keys and the sources of rows. Nodes exchange catalogs in
//! this representation. The standards' documents are parsed into it.

mod database;
mod files;
mod hidden;
mod residency;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::database::{DatabaseAddress, DatabaseKind, DatabaseRelation, DatabaseSource};
pub use self::files::{FileFormat, FileSource};
pub(crate) use self::residency::MAX_LISTED;
pub use self::residency::{KeyUse, ProcessedAt};
pub use self::source::{PortSource, QuerySource, SourceKind};

use crate::diagnostic::Place;
use crate::names::{DomainName, PortName, PortRef, ProductName};
use crate::rules::Rule;
use crate::statistics::{ColumnStatistics, PortStatistics};

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
    /// A digest that changes when the decisions of the owner's policies may change. `None` if the domain has no policies,
    /// or if the owner does not tell. A node with rows of the domain then drops them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<String>,
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
    /// True if a policy can hide the port from some principals. Only the owner knows from whom, and a node asks the owner
    /// before it shows the port to a principal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden_from_some: bool,
    /// The nodes that may hold rows of the port, besides the owner's node and the node that the client queries.
    #[serde(default, skip_serializing_if = "ProcessedAt::is_any")]
    pub processed_at: ProcessedAt,
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
    /// The use of the values as join keys that the contract declares, if it declares one. [`Self::keys`] has the use in
    /// effect.
    #[serde(default, rename = "keys", skip_serializing_if = "Option::is_none")]
    pub key_use: Option<KeyUse>,
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
            hidden_from_some: false,
            processed_at: ProcessedAt::Any,
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

/// The classifications of columns whose values every reader of the column may see.
const OPEN_CLASSIFICATIONS: [&str; 2] = ["public", "internal"];
/// The classifications of columns whose values are join keys only in an encoding that does not show them.
const HASHED_CLASSIFICATIONS: [&str; 2] = ["restricted", "confidential"];

fn is_among(words: &[&str], classification: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(classification))
}

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
            key_use: None,
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
        self.classification.as_ref().is_none_or(|classification| is_among(&OPEN_CLASSIFICATIONS, classification))
    }

    /// Returns the use of the values as join keys at nodes of other domains: as the contract declares it, or else by the
    /// classification. A classification that this version does not know counts as the strictest.
    pub fn keys(&self) -> KeyUse {
        let by_classification = || match &self.classification {
            _ if self.is_open() => KeyUse::Ship,
            Some(classification) if is_among(&HASHED_CLASSIFICATIONS, classification) => KeyUse::Hash,
            _ => KeyUse::Never,
        };
        self.key_use.unwrap_or_else(by_classification)
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
        Self { domain: DomainName::new(domain), version: String::new(), products, policies: None }.with_version()
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

    /// Returns the catalog with the digest of a text that changes when decisions of the policies may change.
    pub fn with_policies(mut self, state: &str) -> Self {
        self.policies = Some(hex(&Sha256::digest(state)));
        self.with_version()
    }

    /// Sets the version to the digest of the content that nodes exchange, which excludes the sources.
    pub(crate) fn with_version(mut self) -> Self {
        self.version = String::new();
        // Field metadata are hash maps, whose order must not change the digest.
        let mut content = serde_json::to_value(&self).unwrap_or_default();
        content.sort_all_objects();
        self.version = hex(&Sha256::digest(content.to_string()));
        self
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
