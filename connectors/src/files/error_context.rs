//! Adds the names of the port and the file to every error of reading a file. The wrapper is around the reader of each
//! file, below every operator that DataFusion pushes into a scan. A panic of a reader becomes an error, too. Only the
//! owner of the port sees where the file is stored.

use std::fmt::{self, Debug};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use portolan_catalog::{FileFormat, PortRef, names_location};

use super::adapter::ColumnError;
use super::format::Encoding;
use super::listing::ListingError;
use super::location::Location;
use super::readers::OwnReader;
use crate::error::{Error, ErrorKind};
use crate::panics::{Panic, caught, caught_async};
use crate::source::SourceCounter;

/// The origin of a file's rows, for errors.
#[derive(Debug)]
pub(super) struct Origin {
    /// The port.
    pub(super) port: PortRef,
    /// The location of the files.
    pub(super) location: Location,
    /// The strings that no error may repeat.
    pub(super) redact: Redaction,
    /// Counts the errors.
    pub(super) counter: Arc<SourceCounter>,
}

/// Strings that no error may repeat.
#[derive(Clone, Default)]
pub(super) struct Redaction(pub(super) Vec<String>);

impl Origin {
    /// Returns the error for a file that cannot be read.
    pub(super) fn unreadable(&self, file: &Path, cause: DataFusionError) -> DataFusionError {
        let name = self.location.name_of(file);
        let what = if is_gone(&cause) { "is gone" } else { "cannot be read" };
        self.unavailable(format!("port {}: file {name} {what}", self.port), &cause)
    }

    /// Returns the error for a file whose reader panicked.
    pub(super) fn broken(&self, file: &Path, panic: &Panic) -> DataFusionError {
        let name = self.location.name_of(file);
        self.unavailable(format!("port {}: file {name} cannot be read", self.port), panic)
    }

    /// Returns the error for files that cannot be listed.
    pub(super) fn unlisted(&self, error: ListingError) -> DataFusionError {
        let context = |at: &str| format!("port {}: {}", self.port, error.message(at));
        let (owner, others) = (context(self.location.as_str()), context(self.location.last_segment()));
        let cause = match &error {
            ListingError::Store(cause) => Some(cause.to_string()),
            _ => None,
        };
        self.error(&owner, &others, cause)
    }

    /// Returns the error for files that cannot be found or read.
    pub(super) fn unavailable(&self, context: String, cause: &dyn std::error::Error) -> DataFusionError {
        self.error(&context, &context, Some(without_row(&cause.to_string())))
    }

    /// Returns the error for files that exist and cannot be used.
    pub(super) fn failed(&self, context: String) -> DataFusionError {
        self.error(&context, &context, None)
    }

    /// Returns an error that names the location of the files to the owner alone.
    fn error(&self, owner: &str, others: &str, cause: Option<String>) -> DataFusionError {
        self.counter.failed_to_read();
        let (mut owner, mut others) = (self.redact.clean(owner), self.for_others(&self.redact.clean(others)));
        if let Some(cause) = cause {
            let cause = self.redact.clean(&cause);
            owner = format!("{owner}: {cause}");
            // Readers and stores may add a location to any message.
            let cause = self.location.without_folders(&cause);
            if !names_location(&cause) {
                others = format!("{others}: {cause}");
            }
        }
        let error = Error::new(ErrorKind::SiteUnavailable, others).for_owner(owner);
        DataFusionError::External(Box::new(error))
    }

    /// Returns a message for others than the owner: with the names of files, but without their folders.
    fn for_others(&self, context: &str) -> String {
        let context = self.location.without_folders(context);
        let is_location = |word: &str| word.starts_with('/') || word.contains("://");
        match context.split([' ', '`']).any(is_location) {
            true => format!("port {}: one of its files cannot be read", self.port),
            false => context,
        }
    }

    /// Adds the name of the file to an error of its reader. Errors of the query's own expressions stay as they are.
    fn name(&self, file: &Path, error: DataFusionError) -> DataFusionError {
        if let DataFusionError::External(column) = error.find_root()
            && let Some(ColumnError(what)) = column.downcast_ref()
        {
            return self.failed(format!("port {}: file {}: {what}", self.port, self.location.name_of(file)));
        }
        if is_of_file(&error) { self.unreadable(file, error) } else { error }
    }
}

impl Redaction {
    /// Returns `text` with every secret replaced.
    pub(super) fn clean(&self, text: &str) -> String {
        self.0.iter().filter(|s| !s.is_empty()).fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redaction({})", self.0.len())
    }
}

/// Wraps the file source of a planned scan, so that errors name the file. Uses this crate's own reader of the format,
/// if there is one.
pub(super) fn with_error_context(
    plan: Arc<dyn ExecutionPlan>,
    origin: &Arc<Origin>,
    encoding: &Encoding,
) -> Arc<dyn ExecutionPlan> {
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else { return plan };
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return plan };
    let inner = config.file_source().clone();
    let named = Arc::new(NamedSource { inner, origin: origin.clone(), encoding: encoding.clone(), batch_size: None });
    DataSourceExec::from_data_source(FileScanConfigBuilder::from(config.clone()).with_source(named).build())
}

/// Removes the row from a message of the CSV reader. The principal may not be authorized to see every column.
fn without_row(message: &str) -> String {
    message.split(". Row data:").next().unwrap_or(message).to_owned()
}

/// True if an error, or one of its causes, is that a file is missing.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. })) {
            return true;
        }
        next = error.source();
    }
    false
}

/// True if an error, or one of its causes, is that a server does not respond.
pub(super) fn is_unanswered(error: &(dyn std::error::Error + 'static)) -> bool {
    use HttpErrorKind::{Connect, Interrupted, Request, Timeout};
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return matches!(error.kind(), Connect | Request | Timeout | Interrupted);
        }
        next = error.source();
    }
    false
}

/// True if an error comes from the bytes of a file, and not from an expression of the query that runs in the scan.
fn is_of_file(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => true,
        DataFusionError::ArrowError(error, _) => is_of_file_in_arrow(error),
        DataFusionError::External(error) => {
            error.is::<object_store::Error>() || error.is::<ParquetError>() || error.is::<std::io::Error>()
        }
        _ => false,
    }
}

fn is_of_file_in_arrow(error: &ArrowError) -> bool {
    match error {
        ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::IpcError(_)
        | ArrowError::IoError(..)
        | ArrowError::ParquetError(_)
        | ArrowError::SchemaError(_) => true,
        // The CSV reader and casts share this variant. The messages of casts have other beginnings.
        ArrowError::ParseError(message) => {
            message.starts_with("Error while parsing value") || message.starts_with("Error parsing column")
        }
        ArrowError::ExternalError(error) => {
            error.is::<ParquetError>() || error.is::<object_store::Error>() || error.is::<std::io::Error>()
        }
        _ => false,
    }
}

/// A file source that adds the names of files to errors. The inner source does all other work.
struct NamedSource {
    inner: Arc<dyn FileSource>,
    origin: Arc<Origin>,
    encoding: Encoding,
    batch_size: Option<usize>,
}

impl NamedSource {
    fn wrap(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        let (origin, encoding) = (self.origin.clone(), self.encoding.clone());
        Arc::new(Self { inner, origin, encoding, batch_size: self.batch_size })
    }
}

impl FileSource for NamedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = match self.batch_size {
            Some(batch_size) if self.encoding.format != FileFormat::Parquet => {
                let (inner, encoding) = (self.inner.clone(), self.encoding.clone());
                OwnReader { inner, encoding, batch_size }.create_morselizer(store, config, partition)?
            }
            _ => self.inner.create_morselizer(store, config, partition)?,
        };
        Ok(Box::new(NamedMorselizer { inner, origin: self.origin.clone() }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let (origin, encoding) = (self.origin.clone(), self.encoding.clone());
        let inner = self.inner.with_batch_size(batch_size);
        Arc::new(Self { inner, origin, encoding, batch_size: Some(batch_size) })
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
        self.inner.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        min_size: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
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
