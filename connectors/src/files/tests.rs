#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Real files of every format, good and bad, opened and queried through a session.

mod bad;
mod describe;
mod formats;
mod local;
mod panics;
mod remote;
mod root;
mod statistics;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{SessionConfig, SessionContext};
use portolan_catalog::{Column, ColumnFormat, FileFormat, FileSource, Place, Port, PortRef, PortSource, SourceKind};
use tempfile::TempDir;

use super::FileSources;
use crate::error::Error;
use crate::source::{OpenError, OpenedPort, SourceOpener};

/// A folder with files, and a port over it.
pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) port: Port,
}

impl Fixture {
    /// Returns a port with these columns (`name: logicalType`, an empty type for none) over `location` in a new folder.
    pub(super) fn new(format: FileFormat, location: &str, columns: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let source = PortSource {
            server: "lake".to_owned(),
            kind: SourceKind::Files(FileSource::new(location, folder.path(), format)),
            declared_at: columns.iter().map(|(name, _)| ((*name).to_owned(), place(name))).collect(),
            place: place("servers[0]"),
        };
        let columns = columns.iter().map(|(name, logical)| column(name, logical));
        let mut port = Port::new(PortRef::new("sales", "orders", "orders")).with_columns(columns);
        port.source = Some(source);
        Self { folder, port }
    }

    /// Returns the description of the port's files.
    pub(super) fn files(&mut self) -> &mut FileSource {
        match &mut self.port.source.as_mut().unwrap().kind {
            SourceKind::Files(files) => files,
            other => panic!("the fixture has files, got {}", other.name()),
        }
    }

    /// Returns the notation of a column.
    pub(super) fn format(&mut self, column: &str) -> &mut ColumnFormat {
        self.files().columns.entry(column.to_owned()).or_default()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn parquet(&self, name: &str, batch: &RecordBatch) -> PathBuf {
        let path = self.write(name, []);
        write_parquet(&path, batch);
        path
    }

    pub(super) async fn open(&self) -> Result<(OpenedPort, SessionContext), OpenError> {
        self.open_with(&FileSources::default()).await
    }

    pub(super) async fn open_with(&self, sources: &FileSources) -> Result<(OpenedPort, SessionContext), OpenError> {
        let runtime = Arc::new(RuntimeEnv::default());
        let opened = sources.open(&self.port, &runtime).await?;
        let config = SessionConfig::new().with_target_partitions(2);
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.register_table("t", opened.provider.clone()).unwrap();
        Ok((opened, context))
    }

    /// Opens the port for a session that cuts files into ranges even if they are small.
    pub(super) async fn open_in_ranges(&self) -> SessionContext {
        let (opened, context) = self.open().await.unwrap();
        let mut config = SessionConfig::new().with_target_partitions(4);
        config.options_mut().optimizer.repartition_file_min_size = 1;
        let context = SessionContext::new_with_config_rt(config, context.runtime_env());
        context.register_table("t", opened.provider.clone()).unwrap();
        context
    }

    /// Returns the error of opening the port, as a person reads it.
    pub(super) async fn refused(&self) -> String {
        self.open().await.err().expect("the port opens").to_string()
    }

    /// Opens the port and runs `sql` over it as table `t`.
    pub(super) async fn query(&self, sql: &str) -> String {
        let (_, context) = self.open().await.unwrap();
        rows(&context, sql).await.unwrap()
    }
}

pub(super) async fn rows(context: &SessionContext, sql: &str) -> Result<String, DataFusionError> {
    let batches = context.sql(sql).await?.collect().await?;
    let text = pretty_format_batches(&batches)?.to_string();
    // The header and the rows, without the frame.
    Ok(text.lines().filter(|l| l.starts_with('|')).skip(1).collect::<Vec<_>>().join("\n"))
}

/// Returns the project's own error within an error of DataFusion.
pub(super) fn ours(error: &DataFusionError) -> &Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        if let Some(ours) = e.downcast_ref::<Error>() {
            return ours;
        }
        if let Some(DataFusionError::External(inner)) = e.downcast_ref::<DataFusionError>()
            && let Some(ours) = inner.downcast_ref::<Error>()
        {
            return ours;
        }
        next = e.source();
    }
    panic!("not an error of ours: {error}")
}

pub(super) fn place(field: &str) -> Place {
    Place { file: PathBuf::from("orders.odcs.yaml"), line: Some(7), field: field.to_owned() }
}

pub(super) fn column(name: &str, logical: &str) -> Column {
    let logical_type = (!logical.is_empty()).then(|| logical.to_owned());
    let mut column = Column::new(name);
    (column.nullable, column.logical_type) = (false, logical_type);
    column
}

pub(super) fn batch(ids: &[i64]) -> RecordBatch {
    let names = ids.iter().map(|id| format!("n{id}"));
    let prices = ids.iter().map(|id| *id as f64 / 2.0);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(ids.to_vec()))),
        ("name", Arc::new(StringArray::from_iter_values(names))),
        ("price", Arc::new(Float64Array::from_iter_values(prices))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(super) fn write_parquet(path: &Path, batch: &RecordBatch) {
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

pub(super) fn write_arrow(path: &Path, batch: &RecordBatch, is_stream: bool) {
    let file = fs::File::create(path).unwrap();
    if is_stream {
        let mut writer = StreamWriter::try_new(file, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new(file, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    }
}

/// Returns a row with two columns `a`, of one type or of two, and then `id` with the value 3.
pub(super) fn repeated(has_two_types: bool) -> RecordBatch {
    let int = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let second: ArrayRef = if has_two_types { Arc::new(StringArray::from(vec!["x"])) } else { int(2) };
    let columns = vec![int(1), second, int(3)];
    let fields = ["a", "a", "id"].into_iter().zip(&columns);
    let fields: Vec<Field> = fields.map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

pub(super) const COLUMNS: &[(&str, &str)] = &[("id", "integer"), ("name", "string"), ("price", "number")];
