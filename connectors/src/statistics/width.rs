//! The sizes of values in the Arrow format.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{ArrowNativeType, ByteArrayType, DataType};

/// The size of a view, and the length of the longest value that a view stores inline, in bytes.
const VIEW_BYTES: u64 = 16;
const INLINE_BYTES: u64 = 12;

/// True if values of the type contain other values, and for `Null`. Such columns are not sampled.
pub(super) fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() || matches!(data_type, DataType::Null)
}

/// Returns the size of each value of the type in bytes, if all values have the same size.
pub(super) fn fixed_width(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Boolean => Some(1),
        DataType::FixedSizeBinary(n) => u64::try_from(*n).ok(),
        other => other.primitive_width().map(|w| w as u64),
    }
}

/// Returns the size of the values that are not NULL, in bytes. Returns `None` for nested types.
pub(super) fn bytes_of(array: &dyn Array) -> Option<u64> {
    let values = (array.len() - array.logical_null_count()) as u64;
    let viewed = |lengths: &mut dyn Iterator<Item = u32>| {
        VIEW_BYTES * values + lengths.map(u64::from).filter(|length| *length > INLINE_BYTES).sum::<u64>()
    };
    match array.data_type() {
        DataType::Utf8View => Some(viewed(&mut array.as_string_view().lengths())),
        DataType::BinaryView => Some(viewed(&mut array.as_binary_view().lengths())),
        DataType::Utf8 => Some(offset_bytes(array.as_string::<i32>(), values)),
        DataType::LargeUtf8 => Some(offset_bytes(array.as_string::<i64>(), values)),
        DataType::Binary => Some(offset_bytes(array.as_binary::<i32>(), values)),
        DataType::LargeBinary => Some(offset_bytes(array.as_binary::<i64>(), values)),
        DataType::Dictionary(keys, _) => Some(fixed_width(keys)? * values),
        other => Some(fixed_width(other)? * values),
    }
}

fn offset_bytes<T: ByteArrayType>(array: &arrow::array::GenericByteArray<T>, values: u64) -> u64 {
    let offsets = array.value_offsets();
    let (first, last) = (offsets.first().copied(), offsets.last().copied());
    let content = last.unwrap_or_default().as_usize().saturating_sub(first.unwrap_or_default().as_usize());
    content as u64 + size_of::<T::Offset>() as u64 * values
}
