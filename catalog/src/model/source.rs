//! The source of a port's rows: files, a database, or a query over other ports.

use std::collections::BTreeMap;

use arrow_schema::DataType;

use super::database::DatabaseSource;
use super::files::FileSource;
use crate::diagnostic::Place;

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
