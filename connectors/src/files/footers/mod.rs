//! The footers of Parquet files, with only those statistics that hold for every row: [`sound`] lists what it removes.
//!
//! Planning reads file statistics from footers ([`Footer::statistics`]). Scans use them to prune row groups and pages
//! ([`SoundFooters`] is the only reader of footers that a scan has). A footer is made sound once, when it is read, and
//! is cached in that form.

mod sound;
mod summary;

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::HashMap;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{CachedParquetMetaData, DefaultParquetFileReaderFactory};
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadata, FileMetadataCache};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::checked::is_same_version;

/// A footer whose statistics hold for every row.
#[derive(Debug)]
pub(super) struct Footer {
    metadata: Arc<ParquetMetaData>,
    /// The ranges of floats that the footer declared, by leaf column. They leave out NaN, and so are for estimates
    /// only.
    floats: Vec<Option<(f64, f64)>>,
}

impl Footer {
    /// Reads a footer with its page index, unless the cache holds it.
    ///
    /// # Errors
    /// A file that is gone, that cannot be read, or that has no valid footer.
    pub(super) async fn read(
        store: &dyn ObjectStore,
        file: &ObjectMeta,
        cache: &FileMetadataCache,
        size_hint: Option<usize>,
    ) -> Result<Arc<Self>> {
        let cached = cache.get(&file.location).filter(|entry| is_same_version(&entry.meta, file));
        if let Some(entry) = &cached
            && let Some(CachedFooter(footer)) = entry.file_metadata.as_any().downcast_ref()
        {
            return Ok(footer.clone());
        }
        // DataFusion's schema inference has cached the footer as the file stores it.
        let known = cached.as_ref().and_then(|e| e.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>());
        let declared = match known.map(CachedParquetMetaData::parquet_metadata) {
            Some(metadata) if metadata.column_index().is_some() || metadata.offset_index().is_some() => {
                metadata.clone()
            }
            _ => {
                let footer = DFParquetMetadata::new(store, file)
                    .with_metadata_size_hint(size_hint)
                    .with_page_index_policy(Some(PageIndexPolicy::Optional));
                footer.fetch_metadata().await?
            }
        };
        let footer = Arc::new(Self::of(Arc::unwrap_or_clone(declared))?);
        cache.put(&file.location, CachedFileMetadataEntry::new(file.clone(), Arc::new(CachedFooter(footer.clone()))));
        Ok(footer)
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> Option<u64> {
        u64::try_from(self.metadata.file_metadata().num_rows()).ok()
    }

    fn of(declared: ParquetMetaData) -> Result<Self> {
        let floats = sound::declared_floats(&declared);
        Ok(Self { metadata: Arc::new(sound::sound(declared)?), floats })
    }
}

/// Removes the footer of another version of a file from the cache, so that schema inference does not use it.
pub(super) fn forget_other_version(cache: &FileMetadataCache, file: &ObjectMeta) {
    if cache.get(&file.location).is_some_and(|entry| !is_same_version(&entry.meta, file)) {
        cache.remove(&file.location);
    }
}

/// Returns the names of the columns that a file stores, also those that several columns have.
///
/// # Errors
/// As [`Footer::read`].
pub(super) async fn stored_names(
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    cache: &FileMetadataCache,
) -> Result<Vec<String>> {
    let cached = cache.get(&file.location).filter(|entry| is_same_version(&entry.meta, file));
    let known = cached.as_ref().and_then(|entry| {
        let entry = entry.file_metadata.as_any();
        let of_inference = entry.downcast_ref::<CachedParquetMetaData>().map(CachedParquetMetaData::parquet_metadata);
        let of_ours = || entry.downcast_ref::<CachedFooter>().map(|CachedFooter(footer)| &footer.metadata);
        of_inference.or_else(of_ours).cloned()
    });
    let metadata = match known {
        Some(metadata) => metadata,
        None => DFParquetMetadata::new(store, file).fetch_metadata().await?,
    };
    let columns = metadata.file_metadata().schema_descr().root_schema().get_fields();
    Ok(columns.iter().map(|column| column.name().to_owned()).collect())
}

/// An entry in the cache of footers.
struct CachedFooter(Arc<Footer>);

impl FileMetadata for CachedFooter {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn memory_size(&self) -> usize {
        self.0.metadata.memory_size() + size_of_val(self.0.floats.as_slice())
    }

    fn extra_info(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

/// Replaces the reader of footers in a planned scan with a reader of sound footers. Scans of other formats have no
/// footers.
pub(super) fn with_sound_footers(
    plan: Arc<dyn ExecutionPlan>,
    store: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
) -> Arc<dyn ExecutionPlan> {
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else { return plan };
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return plan };
    let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else { return plan };
    let is_local = config.object_store_url == ObjectStoreUrl::local_filesystem();
    let readers = SoundFooters { files: DefaultParquetFileReaderFactory::new(store.clone()), store, cache, is_local };
    let source = source.clone().with_parquet_file_reader_factory(Arc::new(readers));
    DataSourceExec::from_data_source(FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build())
}

/// Creates the readers of a scan's files.
struct SoundFooters {
    files: DefaultParquetFileReaderFactory,
    store: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
    is_local: bool,
}

impl fmt::Debug for SoundFooters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A store's `Debug` shows its credentials.
        f.write_str("SoundFooters")
    }
}

impl ParquetFileReaderFactory for SoundFooters {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let meta = file.object_meta.clone();
        let inner = self.files.create_reader(partition, file, size_hint, metrics)?;
        let (store, cache) = (self.store.clone(), self.cache.clone());
        Ok(Box::new(SoundReader { inner, store, cache, file: meta, size_hint, is_local: self.is_local }))
    }
}

/// Reads the pages of one version of a file, and its footer as [`Footer::read`] does.
struct SoundReader {
    inner: Box<dyn AsyncFileReader + Send>,
    store: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
    file: ObjectMeta,
    size_hint: Option<usize>,
    is_local: bool,
}

/// Checks that a file still has the version whose footer the scan uses. Pages of another version would be read by the
/// wrong footer. If the file is gone, its pages were read before.
///
/// Object stores are not checked: a listing and a request may write the tag of one version differently.
async fn check_version(store: &dyn ObjectStore, file: &ObjectMeta, is_local: bool) -> ParquetResult<()> {
    if !is_local {
        return Ok(());
    }
    match store.head(&file.location).await {
        Ok(now) if !is_same_version(&now, file) => {
            Err(ParquetError::General("it has changed since the query was planned: run the query again".to_owned()))
        }
        _ => Ok(()),
    }
}

impl AsyncFileReader for SoundReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let bytes = self.inner.get_bytes(range).await?;
            check_version(self.store.as_ref(), &self.file, self.is_local).await?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let bytes = self.inner.get_byte_ranges(ranges).await?;
            check_version(self.store.as_ref(), &self.file, self.is_local).await?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let footer = Footer::read(self.store.as_ref(), &self.file, self.cache.as_ref(), self.size_hint).await;
            footer.map(|f| f.metadata.clone()).map_err(|e| ParquetError::External(Box::new(e)))
        }
        .boxed()
    }
}
