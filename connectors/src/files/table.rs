//! The table of one port. Each scan lists the files again, leaves out the files whose folders the filters exclude, and
//! collects statistics. DataFusion's readers read the files.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, ScalarValue, Statistics, TableReference};
use datafusion::datasource::listing::{PartitionedFile, helpers};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::SchemaFingerprint;
use datafusion::execution::cache::TableScopedPath;
use datafusion::execution::cache::cache_manager::CachedFileMetadata;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion_datasource::compute_all_files_statistics;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::FileFormat;

use super::adapter::LosslessAdapters;
use super::checked::{CheckedFiles, is_same_version};
use super::error_context::{ScannedFiles, with_error_context};
use super::folder_values::{folder_value, value_of_folder};
use super::footers::{Footer, with_sound_footers};
use super::format::{Encoding, compression_of};
use super::layout::Layout;
use super::listing::{self, ListingError};
use super::origin::Origin;
use crate::panics::caught_async;
use crate::statistics::Estimating;

/// The files of one port as a table.
#[derive(Debug)]
pub(super) struct FileTable {
    pub(super) origin: Arc<Origin>,
    pub(super) store: ObjectStoreUrl,
    pub(super) encoding: Encoding,
    pub(super) layout: Layout,
    pub(super) max_files: usize,
    /// True if the port has no rows without a file. Otherwise, a scan without a file fails.
    pub(super) may_be_empty: bool,
    pub(super) fingerprint: Arc<SchemaFingerprint>,
    pub(super) known_files: CheckedFiles,
    /// The estimated number of rows, for files that no port has statistics of.
    pub(super) rows: Option<u64>,
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        self.layout.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let rows = usize::try_from(self.rows?).ok()?;
        let mut statistics = Statistics::new_unknown(&self.layout.schema);
        statistics.num_rows = Precision::Inexact(rows);
        Some(statistics)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = state.runtime_env().object_store(&self.store)?;
        let wanted: Vec<usize> = match projection {
            Some(indices) => indices.clone(),
            None => (0..self.layout.schema.fields().len()).collect(),
        };
        let files = self.files(state, store.as_ref()).await?;
        let files = self.without_excluded(state, files, filters)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.layout.schema.project(&wanted)?))));
        }
        let reader = self.encoding.reader(state);
        let files = self.with_statistics(state, &store, files).await?;
        let is_splittable = self.are_splittable(&files);

        let table = TableSchema::builder(self.layout.file_schema.clone())
            .with_table_partition_cols(self.layout.partitions.clone())
            .build();
        let groups = FileGroup::new(files).split_files(state.config().target_partitions().max(1));
        let collect = state.config().collect_statistics();
        let (groups, statistics) = compute_all_files_statistics(groups, table.table_schema().clone(), collect, false)?;
        let positions = wanted.iter().filter_map(|&i| self.layout.positions.get(i).copied()).collect();
        let config = FileScanConfigBuilder::new(self.store.clone(), reader.file_source(table))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(positions))?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(LosslessAdapters { required: self.layout.required_columns() })))
            .build();
        let plan = reader.create_physical_plan(state, config).await?;
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let (origin, encoding, layout) = (self.origin.clone(), self.encoding.clone(), self.layout.clone());
        let files = ScannedFiles { origin, encoding, layout, is_splittable };
        let plan = with_error_context(with_sound_footers(plan, store, footers), files);
        named_in_sql(plan, &self.layout.schema.project(&wanted)?)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_of_partitions(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }
}

impl FileTable {
    /// Lists the present files.
    pub(super) async fn list(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>, ListingError> {
        match listing::list(store, &self.origin.location, self.encoding.format, self.max_files).await {
            Err(ListingError::Empty(_)) if self.may_be_empty => Ok(vec![]),
            listed => listed,
        }
    }

    /// Returns the present files, with the values in the names of their folders.
    async fn files(&self, state: &dyn Session, store: &dyn ObjectStore) -> Result<Vec<PartitionedFile>> {
        let found = self.list(store).await.map_err(|error| self.origin.unlisted(error))?;
        tracing::debug!(port = %self.origin.port, files = found.len(), session = state.session_id(), "listed");
        found.into_iter().map(|file| self.partitioned(file)).collect()
    }

    /// Returns a file with the values in the names of its folders.
    pub(super) fn partitioned(&self, file: ObjectMeta) -> Result<PartitionedFile> {
        let name = || format!("{}file {}", self.origin.prefix(), self.origin.location.name_of(&file.location));
        if compression_of(&file.location, self.encoding.format) != self.encoding.compression {
            return Err(self.origin.failed(format!("{} is compressed unlike the other files", name())));
        }
        if file.size == 0 && !self.encoding.is_text() {
            return Err(self.origin.failed(format!("{} is empty: it was cut short", name())));
        }
        let mut values = Vec::with_capacity(self.layout.partitions.len());
        for field in &self.layout.partitions {
            let Some(text) = folder_value(file.location.as_ref(), field.name()) else {
                let lacking = format!("{} lies in no folder `{}=…`", name(), field.name());
                return Err(self.origin.failed(lacking));
            };
            let value = value_of_folder(&self.encoding, &text, field).ok_or_else(|| {
                let (column, data_type) = (field.name(), field.data_type());
                self.origin.failed(format!("{}: `{text}` in folder `{column}=…` is no {data_type}", name()))
            })?;
            values.push(value);
        }
        let mut partitioned = PartitionedFile::new_from_meta(file).with_partition_values(values);
        partitioned.table_reference = Some(self.reference());
        Ok(partitioned)
    }

    /// True if parts of each file can be read at the same time. A JSON file that was not checked is read as a whole.
    fn are_splittable(&self, files: &[PartitionedFile]) -> bool {
        let is_splittable =
            |file: &PartitionedFile| self.known_files.get(&file.object_meta).is_some_and(|c| c.is_splittable);
        self.encoding.format != FileFormat::Json || files.iter().all(is_splittable)
    }

    fn reference(&self) -> TableReference {
        let port = &self.origin.port;
        TableReference::full(port.domain.as_str(), port.product.as_str(), port.port.as_str())
    }

    /// True if the names of folders decide a filter.
    fn is_of_partitions(&self, filter: &Expr) -> bool {
        let columns = self.layout.partition_columns();
        let names: Vec<&str> = columns.iter().map(|f| f.name().as_str()).collect();
        let asks_elsewhere = |e: &Expr| {
            Ok(matches!(
                e,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
                    | Expr::ScalarVariable(..)
                    | Expr::Lambda(_)
                    | Expr::LambdaVariable(_)
            ))
        };
        use datafusion::common::tree_node::TreeNode;
        !names.is_empty()
            && !filter.column_refs().is_empty()
            && helpers::expr_applicable_for_cols(&names, filter)
            && !filter.exists(asks_elsewhere).unwrap_or(true)
    }

    /// Removes the files whose folders the filters exclude.
    fn without_excluded(
        &self,
        state: &dyn Session,
        files: Vec<PartitionedFile>,
        filters: &[Expr],
    ) -> Result<Vec<PartitionedFile>> {
        let ours = filters.iter().filter(|f| self.is_of_partitions(f)).cloned();
        let Some(filter) = conjunction(ours) else { return Ok(files) };
        let schema = Arc::new(Schema::new(self.layout.partition_columns()));
        let columns = (0..self.layout.partitions.len())
            .map(|i| ScalarValue::iter_to_array(files.iter().filter_map(|f| f.partition_values.get(i).cloned())))
            .collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        let filter = unqualified(filter)?;
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
        let kept = filter.evaluate(&batch)?.into_array(batch.num_rows())?;
        let kept: &BooleanArray = kept.as_boolean();
        Ok(files.into_iter().zip(kept).filter(|(_, keep)| *keep == Some(true)).map(|(file, _)| file).collect())
    }

    async fn with_statistics(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        files: Vec<PartitionedFile>,
    ) -> Result<Vec<PartitionedFile>> {
        let concurrency = state.config_options().execution.meta_fetch_concurrency.get();
        stream::iter(files)
            .map(|file| async move {
                let location = file.object_meta.location.clone();
                let known = caught_async(self.with_own_statistics(state, store, file)).await;
                known.map_err(|panic| self.origin.broken(&location, &panic))?
            })
            .buffered(concurrency)
            .try_collect()
            .await
    }

    /// Checks the columns of a file, and returns the file with its statistics.
    async fn with_own_statistics(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        mut file: PartitionedFile,
    ) -> Result<PartitionedFile> {
        let columns = self.checked(state, store, &file.object_meta).await?;
        let mut statistics = self.statistics_of(state, store, &file.object_meta).await?;
        if let Some(columns) = columns {
            statistics = columns.vouched(statistics);
            if self.encoding.format == FileFormat::Arrow {
                file = file.with_arrow_schema(columns.schema.clone());
            }
        }
        Ok(self.with_folder_statistics(file, statistics))
    }

    /// Returns the statistics that a file stores.
    async fn statistics_of(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<Arc<Statistics>> {
        let schema = &self.layout.file_schema;
        if self.encoding.format != FileFormat::Parquet || !state.config().collect_statistics() {
            return Ok(Arc::new(Statistics::new_unknown(schema)));
        }
        let estimating = state.config().get_extension::<Estimating>().is_some();
        // The cache holds only statistics that plans may rely on.
        let cache = state.runtime_env().cache_manager.get_file_statistic_cache().filter(|_| !estimating);
        let key = TableScopedPath { table: Some(self.reference()), path: file.location.clone() };
        if let Some(cached) = cache.as_ref().and_then(|c| c.get(&key))
            && cached.is_valid_for(file, &self.fingerprint)
            && is_same_version(&cached.meta, file)
        {
            return Ok(cached.statistics.clone());
        }
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let hint = state.config_options().execution.parquet.metadata_size_hint;
        let footer = Footer::read(store.as_ref(), file, footers.as_ref(), hint).await;
        let statistics = footer.and_then(|footer| footer.statistics(schema, estimating));
        let statistics = Arc::new(statistics.map_err(|e| self.origin.unreadable(&file.location, e))?);
        if let Some(cache) = cache {
            let entry = CachedFileMetadata::new(file.clone(), self.fingerprint.clone(), statistics.clone(), None);
            cache.put(&key, entry);
        }
        Ok(statistics)
    }

    /// Adds statistics of the values in the names of folders. If the file may have no rows, these statistics are
    /// inexact.
    fn with_folder_statistics(&self, file: PartitionedFile, statistics: Arc<Statistics>) -> PartitionedFile {
        let rows = statistics.num_rows;
        let has_rows = matches!(rows, Precision::Exact(n) if n > 0);
        let mut file = file.with_statistics(statistics);
        if file.partition_values.is_empty() {
            return file;
        }
        let offset = self.layout.file_schema.fields().len();
        if let Some(mut statistics) = file.statistics.take().map(Arc::unwrap_or_clone) {
            for (value, column) in
                file.partition_values.iter().zip(statistics.column_statistics.iter_mut().skip(offset))
            {
                if value.is_null() {
                    *column = ColumnStatistics::new_unknown().with_null_count(rows);
                } else if !has_rows {
                    *column = std::mem::take(column).to_inexact();
                }
            }
            file.statistics = Some(Arc::new(statistics));
        }
        file
    }
}

/// Gives the columns of a scan their names in SQL.
fn named_in_sql(plan: Arc<dyn ExecutionPlan>, columns: &Schema) -> Result<Arc<dyn ExecutionPlan>> {
    let names = |schema: &Schema| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let (in_files, in_sql) = (names(&plan.schema()), names(columns));
    if in_files == in_sql {
        return Ok(plan);
    }
    let column = |(i, (in_file, in_sql)): (usize, (String, String))| {
        ProjectionExpr::new(Arc::new(Column::new(&in_file, i)), in_sql)
    };
    let columns: Vec<ProjectionExpr> = in_files.into_iter().zip(in_sql).enumerate().map(column).collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

/// Removes the table's name from the columns of a filter.
fn unqualified(filter: Expr) -> Result<Expr, DataFusionError> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let transformed = filter.transform(|e| match e {
        Expr::Column(mut column) => {
            column.relation = None;
            Ok(Transformed::yes(Expr::Column(column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(transformed.data)
}
