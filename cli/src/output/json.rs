//! Rows and nested values as JSON. JSON has objects for maps, so that the keys of a map become strings.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;

/// Returns the batch with strings for the keys of all maps.
///
/// # Errors
/// Keys that cannot be strings.
pub(super) fn with_string_keys(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().map(keyed_field).collect();
    if fields.iter().zip(schema.fields()).all(|(keyed, field)| keyed.data_type() == field.data_type()) {
        return Ok(batch.clone());
    }
    let columns: Result<Vec<ArrayRef>, _> =
        batch.columns().iter().zip(&fields).map(|(column, field)| cast(column, field.data_type())).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns?)
}

/// Returns a field with strings for the keys of all maps.
fn keyed_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(keyed(field.data_type())))
}

fn keyed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => DataType::List(keyed_field(item)),
        DataType::LargeList(item) => DataType::LargeList(keyed_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(keyed_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(keyed_field).collect()),
        DataType::Map(entries, is_sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return data_type.clone() };
            let fields = fields.iter().enumerate().map(|(place, field)| match place {
                0 if !field.data_type().is_string() => Arc::new(Field::new(field.name(), DataType::Utf8, false)),
                _ => keyed_field(field),
            });
            let entries = entries.as_ref().clone().with_data_type(DataType::Struct(fields.collect()));
            DataType::Map(Arc::new(entries), *is_sorted)
        }
        other => other.clone(),
    }
}
