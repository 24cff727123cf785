//! The fixed value of each type. It replaces NULLs too: Iceberg hides which rows have a value.

use std::sync::Arc;

use arrow::array::builder::make_view;
use arrow::array::{
    Array, ArrayData, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeListArray, LargeStringArray, ListArray, MapArray, OffsetSizeTrait, StringArray, StringViewArray, StructArray,
    make_array, new_empty_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeType, DataType};
use arrow::error::ArrowError;

use super::{Mask, unfit};

/// The fixed value of a string, as in Iceberg.
const STRING: &[u8] = b"XXXXXXXX";

/// Returns an array that has the fixed value of the type in each row: Iceberg's value where Iceberg has the type, and
/// zero for other numbers.
pub(super) fn fixed(data_type: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    let array: ArrayRef = match data_type {
        DataType::Boolean => Arc::new(BooleanArray::new(BooleanBuffer::new_unset(rows), None)),
        DataType::Utf8 => Arc::new(StringArray::try_new(offsets(STRING.len(), rows)?, strings(rows), None)?),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::try_new(offsets(STRING.len(), rows)?, strings(rows), None)?),
        DataType::Utf8View => {
            let views = vec![make_view(STRING, 0, 0); rows];
            Arc::new(StringViewArray::try_new(views.into(), Vec::<Buffer>::new(), None)?)
        }
        DataType::Binary => Arc::new(BinaryArray::try_new(offsets(0, rows)?, Buffer::default(), None)?),
        DataType::LargeBinary => Arc::new(LargeBinaryArray::try_new(offsets(0, rows)?, Buffer::default(), None)?),
        DataType::BinaryView => Arc::new(BinaryViewArray::try_new(vec![0; rows].into(), Vec::<Buffer>::new(), None)?),
        DataType::FixedSizeBinary(width) => {
            let bytes = zeros(rows.saturating_mul(width.as_usize()));
            Arc::new(FixedSizeBinaryArray::try_new_with_len(*width, bytes, None, rows)?)
        }
        DataType::List(item) => {
            let items = new_empty_array(item.data_type());
            Arc::new(ListArray::try_new(Arc::clone(item), offsets(0, rows)?, items, None)?)
        }
        DataType::LargeList(item) => {
            let items = new_empty_array(item.data_type());
            Arc::new(LargeListArray::try_new(Arc::clone(item), offsets(0, rows)?, items, None)?)
        }
        DataType::Map(entry, sorted) => {
            let entries = new_empty_array(entry.data_type());
            let entries = entries.as_any().downcast_ref::<StructArray>().cloned();
            let entries = entries.ok_or_else(|| unfit(Mask::MaskToFixedValue, data_type))?;
            Arc::new(MapArray::try_new(Arc::clone(entry), offsets(0, rows)?, entries, None, *sorted)?)
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|f| fixed(f.data_type(), rows)).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, rows)?)
        }
        DataType::Dictionary(_, values) => cast(&fixed(values, rows)?, data_type)?,
        other => match other.primitive_width() {
            // Zero is the fixed value of all numbers, and the start of 1970 of dates and timestamps.
            Some(width) => {
                let data = ArrayData::builder(other.clone()).len(rows);
                make_array(data.add_buffer(zeros(rows.saturating_mul(width))).build()?)
            }
            None => return Err(unfit(Mask::MaskToFixedValue, other)),
        },
    };
    Ok(array)
}

fn zeros(bytes: usize) -> Buffer {
    MutableBuffer::from_len_zeroed(bytes).into()
}

fn strings(rows: usize) -> Buffer {
    Buffer::from_vec(STRING.repeat(rows))
}

/// Returns the offsets of values that have one length.
fn offsets<O: OffsetSizeTrait>(length: usize, rows: usize) -> Result<OffsetBuffer<O>, ArrowError> {
    let end = length.saturating_mul(rows);
    O::from_usize(end).ok_or(ArrowError::OffsetOverflowError(end))?;
    Ok(OffsetBuffer::from_repeated_length(length, rows))
}
