//! Drafts of products from the tables and views of a database, which has the types, keys and references already.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use futures::stream::{self, StreamExt, TryStreamExt};
use glob::Pattern;
use portolan_catalog::nearest::nearest;
use portolan_connectors::DatabaseOptions;
use portolan_connectors::ErrorKind;
use portolan_connectors::databases::{
    DatabaseInspector, InspectedColumn, InspectedName, InspectedReference, InspectedTable,
};

use super::database_access::DatabaseAccess;
use super::names::{distinct, identifier};
use super::{DraftedPort, Ports, Product, ProductDraft, table_contracts, write};
use crate::progress::Progress;
use crate::{Error, Result};

/// The largest number of ports of a product that are drafted: a folder of descriptors can have twice as many.
const MAX_TABLES: usize = 1000;
/// The number of tables that are described at the same time.
const AT_ONCE: usize = 4;
/// The time that a database has to list its tables, or to describe one.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest number of characters of a port's name that come from a table.
const MAX_NAME: usize = 120;

/// The options of a draft from a database.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct TableOptions {
    /// The names of the tables and views, or globs. Empty for all.
    pub tables: Vec<String>,
    /// The names of the ports, in the order of the tables. Empty for names that the tables suggest.
    pub ports: Vec<String>,
    /// Receives the table that is described.
    pub progress: Option<Progress>,
}

/// The ports over the tables of one database.
#[derive(Clone, Debug)]
pub(super) struct TablePorts {
    pub(super) access: DatabaseAccess,
    pub(super) ports: Vec<TableDraft>,
    /// The tables that are no ports, with the reasons.
    pub(super) left_out: Vec<String>,
}

/// A drafted port over a table or a view.
#[derive(Clone, Debug)]
pub(super) struct TableDraft {
    pub(super) name: String,
    pub(super) access: DatabaseAccess,
    pub(super) table: String,
    pub(super) is_view: bool,
    pub(super) comment: Option<String>,
    pub(super) columns: Vec<TableColumn>,
    pub(super) references: Vec<TableReference>,
    /// The columns and references that are left out, with the reasons.
    pub(super) left_out: Vec<String>,
}

/// A column of a drafted port over a table.
#[derive(Clone, Debug)]
pub(super) struct TableColumn {
    /// The name in SQL.
    pub(super) name: String,
    pub(super) data_type: DataType,
    /// The column in the database.
    pub(super) column: InspectedColumn,
    /// The position in the primary key, from 1.
    pub(super) key_position: Option<usize>,
}

/// A foreign key of a drafted port, with names in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableReference {
    pub(super) columns: Vec<String>,
    pub(super) port: String,
    pub(super) referenced_columns: Vec<String>,
}

/// Drafts a product from the tables and views of a database. `connection` has the options of the connection, with the
/// password.
///
/// # Errors
/// A database that does not respond, or refuses the account; an unknown schema or table; more tables than a product can
/// have; names that a product cannot have.
pub async fn draft_tables(
    product: Product,
    access: DatabaseAccess,
    connection: &DatabaseOptions,
    options: &TableOptions,
) -> Result<ProductDraft> {
    let inspector = DatabaseInspector::new(access.kind, &access.server, &access.address, connection);
    let inspector = inspector.map_err(|error| of_database(&error))?;
    let report = |what: &str| options.progress.iter().for_each(|progress| progress(what));
    report("listing the tables");
    let names = inspector.tables(access.schema.as_deref(), Instant::now() + TIMEOUT).await;
    let names = selected(names.map_err(|error| of_database(&error))?, &options.tables, &access)?;
    check_port_names(&names, &options.ports)?;
    let all = names.len();
    let described = stream::iter(names.into_iter().enumerate()).map(|(i, name)| {
        let (inspector, report) = (&inspector, &report);
        async move {
            report(&format!("{} of {all}: {}", i + 1, name.name));
            let table = inspector.describe(&name, Instant::now() + TIMEOUT).await;
            table.map_err(|error| of_database(&error.within(format_args!("table `{}`", name.name))))
        }
    });
    let tables: Vec<InspectedTable> = described.buffered(AT_ONCE).try_collect().await?;
    let (ports, left_out) = drafted(tables, &options.ports, &access)?;
    let drafted: Vec<_> = ports.iter().map(|port| port as &dyn DraftedPort).collect();
    write::load(&product, &drafted)?;
    Ok(ProductDraft { product, ports: Ports::Tables(Box::new(TablePorts { access, ports, left_out })) })
}

/// Returns the tables and views with one of these names, or that match one of these globs.
fn selected(all: Vec<InspectedName>, wanted: &[String], access: &DatabaseAccess) -> Result<Vec<InspectedName>> {
    let of =
        access.schema.as_ref().map_or_else(|| "the database".to_owned(), |schema| format!("the schema `{schema}`"));
    let mut is_selected = vec![wanted.is_empty(); all.len()];
    for text in wanted {
        let mut matches: Vec<bool> = all.iter().map(|table| table.name == *text).collect();
        if !matches.contains(&true) {
            let pattern = Pattern::new(text).map_err(|e| Error::config(format!("`{text}` is no glob: {}", e.msg)))?;
            matches = all.iter().map(|table| pattern.matches(&table.name)).collect();
        }
        if !matches.contains(&true) {
            let suggestion = nearest(text, all.iter().map(|table| table.name.as_str()));
            let hint = suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            let message = format!("{of} has no table or view `{text}` that the account may read{hint}");
            return Err(Error::config(message));
        }
        is_selected.iter_mut().zip(matches).for_each(|(selected, matches)| *selected |= matches);
    }
    let found: Vec<_> = all.into_iter().zip(is_selected).filter(|(_, selected)| *selected).map(|(t, _)| t).collect();
    match found.len() {
        0 => Err(Error::config(format!("{of} has no table and no view that the account may read"))),
        1..=MAX_TABLES => Ok(found),
        n => Err(Error::config(format!(
            "{of} has {n} such tables and views, and a product can have {MAX_TABLES} ports: select some with `--tables`"
        ))),
    }
}

fn check_port_names(tables: &[InspectedName], ports: &[String]) -> Result<()> {
    if ports.is_empty() || ports.len() == tables.len() {
        return Ok(());
    }
    let names: Vec<_> = tables.iter().take(20).map(|table| table.name.as_str()).collect();
    let more = if tables.len() > names.len() { ", …" } else { "" };
    let message = format!(
        "expected {} times `--port`, got {}: the tables are {}{more}",
        tables.len(),
        ports.len(),
        names.join(", ")
    );
    Err(Error::config(message))
}

/// Returns the ports over these tables, and the tables of which no column can be read, with the reasons.
pub(super) fn drafted(
    tables: Vec<InspectedTable>,
    ports: &[String],
    access: &DatabaseAccess,
) -> Result<(Vec<TableDraft>, Vec<String>)> {
    let names = match ports.is_empty() {
        true => sql_names(tables.iter().map(|table| table.name.as_str()), "table"),
        false => ports.to_vec(),
    };
    let mut drafts: Vec<(TableDraft, Vec<InspectedReference>)> = vec![];
    let mut unreadable = vec![];
    for (mut table, name) in tables.into_iter().zip(names) {
        let references = std::mem::take(&mut table.references);
        let draft = draft(table, name, access);
        match draft.columns.is_empty() {
            true => unreadable.push(format!("`{}`: {}", draft.table, draft.left_out.join("; "))),
            false => drafts.push((draft, references)),
        }
    }
    if drafts.is_empty() {
        return Err(Error::config(format!("no column can be read: {}", unreadable.join("; "))));
    }
    let known: Vec<TableDraft> = drafts.iter().map(|(draft, _)| draft.clone()).collect();
    let known = Known::of(&known, access);
    let mut finished = vec![];
    for (mut draft, references) in drafts {
        for reference in references {
            match known.reference(&draft, &reference) {
                Ok(found) if draft.references.contains(&found) => {}
                Ok(found) => draft.references.push(found),
                Err(reason) => draft.left_out.push(reason),
            }
        }
        finished.push(draft);
    }
    Ok((finished, unreadable))
}

/// Returns the port over a table, without its references.
fn draft(table: InspectedTable, name: String, access: &DatabaseAccess) -> TableDraft {
    let (mut readable, mut left_out) = (vec![], vec![]);
    for column in table.columns {
        match &column.data_type {
            Ok(_) if column.name.is_empty() => left_out.push("a column without a name".to_owned()),
            Ok(data_type) => readable.push((data_type.clone(), column)),
            Err(reason) => left_out.push(format!("`{}` ({}): {reason}", column.name, column.native_type)),
        }
    }
    let names = sql_names(readable.iter().map(|(_, column)| column.name.as_str()), "column");
    let key = &table.primary_key;
    // A part of a key is none.
    let has_key = key.iter().all(|key| readable.iter().any(|(_, column)| column.name == *key));
    let columns = readable.into_iter().zip(names).map(|((data_type, column), name)| {
        let position = key.iter().position(|key| *key == column.name).filter(|_| has_key);
        TableColumn { name, data_type, key_position: position.map(|position| position + 1), column }
    });
    TableDraft {
        name,
        access: access.clone(),
        columns: columns.collect(),
        table: table.name,
        is_view: table.is_view,
        comment: table.comment,
        references: vec![],
        left_out,
    }
}

/// The ports of a product, by the names of their tables.
struct Known<'a> {
    tables: BTreeMap<&'a str, &'a TableDraft>,
    schema: Option<&'a str>,
}

impl<'a> Known<'a> {
    fn of(ports: &'a [TableDraft], access: &'a DatabaseAccess) -> Self {
        let tables = ports.iter().map(|port| (port.table.as_str(), port)).collect();
        Self { tables, schema: access.schema.as_deref() }
    }

    /// Returns a foreign key with names in SQL; the reason if a contract cannot have it.
    fn reference(&self, port: &TableDraft, reference: &InspectedReference) -> Result<TableReference, String> {
        let columns = reference.columns.join(", ");
        let left_out = |reason: &str| Err(format!("the reference of ({columns}) to `{}`: {reason}", reference.table));
        let is_here = reference.schema.is_none() || self.schema.is_none() || reference.schema.as_deref() == self.schema;
        let Some(to) = self.tables.get(reference.table.as_str()).filter(|_| is_here) else {
            return left_out("it is no port of this product");
        };
        let key;
        let referenced = match reference.referenced_columns.is_empty() {
            true => {
                key = to.key();
                key.as_slice()
            }
            false => reference.referenced_columns.as_slice(),
        };
        let own: Option<Vec<String>> = reference.columns.iter().map(|name| port.sql_name(name)).collect();
        let others: Option<Vec<String>> = referenced.iter().map(|name| to.sql_name(name)).collect();
        let (Some(columns), Some(referenced_columns)) = (own, others) else {
            return left_out("a column of it is left out");
        };
        if columns.is_empty() || columns.len() != referenced_columns.len() {
            return left_out("it does not name its columns");
        }
        let names = [columns.as_slice(), &referenced_columns, &[port.name.clone(), to.name.clone()]].concat();
        if !names.iter().all(|name| is_shorthand(name)) {
            return left_out("the standard refers only to names of ASCII letters");
        }
        Ok(TableReference { columns, port: to.name.clone(), referenced_columns })
    }
}

impl TableDraft {
    /// Returns the name of a column in SQL, if the port has the column.
    fn sql_name(&self, name: &str) -> Option<String> {
        self.columns.iter().find(|own| own.column.name == name).map(|own| own.name.clone())
    }

    /// Returns the names in the database of the key's columns, in key order.
    fn key(&self) -> Vec<String> {
        let mut key: Vec<&TableColumn> = self.columns.iter().filter(|own| own.key_position.is_some()).collect();
        key.sort_by_key(|own| own.key_position);
        key.into_iter().map(|own| own.column.name.clone()).collect()
    }
}

impl DraftedPort for TableDraft {
    fn name(&self) -> &str {
        &self.name
    }

    fn contract(&self, product: &Product, folder: Option<&Path>) -> String {
        table_contracts::contract(product, self, folder)
    }

    fn summary(&self) -> String {
        table_contracts::summary(self)
    }
}

/// True if the standard can refer to a name.
fn is_shorthand(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit() || c == '-')
}

/// Returns distinct names that SQL accepts without quotes. A name that is such a name already stays as it is.
fn sql_names<'a>(names: impl Iterator<Item = &'a str>, unnamed: &str) -> Vec<String> {
    let wanted = |name: &str| {
        let own: String = identifier(name).chars().take(MAX_NAME).collect();
        if own.is_empty() { unnamed.to_owned() } else { own }
    };
    let names: Vec<(&str, String)> = names.map(|name| (name, wanted(name))).collect();
    let mut taken: BTreeSet<String> =
        names.iter().filter(|(name, own)| name == own).map(|(_, own)| own.clone()).collect();
    let named = |(name, own): (&str, String)| if name == own { own } else { distinct(&own, &mut taken) };
    names.into_iter().map(named).collect()
}

/// Returns the error of a database as that of the command.
fn of_database(error: &portolan_connectors::Error) -> Error {
    let message = error.owner_chain();
    match error.kind() {
        ErrorKind::InvalidQuery
        | ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::Unauthenticated
        | ErrorKind::Unsupported
        | ErrorKind::InvalidData => Error::config(message),
        _ => Error::failed(message),
    }
}

#[cfg(test)]
mod tests;
