//! Writes Parquet files as other writers do: with several row groups, and with footers that omit statistics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::data_type::ByteArray;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::{Statistics, ValueStatistics};

/// The statistics of a column that a footer omits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// All statistics.
    Everything,
    /// The smallest and the largest value.
    Bounds,
    /// The number of NULLs.
    NullCount,
    /// The second byte of a character: both bounds of strings are the first byte of `é`, and are marked as inexact.
    HalfCharacter,
}

/// Writes each batch as a row group of its own, with a page for each value.
pub fn write_groups(file: &Path, groups: &[RecordBatch]) {
    let properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(1)
        .set_write_batch_size(1)
        .build();
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), groups[0].schema(), Some(properties)).unwrap();
    for group in groups {
        writer.write(group).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

/// Removes statistics of a column from the footer of a file. `group` is the row group; `None` means all of them.
pub fn leave_out(file: &Path, column: &str, group: Option<usize>, what: LeftOut) {
    rewrite_footer(file, |number, chunk| {
        let concerned = group.is_none_or(|group| group == number) && chunk.column_path().string() == column;
        if !concerned {
            return chunk;
        }
        let statistics = chunk.statistics().cloned();
        // The page index has the same statistics as the footer.
        let chunk = chunk.into_builder().set_column_index_offset(None).set_column_index_length(None).clear_statistics();
        match statistics.filter(|_| what != LeftOut::Everything) {
            None => chunk.build().unwrap(),
            Some(statistics) => chunk.set_statistics(without(&statistics, what)).build().unwrap(),
        }
    });
}

fn rewrite_footer(file: &Path, edit: impl Fn(usize, ColumnChunkMetaData) -> ColumnChunkMetaData) {
    let bytes = fs::read(file).unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&File::open(file).unwrap()).unwrap();
    let mut builder = footer.into_builder();
    let groups = builder.take_row_groups().into_iter().enumerate().map(|(number, group)| {
        let mut group = group.into_builder();
        let chunks = group.take_columns().into_iter().map(|chunk| edit(number, chunk)).collect();
        group.set_column_metadata(chunks).build().unwrap()
    });
    let groups: Vec<RowGroupMetaData> = groups.collect();
    let footer: ParquetMetaData = builder.set_row_groups(groups).build();
    let (length, magic) = bytes[bytes.len() - 8..].split_at(4);
    assert_eq!(magic, b"PAR1");
    let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
    let mut rewritten = bytes[..bytes.len() - 8 - length].to_vec();
    ParquetMetaDataWriter::new(&mut rewritten, &footer).finish().unwrap();
    fs::write(file, rewritten).unwrap();
}

fn without(statistics: &Statistics, what: LeftOut) -> Statistics {
    if let (Statistics::ByteArray(values), LeftOut::HalfCharacter) = (statistics, what) {
        let half = || Some(ByteArray::from(vec![0xc3_u8]));
        let cut = ValueStatistics::new(half(), half(), None, values.null_count_opt(), false);
        return Statistics::ByteArray(cut.with_min_is_exact(false).with_max_is_exact(false));
    }
    macro_rules! without {
        ($kind:ident, $values:ident) => {{
            let bounds = what != LeftOut::Bounds;
            let (min, max) = ($values.min_opt().cloned(), $values.max_opt().cloned());
            let nulls = $values.null_count_opt().filter(|_| what != LeftOut::NullCount);
            Statistics::$kind(ValueStatistics::new(min.filter(|_| bounds), max.filter(|_| bounds), None, nulls, false))
        }};
    }
    match statistics {
        Statistics::Boolean(values) => without!(Boolean, values),
        Statistics::Int32(values) => without!(Int32, values),
        Statistics::Int64(values) => without!(Int64, values),
        Statistics::Int96(values) => without!(Int96, values),
        Statistics::Float(values) => without!(Float, values),
        Statistics::Double(values) => without!(Double, values),
        Statistics::ByteArray(values) => without!(ByteArray, values),
        Statistics::FixedLenByteArray(values) => without!(FixedLenByteArray, values),
    }
}
