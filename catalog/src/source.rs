//! The source of a port's rows: the query that its contract has, or the first of its `servers` whose data can be read.

mod files;
mod query;

use std::collections::BTreeMap;

use crate::model::{PortSource, SourceKind};
use crate::nearest::nearest;
use crate::odcs::{CustomProperty, ReadContract, wrong};
use crate::{Diagnostic, Place};

pub(crate) use self::files::COLUMN_SETTINGS;
use self::files::SETTINGS;
pub(crate) use self::query::QUERY;

/// The beginning of all custom properties of this project.
pub(crate) const PREFIX: &str = "portolan.";

/// Returns the source of the port whose rows are `read.contract.schema[object]`.
///
/// # Errors
/// Every fault of the query; without a query, no server whose data can be read, or every fault of the first server whose
/// data can.
pub(crate) fn port_source(read: &ReadContract, object: usize) -> Result<PortSource, Vec<Diagnostic>> {
    if let Some(query) = query::query_source(read, object) {
        let (query, place) = query?;
        let (server, declared_at) = (String::new(), declared_at(read, object));
        return Ok(PortSource { server, kind: SourceKind::Query(query), declared_at, place });
    }
    let mut servers = read.contract.servers.iter().enumerate();
    let found = servers.find_map(|(i, server)| Some((i, server, source_kind(read, object, i)?)));
    let Some((i, server, kind)) = found else {
        return Err(without_files(read).into_iter().chain([no_server(read)]).collect());
    };
    Ok(PortSource {
        server: server.server.clone(),
        kind: kind?,
        declared_at: declared_at(read, object),
        place: read.document.place(&["servers".into(), i.into()]),
    })
}

/// Reads `servers[i]` as the kind of source that its type stands for. Returns `None` if its data cannot be read.
fn source_kind(read: &ReadContract, object: usize, i: usize) -> Option<Result<SourceKind, Vec<Diagnostic>>> {
    match &read.contract.servers[i] {
        server if files::holds_files(server) => Some(files::file_source(read, object, i).map(SourceKind::Files)),
        _ => None,
    }
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
    let known = SETTINGS.into_iter().chain([QUERY]);
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
            "contract `{id}` needs a server that holds files: of type `local`, `s3` or `azure`, or `custom` with a \
             `path` or a `location`; found {found}; a port that is a query has a custom property `{QUERY}` instead"
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
