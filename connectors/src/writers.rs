//! The principals that may add rows to a port, and the columns that each row must have.

use std::collections::BTreeSet;

use arrow::array::{Array, RecordBatch};
use portolan_catalog::Port;

use crate::error::{Error, ErrorKind, Result};

/// The name that stands for every principal.
const EVERYBODY: &str = "*";

/// The prefix of a group's name.
const GROUP: &str = "group:";

/// The principals that may add rows to a port: names of principals, `group:` and the name of a group, or `*` for every
/// principal.
#[derive(Clone, Debug)]
pub(crate) struct Writers(BTreeSet<String>);

impl Writers {
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().cloned().collect())
    }

    /// True if the principal of that name, in these groups, may add rows.
    pub(crate) fn include(&self, name: &str, groups: &BTreeSet<String>) -> bool {
        // A user may choose a name that looks like a group.
        let in_group = |group: &String| self.0.contains(&format!("{GROUP}{group}"));
        self.0.contains(EVERYBODY) || (self.0.contains(name) && !name.starts_with(GROUP)) || groups.iter().any(in_group)
    }
}

/// The columns of a port that must have a value, as its contract requires.
#[derive(Clone, Debug)]
pub(crate) struct RequiredColumns {
    port: String,
    /// The number of columns of the port.
    count: usize,
    /// The required columns, with their positions.
    required: Vec<(usize, String)>,
}

impl RequiredColumns {
    pub(crate) fn of(port: &Port) -> Self {
        let required = port.columns.iter().enumerate().filter(|(_, column)| !column.nullable);
        let required = required.map(|(position, column)| (position, column.name.clone())).collect();
        Self { port: port.name.to_string(), count: port.columns.len(), required }
    }

    /// Checks rows that are added to the port.
    ///
    /// # Errors
    /// `InvalidQuery` for a value that is missing.
    pub(crate) fn check(&self, rows: &RecordBatch) -> Result<()> {
        let error = |kind, what: &str| Err(Error::new(kind, format!("port {}: {what}", self.port)));
        if rows.num_columns() != self.count {
            return error(ErrorKind::Internal, "the rows have other columns than the port");
        }
        match self.required.iter().find(|(position, _)| rows.column(*position).null_count() > 0) {
            None => Ok(()),
            Some((_, column)) => {
                error(ErrorKind::InvalidQuery, &format!("its contract requires a value of `{column}`"))
            }
        }
    }
}
