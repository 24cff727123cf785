//! Adds the names of the port and the file to every error of reading a file. The wrapper is around the reader of each
//! file, below every operator that DataFusion pushes into a scan. A panic of a reader becomes an error, too.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use portolan_catalog::FileFormat;

use super::format::Encoding;
use super::layout::Layout;
use super::origin::Origin;
use super::readers::OwnReader;
use crate::panics::{Panic, caught, caught_async};

/// The number of rows of a batch if the session has none.
const BATCH_SIZE: usize = 8192;

/// The files of a planned scan.
#[derive(Debug)]
pub(super) struct ScannedFiles {
    pub(super) origin: Arc<Origin>,
    pub(super) encoding: Encoding,
    pub(super) layout: Layout,
    /// True if parts of a file can be read at the same time.
    pub(super) is_splittable: bool,
}

/// Wraps the file source of a planned scan, so that errors name the file. Uses this crate's own reader of the format,
/// if there is one.
pub(super) fn with_error_context(plan: Arc<dyn ExecutionPlan>, files: ScannedFiles) -> Arc<dyn ExecutionPlan> {
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else { return plan };
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return plan };
    let inner = config.file_source().clone();
    let named = Arc::new(NamedSource { inner, files: Arc::new(files), batch_size: BATCH_SIZE });
    DataSourceExec::from_data_source(FileScanConfigBuilder::from(config.clone()).with_source(named).build())
}

/// A file source that adds the names of files to errors. The inner source does all other work.
struct NamedSource {
    inner: Arc<dyn FileSource>,
    files: Arc<ScannedFiles>,
    batch_size: usize,
}

impl NamedSource {
    fn wrap(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, files: self.files.clone(), batch_size: self.batch_size })
    }

    /// Returns the source that opens files.
    fn reader(&self) -> Arc<dyn FileSource> {
        let ScannedFiles { encoding, layout, .. } = self.files.as_ref();
        if encoding.format == FileFormat::Parquet {
            return self.inner.clone();
        }
        let (inner, encoding, layout) = (self.inner.clone(), encoding.clone(), layout.clone());
        Arc::new(OwnReader { inner, encoding, layout, batch_size: self.batch_size })
    }
}

impl FileSource for NamedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.reader().create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.reader().create_morselizer(store, config, partition)?;
        Ok(Box::new(NamedMorselizer { inner, origin: self.files.origin.clone() }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let inner = self.inner.with_batch_size(batch_size);
        Arc::new(Self { inner, files: self.files.clone(), batch_size })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.files.is_splittable && self.inner.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        min_size: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        if !self.files.is_splittable {
            return Ok(None);
        }
        self.inner.repartitioned(target_partitions, min_size, ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let FilterPushdownPropagation { filters, updated_node } = self.inner.try_pushdown_filters(filters, config)?;
        let updated_node = updated_node.map(|inner| self.wrap(inner));
        Ok(FilterPushdownPropagation { filters, updated_node })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_sort(order, properties)?.map(|inner| self.wrap(inner)))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_projection(projection)?;
        Ok(pushed.map(|inner| self.wrap(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

#[derive(Debug)]
struct NamedMorselizer {
    inner: Box<dyn Morselizer>,
    origin: Arc<Origin>,
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let name = NamedFile { origin: self.origin.clone(), file: Arc::new(file.object_meta.location.clone()) };
        let planner = name.guard(|| self.inner.plan_file(file))?;
        Ok(name.planner(planner))
    }
}

/// The file that errors name.
#[derive(Clone, Debug)]
struct NamedFile {
    origin: Arc<Origin>,
    file: Arc<Path>,
}

impl NamedFile {
    fn put_on(&self, error: DataFusionError) -> DataFusionError {
        self.origin.name(&self.file, error)
    }

    /// Runs a reader, and adds the file's name to its errors.
    fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.named(caught(work))
    }

    fn named<T>(&self, outcome: Result<Result<T>, Panic>) -> Result<T> {
        match outcome {
            Ok(outcome) => outcome.map_err(|e| self.put_on(e)),
            Err(panic) => Err(self.origin.broken(&self.file, &panic)),
        }
    }

    fn planner(&self, inner: Box<dyn MorselPlanner>) -> Box<dyn MorselPlanner> {
        Box::new(NamedPlanner { inner, name: self.clone() })
    }
}

#[derive(Debug)]
struct NamedPlanner {
    inner: Box<dyn MorselPlanner>,
    name: NamedFile,
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, name } = *self;
        let Some(mut plan) = name.guard(|| inner.plan())? else { return Ok(None) };
        let morsels = plan.take_morsels().into_iter();
        let morsels =
            morsels.map(|inner| Box::new(NamedMorsel { inner, name: name.clone() }) as Box<dyn Morsel>).collect();
        let planners = plan.take_ready_planners().into_iter().map(|inner| name.planner(inner)).collect();
        let mut named = MorselPlan::new().with_morsels(morsels).with_planners(planners);
        if let Some(pending) = plan.take_pending_planner() {
            named.set_pending_planner(async move {
                let inner = name.named(caught_async(pending).await)?;
                Ok(name.planner(inner))
            });
        }
        Ok(Some(named))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    inner: Box<dyn Morsel>,
    name: NamedFile,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, name } = *self;
        match name.guard(|| Ok(inner.into_stream())) {
            // The stream ends after a panic.
            Ok(batches) => AssertUnwindSafe(batches)
                .catch_unwind()
                .map(move |batch| name.named(batch.map_err(|payload| Panic::of(payload.as_ref()))))
                .boxed(),
            Err(error) => stream::once(async move { Err(error) }).boxed(),
        }
    }
}
