//! `SHOW`: the settings of a session as rows.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::QueryStream;
use crate::{Error, ErrorKind, Result, Settings};

/// Returns the columns of `SHOW`.
pub(super) fn show_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, true), Field::new("value", DataType::Utf8, true)]))
}

/// Returns the rows of `SHOW name`, or of `SHOW portolan.all`.
///
/// # Errors
/// `InvalidQuery` for a name that there is not, with the nearest.
pub(super) fn show(settings: &Settings, name: &str) -> Result<QueryStream> {
    let all = settings.values();
    let shown: Vec<_> = all.iter().filter(|(n, _)| name == "portolan.all" || *n == name).collect();
    if shown.is_empty() {
        // The error of setting it names the nearest one.
        Settings::default().set(name, "")?;
    }
    let names: StringArray = shown.iter().map(|(n, _)| Some(*n)).collect();
    let values: StringArray = shown.iter().map(|(_, v)| Some(v.as_str())).collect();
    let batch = RecordBatch::try_new(show_schema(), vec![Arc::new(names), Arc::new(values)])
        .map_err(|e| Error::new(ErrorKind::Internal, "the settings have no form").with_source(e))?;
    Ok(QueryStream::fixed(show_schema(), vec![batch]))
}
