//! Tables, views and queries as the catalog of the database describes them.

mod catalog;
mod check_values;
mod constraints;
mod queries;
mod tables;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::DataType;
use portolan_catalog::DatabaseRelation;

use super::errors::Work;
use super::session::{Access, Session};
use super::{DEFAULT_SCHEMA, Shared};
use crate::databases::{DescribedTable, RunContext, TableName};
use crate::error::Result;

/// Returns the columns of a relation, and what its constraints say.
pub(super) async fn describe(
    shared: &Arc<Shared>,
    relation: &DatabaseRelation,
    wanted: &BTreeMap<String, DataType>,
    until: Instant,
) -> Result<DescribedTable> {
    let mut session = begun(shared, until).await?;
    let described = match relation {
        DatabaseRelation::Table { schema, name } => {
            let schema = schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
            tables::describe(&mut session, &shared.origin, schema, name, wanted).await?
        }
        DatabaseRelation::Query(text) => queries::describe(&mut session, &shared.origin, text, wanted).await?,
    };
    session.commit().await?;
    Ok(described)
}

/// Lists the tables and views of a schema.
pub(super) async fn tables(shared: &Arc<Shared>, schema: Option<&str>, until: Instant) -> Result<Vec<TableName>> {
    let mut session = begun(shared, until).await?;
    let tables = catalog::tables(&mut session, &shared.origin, schema.unwrap_or(DEFAULT_SCHEMA)).await?;
    session.commit().await?;
    Ok(tables)
}

/// Returns a session that reads the catalog.
pub(super) async fn begun(shared: &Arc<Shared>, until: Instant) -> Result<Session> {
    let context = RunContext { query_id: None, deadline: until };
    let mut session = Session::open(shared, Access::Read, Work::Describe, &context).await?;
    session.begin().await?;
    Ok(session)
}
