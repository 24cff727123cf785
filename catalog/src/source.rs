//! The source of a port's rows: the first of the contract's `servers` whose data can be read, or the query of a derived
//! port.

mod database;
mod files;
mod query;

use std::collections::BTreeMap;

use crate::model::{PortSource, SourceKind};
use crate::nearest::nearest;
use crate::odcs::{ContractServer, CustomProperty, KEYS, PROCESSED_AT, ReadContract, wrong};
use crate::server_rules::DATABASE_TYPE;
use crate::{Diagnostic, Place};

pub(crate) use self::files::COLUMN_SETTINGS;
use self::files::SETTINGS;
pub(crate) use self::query::QUERY;

/// The beginning of all custom properties of this project.
pub(crate) const PREFIX: &str = "portolan.";

/// Returns the source of the port whose rows are `read.contract.schema[object]`.
///
/// # Errors
/// Every fault of the first server whose data can be read, and of the query; without a query, no such server.
pub(crate) fn port_source(read: &ReadContract, object: usize) -> Result<PortSource, Vec<Diagnostic>> {
    let servers = &read.contract.servers;
    let found = servers.iter().position(|server| database::is_database(server) || files::holds_files(server));
    let named = |server: &ContractServer, kind: SourceKind, place: Place| {
        let declared_at = declared_at(read, object);
        PortSource { server: server.server.clone(), kind, declared_at, place }
    };
    // The query of a port in a database is in the SQL of the database. Without one, it is over other ports.
    if let Some(i) = found.filter(|i| database::is_database(&servers[*i])) {
        let (source, place) = database::database_source(read, object, i)?;
        return Ok(named(&servers[i], SourceKind::Database(source), place));
    }
    if let Some(query) = query::query_source(read, object) {
        let (query, place) = query?;
        let (server, declared_at) = (String::new(), declared_at(read, object));
        return Ok(PortSource { server, kind: SourceKind::Query(query), declared_at, place });
    }
    let Some(i) = found else {
        return Err(without_files(read).into_iter().chain([no_server(read)]).collect());
    };
    let files = files::file_source(read, object, i)?;
    Ok(named(&servers[i], SourceKind::Files(files), read.document.place(&["servers".into(), i.into()])))
}

/// Returns the error for a custom property of this project at a place where it has no meaning.
pub(crate) fn misplaced(property: &str, place: Place) -> Diagnostic {
    if COLUMN_SETTINGS.contains(&property) {
        let places = "in a contract, in its `servers` and in its columns";
        return wrong(place, format!("`{property}` means something {places}, and not here"));
    }
    if SETTINGS.contains(&property) {
        return wrong(place, format!("`{property}` means something in a contract and in its `servers`, and not here"));
    }
    unknown_setting(property, place)
}

fn unknown_setting(property: &str, place: Place) -> Diagnostic {
    if property == QUERY {
        return wrong(place, format!("`{QUERY}` means something in a schema object and in a contract, and not here"));
    }
    if property == DATABASE_TYPE {
        let message =
            format!("`{DATABASE_TYPE}` means something in a server of type `custom` or `mysql`, and not here");
        return wrong(place, message);
    }
    if property == KEYS {
        return wrong(place, format!("`{KEYS}` means something in a column of a schema object, and not here"));
    }
    if property == PROCESSED_AT {
        return wrong(place, format!("`{PROCESSED_AT}` means something in a schema object, and not here"));
    }
    let known = SETTINGS.into_iter().chain([QUERY, DATABASE_TYPE, KEYS, PROCESSED_AT]);
    // The prefix is the same in all names, and would make unrelated names look similar.
    let short = |name: &'static str| name.strip_prefix(PREFIX).unwrap_or(name);
    let own = property.strip_prefix(PREFIX).unwrap_or(property);
    let suggestion = nearest(own, known.clone().map(short)).map(|name| format!("{PREFIX}{name}"));
    let message = match suggestion {
        Some(_) => format!("unknown custom property `{property}`"),
        None => format!("unknown custom property `{property}`; one of {}", list(&known.collect::<Vec<_>>(), "")),
    };
    Diagnostic { place, message, suggestion }
}

/// Returns the errors for the custom properties of a contract that describe files, if no server holds files.
fn without_files(read: &ReadContract) -> Vec<Diagnostic> {
    if read.contract.servers.iter().any(files::holds_files) {
        return vec![];
    }
    let own = read.contract.custom_properties.iter().enumerate();
    let own = own.filter(|(_, own)| own.property.starts_with(PREFIX) && own.property != QUERY);
    let error = |(i, own): (usize, &CustomProperty)| {
        let property = own.property.as_str();
        let place = read.document.place(&["customProperties".into(), i.into(), "property".into()]);
        match SETTINGS.contains(&property) {
            true => wrong(place, format!("`{property}` describes files, and no server of the contract holds any")),
            false => unknown_setting(property, place),
        }
    };
    own.map(error).collect()
}

/// Returns the error for a contract without a server whose data can be read.
fn no_server(read: &ReadContract) -> Diagnostic {
    let place = read.document.place(&["servers".into()]);
    let id = &read.contract.id;
    let mut found: Vec<_> = read.contract.servers.iter().map(|s| format!("`{}`", s.kind)).collect();
    found.dedup();
    let found = if found.is_empty() { "none".to_string() } else { found.join(", ") };
    wrong(
        place,
        format!(
            "contract `{id}` needs a server that holds files (of type `local`, `s3` or `azure`, or `custom` with a `path` \
             or a `location`) or is a database (of type `postgres` or `mysql`, or `custom` with the custom property \
             `{DATABASE_TYPE}`); found {found}; a port that is a query over other ports has a custom property `{QUERY}` \
             instead"
        ),
    )
}

/// Returns the place of each column in the contract.
fn declared_at(read: &ReadContract, object: usize) -> BTreeMap<String, Place> {
    let columns = read.contract.schema[object].columns();
    columns.map(|(i, p)| (p.name.clone(), read.property_place(object, i))).collect()
}

fn list<S: AsRef<str>>(names: &[S], suffix: &str) -> String {
    names.iter().map(|n| format!("`{}{suffix}`", n.as_ref())).collect::<Vec<_>>().join(", ")
}
