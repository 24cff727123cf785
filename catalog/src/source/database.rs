//! The servers of a contract that are databases: the kind, the address, and the table or the query of a port.

mod address;
mod columns;
mod table;

use std::path::Path;

use serde_json::Value;

use self::address::Server;
use self::columns::Columns;
use super::query::{PortQuery, port_query, settings_of_files};
use super::{PREFIX, SETTINGS, files, list, unknown_setting, without_files};
use crate::model::{DatabaseKind, DatabaseRelation, DatabaseSource};
use crate::nearest::nearest;
use crate::odcs::{ContractServer, ReadContract, wrong};
use crate::server_rules::{CREDENTIALS, DATABASE_TYPE, NO_CREDENTIALS};
use crate::{Diagnostic, Place};

/// True if a server is a database that a node can read.
pub(super) fn is_database(server: &ContractServer) -> bool {
    match server.kind.as_str() {
        "postgres" | "postgresql" | "mysql" => true,
        "custom" => type_property(server).is_some(),
        _ => false,
    }
}

/// Returns the rows of `read.contract.schema[object]` in the database `servers[i]`, and the place of the server, or of
/// the query if the port has one.
///
/// # Errors
/// Every fault of the server, the table or the query, and the columns.
pub(super) fn database_source(
    read: &ReadContract,
    object: usize,
    i: usize,
) -> Result<(DatabaseSource, Place), Vec<Diagnostic>> {
    let server = &read.contract.servers[i];
    let at = |key: &str| read.document.place(&["servers".into(), i.into(), key.into()]);
    let mut errors = own_properties(read, i);
    errors.extend(without_files(read));
    if !read.contract.servers.iter().any(files::holds_files) {
        errors.extend(settings_of_files(read, object, "the port is in a database"));
    }
    let kind = kind(read, i).map_err(|error| errors.push(error)).ok();
    let folder = read.document.file().parent().unwrap_or(Path::new(""));
    let address = kind.and_then(|kind| Server { server, kind, at: &at }.address(folder, &mut errors));
    let query = port_query(read, object, "SELECT id, name FROM customers", &mut errors);
    let (relation, place) = match query {
        Some(PortQuery { text, place, .. }) => (text.map(DatabaseRelation::Query), place),
        None => {
            let table = table::table(&read.contract.schema[object], server.schema.as_deref());
            let at_name = || read.document.place(&["schema".into(), object.into(), "physicalName".into()]);
            let table = table.map_err(|message| errors.push(wrong(at_name(), message))).ok();
            (table, read.document.place(&["servers".into(), i.into()]))
        }
    };
    let Columns { names, types, physical_types } = Columns::of(read, object, &mut errors);
    match (kind, address, relation) {
        (Some(kind), Some(address), Some(relation)) if errors.is_empty() => {
            Ok((DatabaseSource { kind, address, relation, names, types, physical_types }, place))
        }
        _ => Err(errors),
    }
}

/// Returns the custom property with the kind of a database, and its position.
fn type_property(server: &ContractServer) -> Option<(usize, &Value)> {
    let found = server.custom_properties.iter().enumerate().find(|(_, own)| own.property == DATABASE_TYPE);
    found.map(|(i, own)| (i, &own.value))
}

/// Returns the kind of the database `servers[i]`.
///
/// # Errors
/// A custom property that names no kind, or another kind than the type of the server.
fn kind(read: &ReadContract, i: usize) -> Result<DatabaseKind, Diagnostic> {
    let server = &read.contract.servers[i];
    let (of_type, permitted): (_, &[DatabaseKind]) = match server.kind.as_str() {
        "mysql" => (DatabaseKind::MySql, &[DatabaseKind::MySql, DatabaseKind::MariaDb]),
        "custom" => (DatabaseKind::Sqlite, &DatabaseKind::ALL),
        _ => (DatabaseKind::Postgres, &[DatabaseKind::Postgres]),
    };
    let Some((position, value)) = type_property(server) else { return Ok(of_type) };
    let named = value.as_str().and_then(|name| permitted.iter().find(|kind| kind.type_name() == name));
    named.copied().ok_or_else(|| {
        let names: Vec<&str> = permitted.iter().map(|kind| kind.type_name()).collect();
        let steps = ["servers".into(), i.into(), "customProperties".into(), position.into(), "value".into()];
        let suggestion = value.as_str().and_then(|name| nearest(name, names.iter().copied())).map(str::to_owned);
        let message = format!("expected the kind of the database: one of {}", list(&names, ""));
        Diagnostic { place: read.document.place(&steps), message, suggestion }
    })
}

/// Returns the errors for the custom properties of the server `servers[i]`.
fn own_properties(read: &ReadContract, i: usize) -> Vec<Diagnostic> {
    let error = |(position, name): (usize, &str)| {
        let steps = ["servers".into(), i.into(), "customProperties".into(), position.into(), "property".into()];
        let place = read.document.place(&steps);
        if CREDENTIALS.contains(&name.to_lowercase().as_str()) {
            return Some(wrong(place, NO_CREDENTIALS));
        }
        match name {
            DATABASE_TYPE => None,
            name if SETTINGS.contains(&name) => {
                Some(wrong(place, format!("`{name}` describes files, and the server is a database")))
            }
            name if name.starts_with(PREFIX) => Some(unknown_setting(name, place)),
            _ => None,
        }
    };
    let own = read.contract.servers[i].custom_properties.iter().enumerate();
    own.filter_map(|(position, own)| error((position, own.property.as_str()))).collect()
}
