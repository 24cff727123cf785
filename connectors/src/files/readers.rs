//! Readers for the formats for which DataFusion's own reader returns wrong rows. DataFusion finds the columns of Arrow
//! files and of CSV by their position in the port, whatever the file's order. It reads text with Arrow's parsers, which cut
//! values.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{ArrowOpener, FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use portolan_catalog::FileFormat;

use super::adapter::ColumnError;
use super::format::Encoding;
use super::layout::Layout;
use super::text::{TextScan, rows};
use super::widening::{read_as, widens};

/// A file source that differs from DataFusion's only in how it opens files.
pub(super) struct OwnReader {
    pub(super) inner: Arc<dyn FileSource>,
    pub(super) encoding: Encoding,
    pub(super) layout: Layout,
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
        let opener: Arc<dyn FileOpener> = match self.encoding.format {
            FileFormat::Arrow => {
                let columns = Arc::new(table.file_schema().project(&split.file_indices)?);
                let is_stream = self.inner.file_type() == "arrow_stream";
                Arc::new(ByName { store, columns, is_stream })
            }
            FileFormat::Csv | FileFormat::Json => {
                let (encoding, layout, wanted) =
                    (self.encoding.clone(), self.layout.clone(), split.file_indices.clone());
                let scan = TextScan::new(encoding, layout, wanted, self.batch_size)?;
                Arc::new(TextFiles { store, scan: Arc::new(scan) })
            }
            FileFormat::Parquet => return self.inner.create_file_opener(store, config, partition),
        };
        ProjectionOpener::try_new(split, opener, table.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let (inner, encoding, layout) = (self.inner.clone(), self.encoding.clone(), self.layout.clone());
        Arc::new(Self { inner, encoding, layout, batch_size })
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

/// Opens files of text.
struct TextFiles {
    store: Arc<dyn ObjectStore>,
    scan: Arc<TextScan>,
}

impl FileOpener for TextFiles {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (store, scan) = (self.store.clone(), self.scan.clone());
        Ok(async move {
            // The first fault ends the query.
            let batches = scan.open(store, &file, 1).await?;
            Ok(batches.map(|batch| batch?.into_rows()).boxed())
        }
        .boxed())
    }
}
