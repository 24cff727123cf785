//! `SET`, `RESET` and `SHOW`: the settings of a session.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use portolan_catalog::nearest::nearest;
use portolan_catalog::{DomainName, MeshSnapshot};
use portolan_connectors::Subject;

use super::QueryStream;
use super::visible_ports::view_without_asking;
use crate::names::RESERVED_CATALOG;
use crate::state::SessionHandle;
use crate::{Error, ErrorKind, Result, Settings};

/// Changes one setting of a session.
///
/// # Errors
/// As [`Settings::set`]; `NotFound` if the catalog does not exist.
pub(crate) fn set(session: &SessionHandle, name: &str, value: &str) -> Result<()> {
    if name.eq_ignore_ascii_case("catalog") {
        check_catalog(&view_without_asking(session).snapshot, value)?;
    }
    session.change_settings(|settings| settings.set(name, value))
}

/// Resets one setting of a session to its default.
///
/// # Errors
/// As [`Settings::reset`].
pub(crate) fn reset(session: &SessionHandle, name: &str) -> Result<()> {
    session.change_settings(|settings| settings.reset(name))
}

fn check_catalog(mesh: &MeshSnapshot, catalog: &str) -> Result<()> {
    if catalog.is_empty() || catalog == RESERVED_CATALOG || mesh.domains.contains_key(&DomainName::new(catalog)) {
        return Ok(());
    }
    let near = nearest(catalog, mesh.domains.keys().map(DomainName::as_str));
    let error = Error::new(ErrorKind::NotFound, format!("there is no domain `{catalog}`")).suggesting(near);
    Err(error.about(Some(Subject::Name(catalog.to_owned()))))
}

/// Returns the columns of `SHOW`.
pub(super) fn show_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, true), Field::new("value", DataType::Utf8, true)]))
}

/// Returns the rows of `SHOW name`, or of `SHOW portolan.all`.
///
/// # Errors
/// `InvalidQuery` if the name is unknown, with the nearest known one.
pub(super) fn show(settings: &Settings, name: &str) -> Result<QueryStream> {
    let all = settings.values();
    let shown: Vec<_> = all.iter().filter(|(n, _)| name == "portolan.all" || *n == name).collect();
    if shown.is_empty() {
        // This returns the error for an unknown setting, with the nearest name.
        Settings::default().set(name, "")?;
    }
    let names: StringArray = shown.iter().map(|(n, _)| Some(*n)).collect();
    let values: StringArray = shown.iter().map(|(_, v)| Some(v.as_str())).collect();
    let batch = RecordBatch::try_new(show_schema(), vec![Arc::new(names), Arc::new(values)])
        .map_err(|e| Error::new(ErrorKind::Internal, "the settings do not form a batch").with_source(e))?;
    Ok(QueryStream::fixed(show_schema(), vec![batch]))
}
