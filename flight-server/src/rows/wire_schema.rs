//! The one place that defines the columns that clients see. Views, dictionaries and other compact types become plain
//! ones that every driver reads, and each column carries the SQL name of its type. This file also converts batches to
//! these columns. Fragments between nodes travel unchanged.

mod column_metadata;
mod lower;
mod views;

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UnionFields};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use portolan_engine::{Error, ErrorKind, Result, Settings};

pub(crate) use column_metadata::{describe_result, describe_table_column};
pub(crate) use lower::lower;

/// The encoding of view strings and view binaries on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strings {
    /// `Utf8` and `Binary`, which every driver reads.
    Plain,
    /// Views, which save a copy for clients that read them.
    Views,
}

impl Strings {
    /// Returns the encoding that a session's settings select.
    pub(crate) fn of(settings: &Settings) -> Self {
        if settings.string_views { Self::Views } else { Self::Plain }
    }
}

/// Returns the columns that clients see for rows of `schema`. Nullability stays. Metadata under Flight SQL's keys is
/// replaced, and the metadata of the schema is dropped.
pub(crate) fn wire_schema(schema: &Schema, strings: Strings) -> SchemaRef {
    let fields = plain_schema(schema, strings).fields().iter().map(describe_result).collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// Returns the columns of [`wire_schema`] without the metadata of result columns.
pub(crate) fn plain_schema(schema: &Schema, strings: Strings) -> Schema {
    Schema::new(schema.fields().iter().map(|field| plain_field(field, strings)).collect::<Vec<_>>())
}

/// True if clients see the same columns in both schemas: names and types in order, with or without views. The mesh may
/// change after a statement is announced and before its rows are fetched.
pub(crate) fn same_columns(a: &Schema, b: &Schema) -> bool {
    let column = |field: &FieldRef| (field.name().clone(), plain(field.data_type(), Strings::Plain));
    a.fields().iter().map(column).eq(b.fields().iter().map(column))
}

/// Converts a batch to the columns that clients see. `schema` is the result of [`wire_schema`] when the statement was
/// announced.
pub(crate) fn to_wire(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("expected {} columns, as announced, got {}", schema.fields().len(), batch.num_columns()),
        ));
    }
    let differs = |e| match e {
        ArrowError::OffsetOverflowError(bytes) => Error::new(
            ErrorKind::ResourceExhausted,
            format!("one batch of a column has {bytes} bytes of text, too many: use `SET portolan.string_views = on`"),
        ),
        other => Error::new(ErrorKind::Internal, "the rows differ from the announced columns").with_source(other),
    };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| lower(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(differs)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(differs)
}

fn plain_field(field: &FieldRef, strings: Strings) -> FieldRef {
    let plain = plain(field.data_type(), strings);
    if plain == *field.data_type() {
        return field.clone();
    }
    Arc::new(Field::new(field.name(), plain, field.is_nullable()).with_metadata(field.metadata().clone()))
}

/// Returns the type that clients see. At every depth, it replaces types that the JDBC driver cannot read (views before
/// version 19, half floats, run ends, list views, decimals of 32 and 64 bits), and dictionaries, which are hydrated
/// anyway. The driver reads all other types: large and fixed sizes, `Decimal256`, dates, times, timestamps with and
/// without zones, durations, intervals, maps and unions.
fn plain(data_type: &DataType, strings: Strings) -> DataType {
    let field = |field: &FieldRef| plain_field(field, strings);
    match data_type {
        DataType::Utf8View if strings == Strings::Plain => DataType::Utf8,
        DataType::BinaryView if strings == Strings::Plain => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, values) => plain(values, strings),
        DataType::RunEndEncoded(_, values) => plain(values.data_type(), strings),
        DataType::List(item) | DataType::ListView(item) => DataType::List(field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::Union(fields, mode) => {
            let fields: UnionFields = fields.iter().map(|(id, f)| (id, field(f))).collect();
            DataType::Union(fields, *mode)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
