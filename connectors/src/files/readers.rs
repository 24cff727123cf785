//! Readers for the formats for which DataFusion's own reader returns wrong rows. DataFusion finds the columns of Arrow
//! files by their position in the port, whatever the file's order. It reads text with Arrow's parsers, which cut
//! values.

use std::io::BufReader;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonDecoder;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    ArrowOpener, CsvSource, FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::boundary_stream::AlignedBoundaryStream;
use datafusion_datasource::decoder::{DecoderDeserializer, deserialize_stream};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use portolan_catalog::FileFormat;

use super::adapter::ColumnError;
use super::format::Encoding;
use super::strict::{as_text, value_of_text};
use super::widening::{read_as, widens};

type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// A file source that differs from DataFusion's only in how it opens files.
pub(super) struct OwnReader {
    pub(super) inner: Arc<dyn FileSource>,
    pub(super) encoding: Encoding,
    pub(super) batch_size: usize,
}

impl FileSource for OwnReader {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let table = self.inner.table_schema();
        let all: Vec<usize> = (0..table.table_schema().fields().len()).collect();
        let everything = || ProjectionExprs::from_indices(&all, table.table_schema());
        let projection = self.inner.projection().cloned().unwrap_or_else(everything);
        let split = SplitProjection::new(table.file_schema(), &projection);
        let columns = Arc::new(table.file_schema().project(&split.file_indices)?);
        let opener: Arc<dyn FileOpener> = match self.encoding.format {
            FileFormat::Arrow => {
                let is_stream = self.inner.file_type() == "arrow_stream";
                Arc::new(ByName { store, columns, is_stream })
            }
            FileFormat::Csv => self.csv_opener(store, config, partition, &split.file_indices, columns)?,
            FileFormat::Json => {
                let compression = FileCompressionType::from(self.encoding.compression);
                Arc::new(JsonLines { store, columns, compression, batch_size: self.batch_size })
            }
            FileFormat::Parquet => return self.inner.create_file_opener(store, config, partition),
        };
        ProjectionOpener::try_new(split, opener, table.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { inner: self.inner.clone(), encoding: self.encoding.clone(), batch_size })
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

impl OwnReader {
    /// Returns DataFusion's CSV reader, which reads a column as text if Arrow would cut the values.
    fn csv_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
        wanted: &[usize],
        columns: SchemaRef,
    ) -> Result<Arc<dyn FileOpener>> {
        let names = self.inner.table_schema().file_schema().fields().iter().map(|f| f.name().clone()).collect();
        let text = as_text(self.inner.table_schema().file_schema(), true);
        let projection = ProjectionExprs::from_indices(wanted, &text);
        let source = CsvSource::new(TableSchema::from(text)).with_csv_options(self.encoding.csv_options());
        let source = source.with_batch_size(self.batch_size);
        let source = source.try_pushdown_projection(&projection)?.unwrap_or(source);
        let inner = source.create_file_opener(store, config, partition)?;
        Ok(Arc::new(CsvRecords { inner, names, columns }))
    }
}

/// Opens Arrow files, and finds the columns of each file by name.
struct ByName {
    store: Arc<dyn ObjectStore>,
    columns: SchemaRef,
    is_stream: bool,
}

impl FileOpener for ByName {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let Some(own) = file.arrow_schema.clone() else {
            return Err(DataFusionError::Internal("the columns of an Arrow file were not checked".to_owned()));
        };
        let columns = self.columns.clone();
        let places: Vec<Option<usize>> = columns.fields().iter().map(|f| own.index_of(f.name()).ok()).collect();
        let read: Vec<usize> = places.iter().flatten().copied().collect();
        let inner = match self.is_stream {
            true => ArrowOpener::new_stream_file_opener(self.store.clone(), Some(read)),
            false => ArrowOpener::new_file_opener(self.store.clone(), Some(read)),
        };
        let opening = inner.open(file)?;
        let is_there: Vec<bool> = places.iter().map(Option::is_some).collect();
        Ok(async move {
            let batches = opening.await?.map(move |batch| in_order(&batch?, &columns, &is_there));
            Ok(batches.boxed())
        }
        .boxed())
    }
}

/// Returns the columns of a batch in the port's order. Checks their types again: another file may have taken the place
/// of the one that was planned.
fn in_order(batch: &RecordBatch, columns: &SchemaRef, is_there: &[bool]) -> Result<RecordBatch> {
    let mut read = batch.schema_ref().fields().iter().zip(batch.columns());
    let arrays = columns.fields().iter().zip(is_there).map(|(field, is_there)| {
        if !is_there {
            return Ok(new_null_array(field.data_type(), batch.num_rows()));
        }
        match read.next() {
            Some((own, _)) if own.name() == field.name() && !widens(own.data_type(), field.data_type()) => {
                Err(ColumnError::unlike(own, field))
            }
            Some((own, array)) if own.name() == field.name() => {
                read_as(array, field.data_type()).map_err(|what| ColumnError::of(field.name(), &what))
            }
            _ => Err(ColumnError::of(field.name(), "the file has changed while it was being read")),
        }
    });
    rows(columns, arrays.collect::<Result<_>>()?, batch.num_rows())
}

/// Opens CSV files, whose columns have the types of [`as_text`].
struct CsvRecords {
    inner: Arc<dyn FileOpener>,
    /// All columns of the files.
    names: Vec<String>,
    columns: SchemaRef,
}

impl FileOpener for CsvRecords {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (columns, names) = (self.columns.clone(), self.names.clone());
        let opening = self.inner.open(file)?;
        Ok(async move {
            let batches = opening.await?.map(move |batch| match batch {
                Ok(batch) => from_text(&batch, &columns),
                Err(error) => Err(with_column_name(error, &names)),
            });
            Ok(batches.boxed())
        }
        .boxed())
    }
}

/// Adds the column's name: the CSV reader reports only its number.
fn with_column_name(error: DataFusionError, names: &[String]) -> DataFusionError {
    let DataFusionError::ArrowError(arrow, backtrace) = error else { return error };
    let ArrowError::ParseError(message) = *arrow else { return DataFusionError::ArrowError(arrow, backtrace) };
    let named = message.split_once(" for column ").and_then(|(before, after)| {
        let (number, rest) = after.split_once(" at line ")?;
        let name = names.get(number.parse::<usize>().ok()?)?;
        Some(format!("{before} for column `{name}` at line {rest}"))
    });
    DataFusionError::ArrowError(Box::new(ArrowError::ParseError(named.unwrap_or(message))), backtrace)
}

/// Opens files of JSON lines.
struct JsonLines {
    store: Arc<dyn ObjectStore>,
    columns: SchemaRef,
    compression: FileCompressionType,
    batch_size: usize,
}

impl FileOpener for JsonLines {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (store, columns, compression) = (self.store.clone(), self.columns.clone(), self.compression);
        let text = as_text(&columns, false);
        // Numbers in a string column become strings, as the file writes them.
        let reader = ReaderBuilder::new(text).with_batch_size(self.batch_size).with_coerce_primitive(true);
        Ok(async move {
            let batches = json_batches(&store, &file, compression, reader).await?;
            Ok(batches.map(move |batch| from_text(&batch?, &columns)).boxed())
        }
        .boxed())
    }
}

async fn json_batches(
    store: &Arc<dyn ObjectStore>,
    file: &PartitionedFile,
    compression: FileCompressionType,
    reader: ReaderBuilder,
) -> Result<BatchStream> {
    let path = &file.object_meta.location;
    let chunks: BoxStream<'static, Result<bytes::Bytes>> = match &file.range {
        Some(range) => {
            let (start, end) = (range.start.unsigned_abs(), range.end.unsigned_abs());
            let size = file.object_meta.size;
            let lines = AlignedBoundaryStream::new(store.clone(), path.clone(), start, end, size, b'\n').await?;
            lines.map_err(DataFusionError::from).boxed()
        }
        None => match store.get(path).await?.payload {
            GetResultPayload::File(file, _) => {
                let lines = reader.build(BufReader::new(compression.convert_read(file)?))?;
                return Ok(futures::stream::iter(lines).map(|batch| batch.map_err(Into::into)).boxed());
            }
            GetResultPayload::Stream(bytes) => bytes.map_err(DataFusionError::from).boxed(),
        },
    };
    let decoder = DecoderDeserializer::new(JsonDecoder::new(reader.build_decoder()?));
    Ok(deserialize_stream(compression.convert_stream(chunks)?.fuse(), decoder).map_err(Into::into).boxed())
}

/// Parses the values that were read as text.
fn from_text(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch> {
    let value = |(field, array): (&FieldRef, &ArrayRef)| {
        value_of_text(array, field.data_type()).map_err(|what| ColumnError::of(field.name(), &what))
    };
    let arrays = columns.fields().iter().zip(batch.columns()).map(value).collect::<Result<_>>()?;
    rows(columns, arrays, batch.num_rows())
}

fn rows(columns: &SchemaRef, arrays: Vec<ArrayRef>, count: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(columns.clone(), arrays, &options)?)
}
