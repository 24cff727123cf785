//! The names of tables in a statement. The error for an unknown name has its position, and what the name may mean.

use datafusion::common::TableReference;
use datafusion::common::utils::quote_identifier;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{DomainName, MeshSnapshot, NodeState};
use portolan_connectors::Subject;

use super::{files, table_calls};
use crate::execution::errors::{from_datafusion, start_of};
use crate::mesh::describe;
use crate::names::{MESH_SCHEMA, RESERVED_CATALOG, SESSION_SCHEMA};
use crate::visit::visit_relations;
use crate::{Error, ErrorKind, Position, Result};

/// The largest number of nodes without known ports that an error names.
const MOST_MISSING: usize = 3;

/// Checks every table name, so that the error for an unknown name has its place and similar names. The caller looks up
/// `target`.
pub(super) async fn known_names(
    statement: &Statement,
    state: &SessionState,
    mesh: &MeshSnapshot,
    target: Option<&TableReference>,
) -> Result<()> {
    let options = &state.config_options().catalog;
    for reference in state.resolve_table_references(statement).map_err(|e| from_datafusion(&e))? {
        if target == Some(&reference) {
            continue;
        }
        let full = reference.clone().resolve(&options.default_catalog, &options.default_schema);
        if &*full.schema == "information_schema" || state.table_functions().contains_key(reference.table()) {
            continue;
        }
        let schema = state.catalog_list().catalog(&full.catalog).and_then(|c| c.schema(&full.schema));
        let known = schema.is_some_and(|s| s.table_exist(&full.table));
        if !known {
            let error = match own_table(&reference, state) {
                Some(own) => {
                    let what = format!("there is no port `{reference}`; did you mean your session's table `{own}`?");
                    Error::new(ErrorKind::NotFound, what).with_suggestion(Some(own))
                }
                None => table_calls::unknown(&reference, statement, state).unwrap_or_else(|| unknown(&reference, mesh)),
            };
            return Err(error.at(position(statement, &reference)));
        }
    }
    Ok(())
}

/// Returns the session's table with the most similar name, quoted if necessary.
fn own_table(reference: &TableReference, state: &SessionState) -> Option<String> {
    let schema = state.catalog_list().catalog(RESERVED_CATALOG)?.schema(SESSION_SCHEMA)?;
    if reference.schema().is_some_and(|schema| schema != SESSION_SCHEMA) {
        return None;
    }
    let names = schema.table_names();
    nearest(reference.table(), names.iter().map(String::as_str)).map(|near| quote_identifier(near).into_owned())
}

/// Returns the error for a name that is not that of a table.
pub(super) fn unknown(reference: &TableReference, mesh: &MeshSnapshot) -> Error {
    let name = reference.to_string();
    let domain = reference.catalog().map(DomainName::new);
    if let Some((domain, refused)) = domain.as_ref().and_then(|d| mesh.refused.get_key_value(d)) {
        let refused: Vec<_> = refused.iter().map(|claim| format!("{}: {}", claim.node, claim.reason)).collect();
        let what = format!(
            "domain `{domain}` has no known owner, and a claim to it is refused: {}; `SELECT * FROM mesh.nodes` shows \
             the nodes and their keys, and `domains.{domain}.key` in this node's config names the owner",
            refused.join("; ")
        );
        return Error::new(ErrorKind::NotFound, what);
    }
    let near = suggestions(reference, mesh);
    // A name with three parts probably means a port.
    let file = files::probable(&name).filter(|_| reference.catalog().is_none());
    let is_of_postgres = reference.schema() == Some("pg_catalog") || reference.table().starts_with("pg_");
    let hint = match (&file, near.first()) {
        (Some(file), _) => format!("; the name of a file has single quotes: {file}"),
        // Quotes around the whole name make one part of it.
        (None, Some(same)) if *same == name => {
            format!("; it is one name in quotes: write `{name}`, with quotes around each part")
        }
        (None, Some(_)) => format!("; did you mean `{}`?", near.join("` or `")),
        (None, None) if is_of_postgres => {
            "; `information_schema` and the schema `mesh` have tables about tables".to_owned()
        }
        (None, None) => missing_ports(mesh),
    };
    let error = Error::new(ErrorKind::NotFound, format!("there is no port `{name}`{hint}"));
    let error = error.with_suggestion(file.or_else(|| near.into_iter().next()));
    error.about(Some(Subject::Constant(reference.table().to_owned())))
}

/// Returns the nodes whose ports are not known, each with the reason. Empty if there are none.
fn missing_ports(mesh: &MeshSnapshot) -> String {
    let (mut waits, mut failed) = (vec![], vec![]);
    for node in mesh.nodes.iter().filter(|node| node.domains.is_empty()) {
        let name = describe(&node.location);
        match (node.state, &node.error) {
            (NodeState::Unknown, _) => waits.push(name),
            (NodeState::Down, Some(error)) if error.contains(&name) => failed.push(error.clone()),
            (NodeState::Down, Some(error)) => failed.push(format!("node {name}: {error}")),
            _ => {}
        }
    }
    waits.truncate(MOST_MISSING);
    failed.truncate(MOST_MISSING);
    if !waits.is_empty() {
        let nodes = waits.join(", ");
        failed.insert(0, format!("the catalog of {nodes} has not been fetched yet: try again in a moment"));
    }
    failed.iter().map(|reason| format!("; {reason}")).collect()
}

/// Returns the most similar names: all ports with the same name elsewhere, or else the port with the most similar name.
fn suggestions(reference: &TableReference, mesh: &MeshSnapshot) -> Vec<String> {
    let parts = [reference.catalog(), reference.schema(), Some(reference.table())];
    let near = mesh.nearest_port(&parts.into_iter().flatten().collect::<Vec<_>>());
    let same = near.iter().filter(|near| near.port.as_str().eq_ignore_ascii_case(reference.table())).count();
    match near.is_empty() && reference.schema() == Some(MESH_SCHEMA) {
        true => vec![format!("{RESERVED_CATALOG}.{MESH_SCHEMA}.ports")],
        false => near.iter().take(same.max(1)).map(ToString::to_string).collect(),
    }
}

/// Returns the position of a name in the statement.
fn position(statement: &Statement, reference: &TableReference) -> Option<Position> {
    let Statement::Statement(statement) = statement else { return None };
    let mut found = None;
    visit_relations(statement.as_ref(), |name| {
        let parts: Vec<_> = name.0.iter().filter_map(|p| p.as_ident()).collect();
        let wanted = [reference.catalog(), reference.schema(), Some(reference.table())];
        let wanted: Vec<_> = wanted.into_iter().flatten().collect();
        let same = parts.len() == wanted.len()
            && parts.iter().zip(&wanted).all(|(part, wanted)| part.value.eq_ignore_ascii_case(wanted));
        found = found.or_else(|| parts.first().filter(|_| same).map(|first| first.span));
    });
    found.and_then(start_of)
}
