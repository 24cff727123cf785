//! The statistics that a sound footer gives for its whole file.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::{parquet_column, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
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
            let found = parquet_column(file.schema_descr(), &stored, field.name());
            if found.is_some_and(|(leaf, own)| self.is_covered(leaf, own)) {
                continue;
            }
            let leaf = found.map(|(leaf, _)| leaf);
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

    /// True if the bounds of a column cover all of its values: every row group with values has both bounds. A stored
    /// bound that has no value in the column's type, such as half of a character, is none. DataFusion ignores it.
    fn is_covered(&self, leaf: usize, column: &Field) -> bool {
        let groups = self.metadata.row_groups();
        let with_values: Vec<&RowGroupMetaData> = groups.iter().filter(|group| has_values(group, leaf)).collect();
        if !with_values.iter().all(|group| has_bounds(group, leaf)) {
            return false;
        }
        let schema = self.metadata.file_metadata().schema_descr();
        let Ok(converter) = StatisticsConverter::from_column_index(leaf, column, schema) else { return false };
        let all = |bounds: Result<ArrayRef, ParquetError>| bounds.is_ok_and(|bounds| bounds.null_count() == 0);
        all(converter.row_group_mins(with_values.iter().copied())) && all(converter.row_group_maxes(with_values))
    }
}

/// True unless a column of a row group is known to have no value.
fn has_values(group: &RowGroupMetaData, leaf: usize) -> bool {
    let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
    let statistics = group.columns().get(leaf).and_then(|chunk| chunk.statistics());
    rows > 0 && statistics.and_then(|s| s.null_count_opt()) != Some(rows)
}

fn has_bounds(group: &RowGroupMetaData, leaf: usize) -> bool {
    let statistics = group.columns().get(leaf).and_then(|chunk| chunk.statistics());
    statistics.is_some_and(|s| s.min_bytes_opt().is_some() && s.max_bytes_opt().is_some())
}

fn set_floats(column: &mut ColumnStatistics, (min, max): (f64, f64), data_type: &DataType) {
    let bound = |value: f64| match ScalarValue::Float64(Some(value)).cast_to(data_type) {
        Ok(value) => Precision::Inexact(value),
        Err(_) => Precision::Absent,
    };
    (column.min_value, column.max_value) = (bound(min), bound(max));
}
