//! The four sides of the measurement. All run the same text over the same files.

use std::path::Path;
use std::time::Duration;

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use portolan_engine::{Principal, Session};
use portolan_node::client::Client;
use portolan_node::{Error, Result};
use portolan_testbed::compare::{Order, compare};
use portolan_testbed::mesh::LocalMesh;
use portolan_testbed::single::single_process;
use portolan_testbed::tpch::TABLES;
use serde_json::{Value, json};

use super::queries::Report;
use crate::asked::{Answer, Settings, session};
use crate::engine_process::{EngineProcess, rivals, work_folder};
use crate::measure::in_one_process;
use crate::options::this_program;

/// The setting of the sides that compute each part as often as the text has it.
const UNSHARED: Settings = &[("share", "off")];
/// The time limit of a query in DuckDB, in seconds.
const TIMEOUT: u64 = 300;

/// A side.
#[derive(Clone, Copy)]
pub enum Side {
    /// One process that owns all domains, without shared parts.
    OneProcess,
    /// The mesh without shared parts.
    Unshared,
    /// The mesh.
    Shared,
    DuckDb,
}

impl Side {
    /// The sides, in the order of the table.
    pub const ALL: [Self; 4] = [Self::OneProcess, Self::Unshared, Self::Shared, Self::DuckDb];

    fn name(self) -> &'static str {
        match self {
            Self::OneProcess => "one process",
            Self::Unshared => "the mesh without shared parts",
            Self::Shared => "the mesh",
            Self::DuckDb => "DuckDB",
        }
    }

    /// Returns an error that names a query and this side.
    fn failed(self, report: &Report, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::failed(format!("query {}, {}", report.name, self.name())).with_source(source)
    }
}

/// The number of rows of a query, and the bytes that crossed edges for it.
pub struct Checked {
    pub rows: usize,
    /// The bytes without shared parts, and with them.
    pub bytes: [u64; 2],
}

/// All sides, ready to run queries.
pub struct Sides {
    one_process: Session,
    unshared: Client,
    shared: Client,
    duckdb: EngineProcess,
    mesh: LocalMesh,
}

impl Sides {
    /// Starts DuckDB, one process, and the mesh.
    ///
    /// # Errors
    /// A side that does not start, or does not know the setting.
    pub async fn start(python: &Path, data: &Path) -> Result<Self> {
        let folder = work_folder()?;
        let command = rivals(python, "duckdb-files", folder.path())?;
        let duckdb = EngineProcess::start("DuckDB", command, folder, &tables(data), TIMEOUT).await?;
        let one_process = single_process(data).await?.session(Principal::anonymous());
        for (name, value) in UNSHARED {
            one_process.set(&format!("portolan.{name}"), value)?;
        }
        let mesh = LocalMesh::start(&this_program()?, data).await?;
        let unshared = session(&mesh, UNSHARED).await?;
        let shared = session(&mesh, &[]).await?;
        Ok(Self { one_process, unshared, shared, duckdb, mesh })
    }

    /// Returns the version of DuckDB.
    pub fn version(&self) -> &str {
        self.duckdb.version()
    }

    /// Runs a query on all sides, and compares the rows with those of the one process.
    ///
    /// # Errors
    /// A side that returns an error or other rows, with the name of the query.
    pub async fn check(&mut self, report: &Report) -> Result<Checked> {
        let sql = report.sql;
        let (schema, batches, _) =
            in_one_process(self.one_process.sql(sql)).await.map_err(|e| Side::OneProcess.failed(report, e))?;
        let same = |side: Side, (columns, rows): (&SchemaRef, &[RecordBatch])| {
            compare((&schema, &batches), (columns, rows), &Order::Exact).map_err(|e| side.failed(report, e))
        };
        let mut bytes = [0; 2];
        let meshes = [(Side::Unshared, &self.unshared), (Side::Shared, &self.shared)];
        for ((side, client), bytes) in meshes.into_iter().zip(&mut bytes) {
            let answer = Answer::of(client, sql).await.map_err(|e| side.failed(report, e))?;
            same(side, answer.result())?;
            *bytes = answer.bytes();
        }
        let values = self.duckdb.values(sql).await.map_err(|e| Side::DuckDb.failed(report, e))?;
        let rows = batch(&schema, &values).map_err(|e| Side::DuckDb.failed(report, e))?;
        same(Side::DuckDb, (&schema, std::slice::from_ref(&rows)))?;
        Ok(Checked { rows: values.len(), bytes })
    }

    /// Runs a query on a side, and returns the time from the text to the last row.
    ///
    /// # Errors
    /// The error of the side.
    pub async fn time(&mut self, side: Side, report: &Report) -> Result<Duration> {
        let sql = report.sql;
        let time = match side {
            Side::OneProcess => in_one_process(self.one_process.sql(sql)).await.map(|(_, _, time)| time),
            Side::Unshared => Answer::of(&self.unshared, sql).await.map(|answer| answer.time),
            Side::Shared => Answer::of(&self.shared, sql).await.map(|answer| answer.time),
            Side::DuckDb => self.duckdb.run(sql).await.map(|ran| ran.time),
        };
        time.map_err(|e| side.failed(report, e))
    }

    /// Stops DuckDB and the mesh.
    pub async fn stop(self) {
        let Self { one_process, unshared, shared, duckdb, mesh } = self;
        // A node that stops waits for its sessions.
        drop((one_process, unshared, shared));
        duckdb.stop().await;
        mesh.stop().await;
    }
}

/// Returns the first line for DuckDB: the name of each port, and its file.
fn tables(data: &Path) -> Value {
    let tables = TABLES.iter().map(|table| {
        let name = format!("{}.{}.{}", table.domain, table.product, table.name);
        json!({ "name": name, "file": data.join(format!("{}.parquet", table.name)) })
    });
    json!({ "tables": tables.collect::<Vec<_>>() })
}

/// Returns the rows of another engine in the types of this schema.
///
/// # Errors
/// A row with more or fewer values than the schema has columns, or a value that is not of its column's type.
fn batch(schema: &SchemaRef, rows: &[Vec<Option<String>>]) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = schema.fields().len();
    if let Some(row) = rows.iter().find(|row| row.len() != columns) {
        return Err(ArrowError::InvalidArgumentError(format!("expected {columns} values in a row, got {}", row.len())));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema.fields().iter().enumerate().map(|(i, field)| {
        let text: StringArray = rows.iter().map(|row| row[i].as_deref()).collect();
        cast_with_options(&text, field.data_type(), &strict)
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<std::result::Result<Vec<ArrayRef>, _>>()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow::util::pretty::pretty_format_batches;

    use super::*;

    #[test]
    fn text_becomes_values_of_the_types_of_the_columns() {
        let fields = vec![
            Field::new("name", DataType::Utf8View, true),
            Field::new("total", DataType::Decimal128(38, 4), true),
            Field::new("day", DataType::Date32, true),
        ];
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let text = |values: [&str; 3]| values.map(|value| Some(value.to_owned())).to_vec();
        let rows = [text(["a", "1234567890123456789.5000", "1996-02-29"]), vec![None, None, None]];
        let read = batch(&schema, &rows).unwrap();
        let shown = pretty_format_batches(std::slice::from_ref(&read)).unwrap().to_string();
        assert!(shown.contains("| a    | 1234567890123456789.5000 | 1996-02-29 |"), "{shown}");
        assert_eq!(read.column(1).null_count(), 1);
        batch(&schema, &[text(["a", "1.5", "1996-02-30"])]).unwrap_err();
        batch(&schema, &[vec![None]]).unwrap_err();
    }
}
