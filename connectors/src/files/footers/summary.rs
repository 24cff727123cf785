//! The statistics that a sound footer gives for its whole file.

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use parquet::arrow::{parquet_column, parquet_to_arrow_schema};
use parquet::file::metadata::RowGroupMetaData;

use super::Footer;

impl Footer {
    /// Returns the file's statistics. Bounds that do not cover every row are left out; for estimates, they are kept as
    /// inexact.
    ///
    /// DataFusion 55.2 takes the bounds of the row groups that have bounds for the bounds of the file.
    ///
    /// # Errors
    /// A schema that Arrow does not know.
    pub(in crate::files) fn statistics(&self, schema: &SchemaRef, estimating: bool) -> Result<Statistics> {
        let mut statistics = DFParquetMetadata::statistics_from_parquet_metadata(&self.metadata, schema)?;
        let file = self.metadata.file_metadata();
        let stored = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
        for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
            // Some writers estimate it.
            column.distinct_count = column.distinct_count.to_inexact();
            if stored.field_with_name(field.name()).is_err() {
                // Every row is NULL.
                continue;
            }
            let leaf = parquet_column(file.schema_descr(), &stored, field.name()).map(|(leaf, _)| leaf);
            if leaf.is_some_and(|leaf| self.metadata.row_groups().iter().all(|group| is_covered(group, leaf))) {
                continue;
            }
            if estimating {
                let (min, max) = (std::mem::take(&mut column.min_value), std::mem::take(&mut column.max_value));
                (column.min_value, column.max_value) = (min.to_inexact(), max.to_inexact());
                if let Some(range) = leaf.and_then(|leaf| *self.floats.get(leaf)?) {
                    set_floats(column, range, field.data_type());
                }
            } else {
                (column.min_value, column.max_value) = (Precision::Absent, Precision::Absent);
            }
        }
        Ok(statistics)
    }
}

/// True if the bounds of a column in a row group cover all of its values, or it has none.
fn is_covered(group: &RowGroupMetaData, leaf: usize) -> bool {
    let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
    let Some(statistics) = group.columns().get(leaf).and_then(|chunk| chunk.statistics()) else { return rows == 0 };
    let has_bounds = statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some();
    has_bounds || statistics.null_count_opt() == Some(rows)
}

fn set_floats(column: &mut ColumnStatistics, (min, max): (f64, f64), data_type: &DataType) {
    let bound = |value: f64| match ScalarValue::Float64(Some(value)).cast_to(data_type) {
        Ok(value) => Precision::Inexact(value),
        Err(_) => Precision::Absent,
    };
    (column.min_value, column.max_value) = (bound(min), bound(max));
}
