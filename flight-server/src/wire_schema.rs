//! The one place that says which columns clients see: view, dictionary and other compact types become the plain ones
//! that every driver reads. Batches are cast to it. Fragments between nodes travel as they are.

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use portolan_engine::{Error, ErrorKind, Result};

/// The columns that clients see for rows of `schema`.
pub(crate) fn wire_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Vec<_>>()))
}

/// Whether two schemas have the same columns: names and types, in order. The mesh may have changed between the moment
/// when a statement was announced and the one when its rows are fetched.
pub(crate) fn same_columns(a: &Schema, b: &Schema) -> bool {
    let column = |field: &FieldRef| (field.name().clone(), field.data_type().clone());
    a.fields().iter().map(column).eq(b.fields().iter().map(column))
}

/// A batch as clients see it. `schema` is what [`wire_schema`] gave when the statement was announced.
pub(crate) fn to_wire(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("{} columns were announced and {} came", schema.fields().len(), batch.num_columns()),
        ));
    }
    let differs = |e| Error::new(ErrorKind::Internal, "the rows are not what the statement announced").with_source(e);
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(column.clone())
            } else {
                cast_with_options(column, field.data_type(), &strict)
            }
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(differs)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(differs)
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = plain(field.data_type());
    if plain == *field.data_type() {
        return field.clone();
    }
    Arc::new(Field::new(field.name(), plain, field.is_nullable()).with_metadata(field.metadata().clone()))
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{ArrayRef, DictionaryArray, Int32Array, ListBuilder, StringViewArray, StringViewBuilder};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn compact_types_become_plain() {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        lists.append_value([Some("a"), None]);
        lists.append_null();
        let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int32Array::from(vec![1, 2]))),
            ("s", Arc::new(StringViewArray::from(vec![Some("long enough for a buffer"), None]))),
            ("d", Arc::new(dictionary)),
            ("l", Arc::new(lists.finish())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = wire_schema(&batch.schema());
        let types: Vec<String> = schema.fields().iter().map(|f| f.data_type().to_string()).collect();
        assert_eq!(types[..3], ["Int32", "Utf8", "Utf8"]);
        assert!(matches!(schema.field(3).data_type(), DataType::List(item) if *item.data_type() == DataType::Utf8));
        let sent = to_wire(&batch, &schema).unwrap();
        assert_eq!(sent.schema(), schema);
        assert_eq!(sent.num_rows(), 2);
        assert_eq!(wire_schema(&schema), schema);
    }

    #[test]
    fn rows_that_were_not_announced_are_an_error() {
        let batch =
            RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![None, Some(1)])) as ArrayRef)]).unwrap();
        let announced = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        assert_eq!(to_wire(&batch, &announced).unwrap_err().kind(), ErrorKind::Internal);
        assert!(to_wire(&batch, &Arc::new(Schema::empty())).is_err());
        let renamed = Schema::new(vec![Field::new("m", DataType::Int32, false)]);
        assert!(same_columns(&announced, &announced) && !same_columns(&announced, &renamed));
        assert!(!same_columns(&announced, &Schema::empty()));
    }

    #[test]
    fn rows_without_columns_keep_their_number() {
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let empty = Arc::new(Schema::empty());
        let batch = RecordBatch::try_new_with_options(empty.clone(), vec![], &options).unwrap();
        assert_eq!(to_wire(&batch, &empty).unwrap().num_rows(), 3);
    }
}
