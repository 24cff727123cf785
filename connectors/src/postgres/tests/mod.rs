//! Tests on a real server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod append;
mod describe;
mod faults;
mod reading;
mod server;
mod statistics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::Array;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use portolan_catalog::DatabaseRelation;

use self::server::{TestDatabase, options};
use super::PostgresDatabase;
use crate::databases::{Database, DescribedTable, RunContext};
use crate::error::{Error, Result};
use crate::source_options::DatabaseOptions;
use crate::sql::SqlQuery;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn context() -> RunContext {
    RunContext { query_id: Some("q1".to_owned()), deadline: soon() }
}

fn one_connection() -> DatabaseOptions {
    DatabaseOptions { connections: 1, ..options("postgres", None) }
}

fn table(name: &str) -> DatabaseRelation {
    DatabaseRelation::Table { schema: None, name: name.to_owned() }
}

fn one(name: &str, data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, data_type, true)]))
}

async fn described(database: &PostgresDatabase, relation: &DatabaseRelation) -> Result<DescribedTable> {
    database.describe(relation, &BTreeMap::new(), soon()).await
}

/// Runs a query and returns all rows.
async fn rows(database: &PostgresDatabase, sql: SqlQuery, schema: SchemaRef) -> Result<RecordBatch> {
    let batches: Vec<_> = database.query(sql, schema.clone(), context()).await?.try_collect().await?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

/// Reads a table as it is described, in the order of its first column.
async fn all(database: &PostgresDatabase, name: &str) -> Result<RecordBatch> {
    let described = described(database, &table(name)).await?;
    let fields: Vec<_> = described
        .columns
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.clone().unwrap(), true))
        .collect();
    let columns: Vec<_> = described.columns.iter().map(|column| column.sql.clone()).collect();
    let text = format!("SELECT {} FROM {} t ORDER BY 1", columns.join(", "), database.clause_of(&table(name)));
    rows(database, SqlQuery::whole(text), Arc::new(Schema::new(fields))).await
}

/// Returns the values of a column as text; NULL is `-`.
fn texts(column: &dyn Array) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let formatter = ArrayFormatter::try_new(column, &options).unwrap();
    (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
}

fn failure<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error,
    }
}
