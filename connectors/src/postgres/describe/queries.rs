//! The columns of a query that a contract has in the place of a table.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;

use super::super::session::Session;
use super::catalog::types;
use super::tables::column;
use crate::databases::{DescribedTable, Origin};
use crate::error::{Error, ErrorKind, Result};

/// Returns the columns of a query. The server parses it, and runs nothing.
pub(super) async fn describe(
    session: &mut Session,
    origin: &Origin,
    text: &str,
    wanted: &BTreeMap<String, DataType>,
) -> Result<DescribedTable> {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidQuery, format!("{}: {what}", origin.shown));
    // Alone, the text must be one statement: brackets that close early could be valid inside others.
    let alone = session.run(|client| client.prepare(text)).await?;
    if !alone.params().is_empty() {
        return Err(invalid("expected a query without parameters, got `$1`"));
    }
    // In brackets, only a query that reads is valid.
    let inside = format!("SELECT * FROM ({text}\n) AS t");
    let query = session.run(|client| client.prepare(&inside)).await?;
    let mut names = BTreeSet::new();
    if let Some(twice) = query.columns().iter().find(|column| !names.insert(column.name())) {
        return Err(invalid(&format!("expected columns with different names, got `{}` twice", twice.name())));
    }
    let keys: Vec<_> = query.columns().iter().map(|column| (column.type_().oid(), column.type_modifier())).collect();
    let found = types(session, &keys).await?;
    let columns = query.columns().iter().zip(found).map(|(described, mut found)| {
        // The server does not say the collation.
        found.native.is_loose = true;
        column(described.name().to_owned(), &found, wanted)
    });
    Ok(DescribedTable { columns: columns.collect(), ..DescribedTable::default() })
}
