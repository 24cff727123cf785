//! Tests over a real MariaDB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod appending;
mod describing;
mod faults;
mod joins;
mod reading;
mod server;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use portolan_catalog::DatabaseRelation;

use super::MysqlDatabase;
use crate::databases::{Database, DescribedTable, RunContext};
use crate::error::Result;
use crate::sql::SqlQuery;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn context() -> RunContext {
    RunContext { query_id: Some("7b-1".into()), deadline: soon() }
}

fn relation(name: &str) -> DatabaseRelation {
    DatabaseRelation::Table { schema: None, name: name.to_owned() }
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>()))
}

/// Runs a query to its end.
async fn rows(database: &MysqlDatabase, text: &str, columns: &[(&str, DataType)]) -> Result<Vec<RecordBatch>> {
    database.query(SqlQuery::whole(text), schema(columns), context()).await?.try_collect().await
}

/// Reads all columns of a table as it is described.
async fn read(database: &MysqlDatabase, table: &str, wanted: &BTreeMap<String, DataType>) -> Result<Vec<RecordBatch>> {
    let described = database.describe(&relation(table), wanted, soon()).await?;
    read_described(database, &relation(table), &described).await
}

async fn read_described(
    database: &MysqlDatabase,
    relation: &DatabaseRelation,
    described: &DescribedTable,
) -> Result<Vec<RecordBatch>> {
    let readable: Vec<_> = described.columns.iter().filter(|column| column.data_type.is_ok()).collect();
    let list: Vec<_> = readable.iter().enumerate().map(|(i, column)| format!("{} AS c{i}", column.sql)).collect();
    let columns: Vec<_> =
        readable.iter().map(|column| (column.name.as_str(), column.data_type.clone().unwrap())).collect();
    let text = format!("SELECT {} FROM {} AS t", list.join(", "), database.clause_of(relation));
    rows(database, &text, &columns).await
}

/// Returns the cells of batches as text, a line for each row.
fn cells(batches: &[RecordBatch]) -> Vec<String> {
    let table = pretty_format_batches(batches).unwrap().to_string();
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" | ")).collect()
}
