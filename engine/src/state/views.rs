//! A view of a session: its statement, and what the names in the statement meant when the view was created.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::utils::quote_identifier;
use portolan_catalog::nearest::nearest;
use portolan_connectors::Subject;

use crate::{Error, ErrorKind};

/// The bytes that count for a view or a column in addition to its text.
const OVERHEAD: usize = 256;

/// A view of a session. It is immutable, and a change creates a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The statement that created the view.
    pub(crate) text: String,
    /// The session's current catalog and schema when the view was created.
    pub(crate) catalog: Option<String>,
    pub(crate) schema: Option<String>,
    /// The names in the statement that meant tables and views of the session. Other names mean ports, even if the
    /// session now has a table of the same name.
    pub(crate) reads: BTreeSet<String>,
    /// The columns. All are nullable.
    pub(crate) columns: SchemaRef,
}

impl View {
    /// Returns the bytes that count for the view in the memory of the session's tables.
    pub(super) fn bytes(&self) -> usize {
        let names = self.reads.iter().chain(self.catalog.iter()).chain(self.schema.iter());
        let names: usize = names.map(|name| name.len() + OVERHEAD).sum();
        let columns: usize = self.columns.fields().iter().map(|field| field.name().len() + OVERHEAD).sum();
        OVERHEAD + self.text.len() + names + columns
    }
}

/// Returns the error for a name that is not a view of the session.
pub(crate) fn unknown(name: &str, views: &BTreeMap<String, Arc<View>>) -> Error {
    let near = nearest(name, views.keys().map(String::as_str)).map(quote_identifier);
    let subject = Subject::Name(name.to_owned());
    Error::new(ErrorKind::NotFound, format!("the session has no view `{name}`")).suggesting(near).about(Some(subject))
}
