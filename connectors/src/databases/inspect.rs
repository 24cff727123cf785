//! Describes the tables of a database for programs that draft contracts: each column with a type that a contract can
//! declare and a node can read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::DataType;
use portolan_catalog::{DatabaseAddress, DatabaseKind, DatabaseRelation};

use self::choose_types::TypeChooser;
use super::connect::connect;
use super::target::Target;
use super::{Database, TableName};
use crate::error::{Error, ErrorKind, Result};
use crate::source_options::DatabaseOptions;

mod choose_types;

/// A database whose tables can be described.
#[derive(Clone, Debug)]
pub struct DatabaseInspector {
    kind: DatabaseKind,
    database: Arc<dyn Database>,
}

/// A table or a view in the list of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedName {
    /// The schema, if the kind of database has schemas in a database.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
    /// True if it is a view.
    pub is_view: bool,
}

/// A table or a view as a contract can describe it. All names are those in the database.
#[derive(Clone, Debug, Default)]
pub struct InspectedTable {
    /// The schema, if the kind of database has schemas in a database.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
    /// True if it is a view.
    pub is_view: bool,
    /// The comment.
    pub comment: Option<String>,
    /// The columns, in order.
    pub columns: Vec<InspectedColumn>,
    /// The columns of the primary key, in key order.
    pub primary_key: Vec<String>,
    /// The foreign keys.
    pub references: Vec<InspectedReference>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct InspectedColumn {
    /// The name.
    pub name: String,
    /// The type as the database writes it, such as `numeric(10,2)`.
    pub native_type: String,
    /// The type as which a node reads the column; the reason if a node cannot read it.
    pub data_type: std::result::Result<DataType, String>,
    /// True if the database does not determine the type, so that only the contract does.
    pub is_chosen: bool,
    /// A remark about the type, for the person who reads the contract.
    pub note: Option<String>,
    /// True if a value may be NULL.
    pub nullable: bool,
    /// True if the database keeps the values unique.
    pub unique: bool,
    /// The comment.
    pub comment: Option<String>,
    /// The permitted values; empty if any value is permitted.
    pub enumeration: Vec<String>,
}

/// A foreign key of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedReference {
    /// The referencing columns.
    pub columns: Vec<String>,
    /// The schema of the referenced table, if it has one.
    pub schema: Option<String>,
    /// The referenced table.
    pub table: String,
    /// The referenced columns, in the order of `columns`.
    pub referenced_columns: Vec<String>,
}

impl DatabaseInspector {
    /// Returns the database at an address. `server` is its name in contracts. It connects when it is first used.
    ///
    /// # Errors
    /// `Unsupported` if this build has no driver for the kind; options that are not valid.
    pub fn new(kind: DatabaseKind, server: &str, address: &DatabaseAddress, options: &DatabaseOptions) -> Result<Self> {
        let target = match address {
            DatabaseAddress::Server { host, port, database } => {
                Target::Server { host: host.clone(), port: *port, database: database.clone() }
            }
            DatabaseAddress::File { path, base } => Target::File(base.join(path)),
        };
        let origin = target.origin(kind, server);
        match connect(kind, origin, &target, options)? {
            Some(database) => Ok(Self { kind, database }),
            None => {
                let message = format!("this program was built without {}", kind.product());
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }

    /// Lists the tables and views of a schema that the account may read, or of the default schema, in order.
    ///
    /// # Errors
    /// `NotFound` for an unknown schema, with the nearest name; `SiteUnavailable` if the database does not respond.
    pub async fn tables(&self, schema: Option<&str>, until: Instant) -> Result<Vec<InspectedName>> {
        let mut tables = self.database.tables(schema, until).await?;
        tables.sort_by_cached_key(|table| (table.name.to_lowercase(), table.name.clone()));
        let named = |TableName { schema, name, is_view }| InspectedName { schema, name, is_view };
        Ok(tables.into_iter().map(named).collect())
    }

    /// Describes a table or a view.
    ///
    /// # Errors
    /// `NotFound` if it does not exist any more; `PermissionDenied` without rights; `SiteUnavailable` if the database does
    /// not respond.
    pub async fn describe(&self, name: &InspectedName, until: Instant) -> Result<InspectedTable> {
        let relation = DatabaseRelation::Table { schema: name.schema.clone(), name: name.name.clone() };
        let described = self.database.describe(&relation, &BTreeMap::new(), until).await?;
        let chooser = TypeChooser { database: &*self.database, kind: self.kind, relation: &relation, until };
        let columns = chooser.columns(described.columns).await?;
        let references = described.references.into_iter().map(|reference| InspectedReference {
            columns: reference.columns,
            schema: reference.schema,
            table: reference.table,
            referenced_columns: reference.referenced_columns,
        });
        Ok(InspectedTable {
            schema: name.schema.clone(),
            name: name.name.clone(),
            is_view: name.is_view,
            comment: described.comment,
            columns,
            primary_key: described.primary_key,
            references: references.collect(),
        })
    }
}
