//! Tables as files: the formats, and a domain over files of one format.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::writer::FileWriter;
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{Diagnostics, DomainName, load_domain};
use portolan_connectors::{LocalDomain, Sources, open_domain};
use tempfile::TempDir;

use super::tables::Table;
use crate::products::{DOMAIN, write_domain};
use crate::ways::{port_of, write_parquet};

/// A format of files: the name in a contract, and a function that writes a file.
#[derive(Clone, Copy)]
pub(super) struct Format {
    name: &'static str,
    write: fn(&Path, &RecordBatch),
}

/// Parquet, which holds every table.
pub(super) const PARQUET: Format = Format { name: "parquet", write: write_parquet };
/// CSV with a header.
pub(super) const CSV: Format = Format { name: "csv", write: write_csv };
/// JSON lines.
pub(super) const JSON: Format = Format { name: "json", write: write_json };
/// Arrow IPC files.
pub(super) const ARROW: Format = Format { name: "arrow", write: write_arrow };

/// The state of the tables' data when the tables are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// The files are there.
    Present,
    /// No file is there.
    Missing,
}

/// A domain that is open, with the runtime and the folder of its files.
pub(super) struct OpenDomain {
    pub(super) local: LocalDomain,
    pub(super) runtime: Arc<RuntimeEnv>,
    pub(super) folder: TempDir,
}

impl OpenDomain {
    /// Writes the tables as files, and opens them as the ports of a domain. The columns of the files have the reverse
    /// order of the contract.
    pub(super) async fn over_files(format: Format, tables: &[Table], data: Data) -> Result<Self, Diagnostics> {
        let folder = TempDir::new().unwrap();
        let ports = tables.iter().map(|table| {
            let file = folder.path().join(format!("{}.{}", table.name, format.name));
            if data == Data::Present {
                let reversed: Vec<usize> = (0..table.rows.num_columns()).rev().collect();
                (format.write)(&file, &table.rows.project(&reversed).unwrap());
            }
            port_of(table.name, &file, format.name, &table.rows)
        });
        write_domain(DOMAIN, folder.path(), &ports.collect::<Vec<_>>());
        let catalog = load_domain(&DomainName::new(DOMAIN), &folder.path().join("products"))?;
        let runtime: Arc<RuntimeEnv> = Arc::default();
        let local = open_domain(catalog, &Sources::default(), &runtime).await?;
        Ok(Self { local, runtime, folder })
    }
}

fn write_csv(file: &Path, rows: &RecordBatch) {
    arrow::csv::Writer::new(File::create(file).unwrap()).write(rows).unwrap();
}

fn write_json(file: &Path, rows: &RecordBatch) {
    let mut writer = arrow::json::LineDelimitedWriter::new(File::create(file).unwrap());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
}

fn write_arrow(file: &Path, rows: &RecordBatch) {
    let mut writer = FileWriter::try_new(File::create(file).unwrap(), &rows.schema()).unwrap();
    writer.write(rows).unwrap();
    writer.finish().unwrap();
}
