//! Removes from a footer every statistic that may not hold for all rows.
//!
//! Parquet's writers leave NaN out of the bounds of floats. They need not count NULLs. Old writers compared strings and
//! unsigned numbers as signed ones. DataFusion 55.2 assumes that bounds cover every value, and that a missing count
//! of NULLs is zero. It ignores the order of the bounds. So it replaces columns with constants, skips row groups and
//! pages, and answers `min`, `max` and `count` wrongly.
//!
//! | statistic | is kept |
//! |---|---|
//! | bounds of floats, of row groups and of pages; their Bloom filters | never |
//! | bounds of strings, bytes and unsigned numbers | if the file declares their order, and not in the deprecated fields |
//! | bounds of types without an order (`INT96`, `INTERVAL`) | never |
//! | all statistics of a column in a row group that does not count its NULLs | if the column cannot have NULLs |

use parquet::basic::{ColumnOrder, LogicalType, SortOrder, Type};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescriptor;

/// The condition under which the bounds of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BoundsUse {
    Always,
    UnlessDeprecated,
    /// The bounds leave out NaN.
    OfFloats,
    Never,
}

/// Returns the footer without statistics that may not hold.
///
/// # Errors
/// A footer whose row groups differ in their columns.
pub(super) fn sound(footer: ParquetMetaData) -> Result<ParquetMetaData> {
    let schema = footer.file_metadata().schema_descr_ptr();
    let omits_zero = omits_zero_nulls(footer.file_metadata().created_by());
    let leaves = schema.columns().iter().enumerate();
    let bounds: Vec<BoundsUse> = leaves.map(|(i, c)| bounds_of(c, footer.file_metadata().column_order(i))).collect();
    let mut builder = footer.into_builder();
    let mut index = builder.take_column_index();
    let mut groups = vec![];
    for (number, group) in builder.take_row_groups().into_iter().enumerate() {
        let mut group = group.into_builder();
        let chunks = group.take_columns().into_iter().zip(&bounds);
        let chunks = chunks.map(|(chunk, bounds)| sound_chunk(chunk, *bounds, omits_zero)).collect::<Result<_>>()?;
        groups.push(group.set_column_metadata(chunks).build()?);
        let pages = index.as_mut().and_then(|index| index.get_mut(number)).into_iter().flatten();
        for (pages, bounds) in pages.zip(&bounds) {
            if matches!(bounds, BoundsUse::OfFloats | BoundsUse::Never) {
                *pages = ColumnIndexMetaData::NONE;
            }
        }
    }
    Ok(builder.set_row_groups(groups).set_column_index(index).build())
}

/// Returns the ranges of float columns that the footer declares, by leaf.
pub(super) fn declared_floats(footer: &ParquetMetaData) -> Vec<Option<(f64, f64)>> {
    let range = |chunk: &ColumnChunkMetaData| match chunk.statistics()? {
        Statistics::Float(s) => Some((f64::from(*s.min_opt()?), f64::from(*s.max_opt()?))),
        Statistics::Double(s) => Some((*s.min_opt()?, *s.max_opt()?)),
        _ => None,
    };
    let leaves = 0..footer.file_metadata().schema_descr().num_columns();
    let of_leaf = |leaf: usize| {
        let ranges = footer.row_groups().iter().filter_map(|group| range(group.columns().get(leaf)?));
        ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    };
    leaves.map(of_leaf).collect()
}

fn bounds_of(column: &ColumnDescriptor, order: ColumnOrder) -> BoundsUse {
    let logical = column.logical_type_ref();
    let is_float =
        matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE) || matches!(logical, Some(LogicalType::Float16));
    let sorted = ColumnOrder::sort_order_for_type(logical, column.converted_type(), column.physical_type());
    match (column.physical_type(), order, sorted) {
        _ if is_float => BoundsUse::OfFloats,
        (_, ColumnOrder::UNKNOWN, _) | (_, _, SortOrder::UNDEFINED) | (Type::INT96, ..) => BoundsUse::Never,
        (Type::BOOLEAN, ..) | (Type::INT32 | Type::INT64, _, SortOrder::SIGNED) => BoundsUse::Always,
        (_, ColumnOrder::TYPE_DEFINED_ORDER(_), _) => BoundsUse::UnlessDeprecated,
        (_, ColumnOrder::UNDEFINED, _) => BoundsUse::Never,
    }
}

fn sound_chunk(chunk: ColumnChunkMetaData, bounds: BoundsUse, omits_zero: bool) -> Result<ColumnChunkMetaData> {
    let can_be_null = chunk.column_descr().max_def_level() > 0;
    let statistics = chunk.statistics().map(|declared| {
        let keep = match bounds {
            BoundsUse::Always => true,
            BoundsUse::UnlessDeprecated => !declared.is_min_max_deprecated(),
            BoundsUse::OfFloats | BoundsUse::Never => false,
        };
        let nulls = declared.null_count_opt().or((!can_be_null || omits_zero).then_some(0));
        nulls.map(|nulls| with(declared, keep, nulls))
    });
    let is_unbounded = matches!(bounds, BoundsUse::OfFloats | BoundsUse::Never);
    let mut builder = chunk.into_builder();
    builder = match statistics {
        None => builder,
        // DataFusion would read a missing count as zero.
        Some(None) => builder.clear_statistics(),
        Some(Some(statistics)) => builder.set_statistics(statistics),
    };
    if is_unbounded {
        builder = builder.set_column_index_offset(None).set_column_index_length(None);
    }
    if bounds == BoundsUse::OfFloats {
        // A Bloom filter compares bits, and one value may have several encodings: 0.0 and -0.0, and the many NaN.
        builder = builder.set_bloom_filter_offset(None).set_bloom_filter_length(None);
    }
    builder.build()
}

/// Returns the same statistics with this number of NULLs, and with or without bounds.
fn with(declared: &Statistics, bounds: bool, nulls: u64) -> Statistics {
    macro_rules! with {
        ($kind:ident, $values:ident) => {{
            let min = $values.min_opt().filter(|_| bounds).cloned();
            let max = $values.max_opt().filter(|_| bounds).cloned();
            let deprecated = declared.is_min_max_deprecated();
            let values = ValueStatistics::new(min, max, $values.distinct_count(), Some(nulls), deprecated);
            let (min_is_exact, max_is_exact) = ($values.min_is_exact(), $values.max_is_exact());
            Statistics::$kind(values.with_min_is_exact(min_is_exact).with_max_is_exact(max_is_exact))
        }};
    }
    match declared {
        Statistics::Boolean(values) => with!(Boolean, values),
        Statistics::Int32(values) => with!(Int32, values),
        Statistics::Int64(values) => with!(Int64, values),
        Statistics::Int96(values) => with!(Int96, values),
        Statistics::Float(values) => with!(Float, values),
        Statistics::Double(values) => with!(Double, values),
        Statistics::ByteArray(values) => with!(ByteArray, values),
        Statistics::FixedLenByteArray(values) => with!(FixedLenByteArray, values),
    }
}

/// True if the writer left out the count of NULLs where it was zero, and only there: the Rust crate before 53.1.
fn omits_zero_nulls(created_by: Option<&str>) -> bool {
    let version = created_by.and_then(|by| by.strip_prefix("parquet-rs version "));
    let mut parts = version.into_iter().flat_map(|v| v.split('.')).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (53, 1),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
