//! The bytes of a row, as Arrow stores it.

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};

use super::{Cardinality, LIST_LENGTH};

/// The assumed bytes of a string or another value of variable width.
const ASSUMED_BYTES: f64 = 24.0;
/// The view of a value in a view array.
const VIEW_BYTES: f64 = 16.0;
/// A value's bit in the validity bitmap.
const VALIDITY_BYTES: f64 = 1.0 / 8.0;

pub(super) fn row_bytes(input: &Cardinality, schema: &DFSchema) -> f64 {
    schema
        .iter()
        .map(|(qualifier, field)| {
            let column = Column::new(qualifier.cloned(), field.name());
            let width = input.columns.get(&column).and_then(|c| c.width).filter(|w| w.is_finite() && *w >= 0.0);
            value_bytes(field.data_type(), width) + VALIDITY_BYTES
        })
        .sum()
}

/// Returns the bytes of a value: those of its type if the type has a fixed width, otherwise the measured `width`.
fn value_bytes(data_type: &DataType, width: Option<f64>) -> f64 {
    if let Some(bytes) = data_type.primitive_width() {
        return f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
    match data_type {
        DataType::Null => 0.0,
        DataType::Boolean => 1.0 / 8.0,
        DataType::FixedSizeBinary(bytes) => f64::from((*bytes).max(0)),
        DataType::Utf8View | DataType::BinaryView => width.unwrap_or(VIEW_BYTES + ASSUMED_BYTES / 2.0),
        DataType::Utf8 | DataType::Binary => width.unwrap_or(4.0 + ASSUMED_BYTES),
        DataType::LargeUtf8 | DataType::LargeBinary => width.unwrap_or(8.0 + ASSUMED_BYTES),
        DataType::Dictionary(key, _) => value_bytes(key, None),
        DataType::FixedSizeList(item, length) => {
            width.unwrap_or_else(|| f64::from((*length).max(0)) * value_bytes(item.data_type(), None))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            width.unwrap_or_else(|| 8.0 + LIST_LENGTH * value_bytes(item.data_type(), None))
        }
        DataType::Struct(fields) => {
            width.unwrap_or_else(|| fields.iter().map(|f| value_bytes(f.data_type(), None)).sum())
        }
        _ => width.unwrap_or(ASSUMED_BYTES),
    }
}
