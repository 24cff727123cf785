//! Tests over real files, which another connection writes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod append;
mod checks;
mod describe;
mod faults;
mod types;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::TryStreamExt;
use portolan_catalog::DatabaseRelation;
use rusqlite::Connection;
use tempfile::TempDir;

use super::SqliteDatabase;
use crate::databases::{Database, DescribedTable, Origin, RunContext};
use crate::error::{Error, Result};
use crate::source_options::DatabaseOptions;
use crate::sql::{ColumnUsage, SqlQuery};

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A file, its writer, and the database under test.
struct File {
    folder: TempDir,
    database: SqliteDatabase,
}

impl File {
    /// Creates a file with these statements.
    fn new(sql: &str) -> Self {
        Self::with_options(sql, &DatabaseOptions::default())
    }

    fn with_options(sql: &str, options: &DatabaseOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        Self { database: open(path, options), folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// Writes with a connection of its own.
    fn write(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    async fn describe(&self, table: &str, wanted: &[(&str, DataType)]) -> Result<DescribedTable> {
        let relation = DatabaseRelation::Table { schema: None, name: table.to_owned() };
        self.describe_relation(&relation, wanted).await
    }

    async fn describe_query(&self, text: &str, wanted: &[(&str, DataType)]) -> Result<DescribedTable> {
        self.describe_relation(&DatabaseRelation::Query(text.to_owned()), wanted).await
    }

    async fn describe_relation(
        &self,
        relation: &DatabaseRelation,
        wanted: &[(&str, DataType)],
    ) -> Result<DescribedTable> {
        let wanted: BTreeMap<_, _> =
            wanted.iter().map(|(name, data_type)| ((*name).to_owned(), data_type.clone())).collect();
        self.database.describe(relation, &wanted, soon()).await
    }

    async fn rows(&self, sql: &str, columns: &[(&str, DataType)]) -> Result<Vec<RecordBatch>> {
        self.rows_until(sql, columns, soon()).await
    }

    async fn rows_until(&self, sql: &str, columns: &[(&str, DataType)], deadline: Instant) -> Result<Vec<RecordBatch>> {
        let context = RunContext { query_id: None, deadline };
        self.database.query(SqlQuery::whole(sql), schema(columns), context).await?.try_collect().await
    }

    /// Returns the values of the only column, as text.
    async fn values(&self, sql: &str, data_type: DataType) -> Result<Vec<String>> {
        let batches = self.rows(sql, &[("x", data_type)]).await?;
        let text = |batch: &RecordBatch| -> Vec<String> {
            let column = batch.column(0);
            let shown = |row| arrow::util::display::array_value_to_string(column, row).unwrap();
            (0..batch.num_rows()).map(|row| if column.is_null(row) { "NULL".to_owned() } else { shown(row) }).collect()
        };
        Ok(batches.iter().flat_map(text).collect())
    }

    /// Returns the rows of a table that fulfil a condition over a column `c0`, as the emitter writes it.
    async fn filtered(&self, table: &DescribedTable, from: &str, condition: &str) -> Result<Vec<String>> {
        let column = &table.columns[0];
        let sql =
            format!("SELECT q1.c0 FROM (SELECT {} AS c0 FROM \"{from}\" AS t) AS q1 WHERE {condition}", column.sql);
        self.values(&sql, column.data_type.clone().unwrap()).await
    }
}

fn open(path: PathBuf, options: &DatabaseOptions) -> SqliteDatabase {
    let url = format!("sqlite://{}", path.display());
    SqliteDatabase::new(Origin { shown: "SQLite `shop`".to_owned(), url }, path, options).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn usages(table: &DescribedTable) -> Vec<(&str, ColumnUsage)> {
    table.columns.iter().map(|column| (column.name.as_str(), column.usage)).collect()
}

fn message(error: &Error) -> String {
    error.to_string()
}
