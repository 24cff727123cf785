//! How many bytes values take in Arrow's form.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{ArrowNativeType, ByteArrayType, DataType};

/// What a value of a view type takes besides its bytes, and how many bytes fit within that.
const VIEW_BYTES: u64 = 16;
const INLINE_BYTES: u64 = 12;

/// Whether values of the type hold other values. Such columns are not sampled.
pub(super) fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() || matches!(data_type, DataType::Null)
}

/// The bytes that each value of the type takes, where they are of one size.
pub(super) fn fixed_width(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Boolean => Some(1),
        DataType::FixedSizeBinary(n) => u64::try_from(*n).ok(),
        other => other.primitive_width().map(|w| w as u64),
    }
}

/// The bytes of the values that are not NULL; `None` for nested types.
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
