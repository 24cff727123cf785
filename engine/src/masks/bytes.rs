//! The loops over strings and binaries of each layout. A caller says what each value becomes.

use std::sync::Arc;

use arrow::array::builder::make_view;
use arrow::array::{Array, ArrayRef, GenericByteArray, GenericByteViewArray, MAX_INLINE_VIEW_LEN};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ByteArrayType, ByteViewType};
use arrow::error::ArrowError;

/// The number of bytes after which the values of a view array go to a new buffer.
const BLOCK_BYTES: usize = 1 << 20;

/// Returns an array with what `write` appends for each value. NULLs stay, without bytes.
///
/// `bytes` is the expected size of the result. A longer result is possible.
pub(super) fn rewrite<T: ByteArrayType>(
    array: &GenericByteArray<T>,
    bytes: usize,
    mut write: impl FnMut(&[u8], &mut Vec<u8>),
) -> Result<ArrayRef, ArrowError> {
    let mut data = Vec::with_capacity(bytes);
    let mut offsets = Vec::with_capacity(array.len() + 1);
    offsets.push(T::Offset::default());
    let values = array.value_data();
    for (row, bounds) in array.value_offsets().windows(2).enumerate() {
        if let [start, end] = bounds
            && array.is_valid(row)
        {
            write(&values[start.as_usize()..end.as_usize()], &mut data);
        }
        offsets.push(T::Offset::from_usize(data.len()).ok_or(ArrowError::OffsetOverflowError(data.len()))?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(data), array.nulls().cloned())?))
}

/// As [`rewrite`], for an array of views.
pub(super) fn rewrite_views<T: ByteViewType>(
    array: &GenericByteViewArray<T>,
    mut write: impl FnMut(&[u8], &mut Vec<u8>),
) -> Result<ArrayRef, ArrowError> {
    let mut views = Vec::with_capacity(array.len());
    let mut blocks: Vec<Buffer> = vec![];
    let mut block = vec![];
    for row in 0..array.len() {
        if array.is_null(row) {
            views.push(0);
            continue;
        }
        if block.len() >= BLOCK_BYTES {
            blocks.push(Buffer::from_vec(std::mem::take(&mut block)));
        }
        let start = block.len();
        write(array.value(row).as_ref(), &mut block);
        // A block has less than `BLOCK_BYTES` before its last value, so both numbers are small.
        views.push(make_view(&block[start..], blocks.len() as u32, start as u32));
        if block.len() - start <= MAX_INLINE_VIEW_LEN as usize {
            block.truncate(start);
        }
    }
    if !block.is_empty() {
        blocks.push(Buffer::from_vec(block));
    }
    Ok(Arc::new(GenericByteViewArray::<T>::try_new(views.into(), blocks, array.nulls().cloned())?))
}

/// Returns the size of the values of an array, in bytes.
pub(super) fn size<T: ByteArrayType>(array: &GenericByteArray<T>) -> usize {
    match array.value_offsets() {
        [first, .., last] => last.as_usize() - first.as_usize(),
        _ => 0,
    }
}
