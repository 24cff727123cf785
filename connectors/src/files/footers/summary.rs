//! The statistics of a whole file, from its sound footer.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescriptor;

use super::Footer;
use crate::files::adapter::fields_by_name;

impl Footer {
    /// Returns the file's statistics. Bounds that do not cover every row are left out; for estimates, they are kept as
    /// inexact.
    ///
    /// DataFusion 55.2 uses the bounds of the row groups that have bounds as the bounds of the file.
    ///
    /// # Errors
    /// A schema that Arrow does not know.
    pub(in crate::files) fn statistics(&self, schema: &SchemaRef, estimating: bool) -> Result<Statistics> {
        let mut statistics = DFParquetMetadata::statistics_from_parquet_metadata(&self.metadata, schema)?;
        let file = self.metadata.file_metadata();
        let stored = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
        let (by_name, leaves) = (fields_by_name(&stored), first_leaves(file.schema_descr()));
        for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
            // Some writers estimate the count.
            column.distinct_count = column.distinct_count.to_inexact();
            let Some((place, own)) = by_name.get(field.name().as_str()) else {
                // Every row is NULL.
                continue;
            };
            // The leaves of a nested column are not its values.
            let leaf = if own.data_type().is_nested() { None } else { leaves.get(place).copied() };
            if leaf.is_some_and(|leaf| self.is_covered(leaf, own)) {
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

/// Returns the first leaf of each column.
fn first_leaves(schema: &SchemaDescriptor) -> HashMap<usize, usize> {
    let mut leaves = HashMap::new();
    for leaf in 0..schema.num_columns() {
        leaves.entry(schema.get_column_root_idx(leaf)).or_insert(leaf);
    }
    leaves
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
