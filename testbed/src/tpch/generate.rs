//! Generates the tables of TPC-H as Parquet files. The cache keeps them.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchReader};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use portolan_connectors::lock;
use portolan_node::{Error, ErrorKind, Result};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

use super::TABLES;

/// The rows of a row group: few enough that two cores share the work at the scale of the demo.
const ROW_GROUP_ROWS: usize = 256 * 1024;
const BATCH_ROWS: usize = 8 * 1024;

/// A callback for every batch that was written: the table and the number of rows.
pub type OnBatch<'a> = &'a (dyn Fn(&'static str, usize) + Sync);

/// Returns the number of rows of a table at this scale, by the specification. For `lineitem` it is an approximation.
pub fn expected_rows(table: &str, scale: f64) -> u64 {
    let rows = match table {
        "lineitem" => 6_001_215.0 * scale,
        "orders" => 1_500_000.0 * scale,
        "customer" => 150_000.0 * scale,
        "partsupp" => 800_000.0 * scale,
        "part" => 200_000.0 * scale,
        "supplier" => 10_000.0 * scale,
        "nation" => 25.0,
        _ => 5.0,
    };
    // Never negative, and far below 2^53.
    rows.round() as u64
}

/// Writes `folder/<table>.parquet` for every table, on two threads. `cancel` stops it between two batches.
///
/// # Errors
/// A scale that is not above 0 and at most 1000, a disk that is full or cannot be written, or `cancel`.
pub fn generate(folder: &Path, scale: f64, on_batch: OnBatch<'_>, cancel: &AtomicBool) -> Result<()> {
    if !(scale.is_finite() && scale > 0.0 && scale <= 1000.0) {
        return Err(Error::config(format!("expected a scale above 0 and at most 1000, got {scale}")));
    }
    let failed = AtomicBool::new(false);
    let stopped = || cancel.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
    let queue = Mutex::new(TABLES.iter());
    let work = || -> Result<()> {
        loop {
            let next = lock(&queue).next();
            let Some(table) = next else { return Ok(()) };
            let written = write_table(&folder.join(format!("{}.parquet", table.name)), table.name, scale, &|rows| {
                on_batch(table.name, rows);
                if stopped() { Err(Error::interrupted()) } else { Ok(()) }
            });
            if written.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            written?;
        }
    };
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let here = work();
        let there = other.join().unwrap_or_else(|_| Err(Error::failed("a thread that generates data panicked")));
        (here, there)
    });
    // A thread that was stopped because the other one failed has no error of its own.
    match (first, second) {
        (Err(e), other) if e.kind() == ErrorKind::Interrupted => other.and(Err(e)),
        (first, second) => first.and(second),
    }
}

/// Returns the rows of a table in batches.
///
/// # Errors
/// A table that TPC-H does not have.
pub fn reader(table: &str, scale: f64) -> Result<Box<dyn RecordBatchReader + Send>> {
    let n = BATCH_ROWS;
    Ok(match table {
        "lineitem" => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)).with_batch_size(n)),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, 1, 1)).with_batch_size(n)),
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)).with_batch_size(n)),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)).with_batch_size(n)),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, 1, 1)).with_batch_size(n)),
        "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)).with_batch_size(n)),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1)).with_batch_size(n)),
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1)).with_batch_size(n)),
        _ => return Err(Error::failed(format!("TPC-H has no table `{table}`"))),
    })
}

fn write_table(path: &Path, table: &str, scale: f64, on_batch: &dyn Fn(usize) -> Result<()>) -> Result<()> {
    let failed = |e: parquet::errors::ParquetError| Error::output(path.display(), e);
    let reader = reader(table, scale)?;
    let schema = with_plain_strings(&reader.schema());
    let file = File::create(path).map_err(|e| Error::output(path.display(), e))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(BufWriter::with_capacity(1 << 20, file), schema.clone(), Some(properties))
        .map_err(failed)?;
    for batch in reader {
        let batch = batch.map_err(|e| Error::failed(format!("cannot generate `{table}`")).with_source(e))?;
        let rows = batch.num_rows();
        writer.write(&with_schema(&batch, &schema)?).map_err(failed)?;
        on_batch(rows)?;
    }
    let file = writer.into_inner().map_err(failed)?;
    let file = file.into_inner().map_err(|e| Error::output(path.display(), e.into_error()))?;
    file.sync_all().map_err(|e| Error::output(path.display(), e))
}

/// Returns the schema with plain strings: the generator has views, which not every reader of Parquet understands.
fn with_plain_strings(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View => Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable())),
        _ => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    columns
        .collect::<arrow::error::Result<Vec<_>>>()
        .and_then(|columns| RecordBatch::try_new(schema.clone(), columns))
        .map_err(|e| Error::failed("cannot convert generated data").with_source(e))
}
