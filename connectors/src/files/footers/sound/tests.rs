#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use parquet::basic::SortOrder;
use parquet::data_type::ByteArray;
use parquet::file::metadata::{FileMetaData, RowGroupMetaData};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;

use super::*;

/// Returns the statistics of a file's only column, once its footer is sound.
fn kept(column: &str, statistics: Statistics, order: Option<ColumnOrder>, created_by: &str) -> Option<Statistics> {
    let schema = parse_message_type(&format!("message m {{ {column}; }}")).unwrap();
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(schema)));
    let chunk = ColumnChunkMetaData::builder(schema.column(0))
        .set_num_values(3)
        .set_statistics(statistics)
        .set_column_index_offset(Some(100))
        .set_column_index_length(Some(10))
        .set_bloom_filter_offset(Some(200))
        .build()
        .unwrap();
    let group = RowGroupMetaData::builder(schema.clone()).set_num_rows(3).add_column_metadata(chunk).build().unwrap();
    let file = FileMetaData::new(2, 3, Some(created_by.to_owned()), None, schema, order.map(|order| vec![order]));
    let sound = sound(ParquetMetaData::new(file, vec![group])).unwrap();
    let chunk = sound.row_group(0).column(0);
    let is_float = column.contains("float") || column.contains("double");
    assert_eq!(
        (chunk.bloom_filter_offset().is_none(), chunk.column_index_offset().is_none() || !is_float),
        (is_float, true)
    );
    chunk.statistics().cloned()
}

fn bytes(nulls: Option<u64>, deprecated: bool) -> Statistics {
    let bound = |text: &str| Some(ByteArray::from(text));
    Statistics::ByteArray(ValueStatistics::new(bound("a"), bound("z"), None, nulls, deprecated))
}

#[test]
fn bounds_are_kept_where_their_order_is_known() {
    let declared = |order| Some(ColumnOrder::TYPE_DEFINED_ORDER(order));
    let integers = |deprecated| Statistics::int32(Some(1), Some(9), None, Some(0), deprecated);
    let (signed, unsigned) = (declared(SortOrder::SIGNED), declared(SortOrder::UNSIGNED));
    for (column, statistics, order, expected) in [
        ("optional int32 i", integers(false), signed, true),
        ("optional int32 i", integers(true), None, true),
        ("optional int32 i (DATE)", integers(true), None, true),
        ("optional int32 i", integers(false), Some(ColumnOrder::UNKNOWN), false),
        ("optional int32 u (INTEGER(32,false))", integers(false), unsigned, true),
        ("optional int32 u (INTEGER(32,false))", integers(true), unsigned, false),
        ("optional int32 u (INTEGER(32,false))", integers(false), None, false),
        ("optional boolean b", Statistics::boolean(Some(false), Some(true), None, Some(0), true), None, true),
        ("optional binary s (UTF8)", bytes(Some(0), false), unsigned, true),
        ("optional binary s (UTF8)", bytes(Some(0), true), unsigned, false),
        ("optional binary s (UTF8)", bytes(Some(0), false), None, false),
        ("optional binary d (DECIMAL(20,2))", bytes(Some(0), false), signed, true),
        ("optional binary d (DECIMAL(20,2))", bytes(Some(0), true), signed, false),
        ("optional float f", Statistics::float(Some(1.0), Some(2.0), None, Some(0), false), signed, false),
        ("optional double f", Statistics::double(Some(1.0), Some(2.0), None, Some(0), false), signed, false),
    ] {
        let deprecated = statistics.is_min_max_deprecated();
        let kept = kept(column, statistics, order, "parquet-mr version 1.13.1").unwrap();
        assert_eq!(kept.min_bytes_opt().is_some(), expected, "{column}, deprecated: {deprecated}, {order:?}");
        assert_eq!(kept.max_bytes_opt().is_some(), expected, "{column}, deprecated: {deprecated}, {order:?}");
        assert_eq!(kept.null_count_opt(), Some(0), "NULLs are counted");
    }
}

#[test]
fn a_missing_count_of_nulls_is_no_zero() {
    let order = Some(ColumnOrder::TYPE_DEFINED_ORDER(SortOrder::UNSIGNED));
    let kept = |column, created_by| kept(column, bytes(None, false), order, created_by);
    assert_eq!(kept("optional binary s (UTF8)", "fastparquet-python version 2024.5.0"), None);
    assert_eq!(kept("optional binary s (UTF8)", "parquet-rs version 53.1.0"), None);
    let counted = kept("required binary s (UTF8)", "fastparquet-python version 2024.5.0").unwrap();
    assert_eq!((counted.null_count_opt(), counted.min_bytes_opt()), (Some(0), Some(b"a".as_slice())));
    let counted = kept("optional binary s (UTF8)", "parquet-rs version 52.2.0").unwrap();
    assert_eq!((counted.null_count_opt(), counted.max_bytes_opt()), (Some(0), Some(b"z".as_slice())));
}

#[test]
fn only_old_versions_of_one_writer_leave_out_zero() {
    for (created_by, expected) in [
        (Some("parquet-rs version 52.2.0"), true),
        (Some("parquet-rs version 53.0.0"), true),
        (Some("parquet-rs version 53.1.0"), false),
        (Some("parquet-rs version 59.3.2"), false),
        (Some("parquet-rs version x"), false),
        (Some("parquet-mr version 1.8.1 (build 4aba4da)"), false),
        (None, false),
    ] {
        assert_eq!(omits_zero_nulls(created_by), expected, "{created_by:?}");
    }
}
