//! Converts view strings and view binaries to plain ones. Arrow's cast appends each value with its own call to copy a
//! variable number of bytes. Most values are short, so copying a few extra bytes costs less than that call.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, ByteView, GenericByteViewArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::ByteViewType;
use arrow::error::ArrowError;

/// The number of bytes that a view stores inline after its length (Arrow's format, "Variable-size Binary View Layout").
const INLINE: usize = 12;
/// The number of bytes that are copied for a shorter value.
const SHORT: usize = 48;

/// Converts an array to `Utf8`.
///
/// # Errors
/// If the values have more bytes than offsets can address.
pub(super) fn strings(array: &dyn Array) -> Result<ArrayRef, ArrowError> {
    let views = array.as_string_view();
    let (offsets, values) = gathered(views)?;
    Ok(Arc::new(StringArray::try_new(offsets, values, views.nulls().cloned())?))
}

/// Converts an array to `Binary`.
///
/// # Errors
/// If the values have more bytes than offsets can address.
pub(super) fn binary(array: &dyn Array) -> Result<ArrayRef, ArrowError> {
    let views = array.as_binary_view();
    let (offsets, values) = gathered(views)?;
    Ok(Arc::new(BinaryArray::try_new(offsets, values, views.nulls().cloned())?))
}

/// Returns the concatenated values and their offsets. NULL takes no bytes.
fn gathered<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Result<(OffsetBuffer<i32>, Buffer), ArrowError> {
    let (views, buffers, nulls) = (array.views(), array.data_buffers(), array.nulls());
    let total: usize = match nulls {
        None => views.iter().map(|view| length(*view)).sum(),
        // A view under a NULL may have any content.
        Some(nulls) => nulls.valid_indices().map(|row| length(views[row])).sum(),
    };
    if i32::try_from(total).is_err() {
        return Err(ArrowError::OffsetOverflowError(total));
    }
    let mut values: Vec<u8> = Vec::with_capacity(total + SHORT);
    let mut offsets: Vec<i32> = Vec::with_capacity(views.len() + 1);
    offsets.push(0);
    for (row, view) in views.iter().enumerate() {
        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            let length = length(*view);
            let before = values.len();
            if length <= INLINE {
                values.extend_from_slice(&view.to_ne_bytes()[size_of::<u32>()..]);
            } else {
                let ByteView { buffer_index, offset, .. } = ByteView::from(*view);
                let (buffer, start) = (&buffers[buffer_index as usize], offset as usize);
                match buffer.get(start..start + SHORT) {
                    Some(more) if length <= SHORT => values.extend_from_slice(more),
                    _ => values.extend_from_slice(&buffer[start..start + length]),
                }
            }
            values.truncate(before + length);
        }
        // At most the sum of all lengths, which fits.
        offsets.push(values.len() as i32);
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(values)))
}

/// Returns the length of a value, which is the first field of a view.
fn length(view: u128) -> usize {
    view as u32 as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{BinaryViewArray, StringViewArray, StringViewBuilder};
    use arrow::buffer::NullBuffer;
    use arrow::compute::cast;
    use arrow::datatypes::DataType;

    use super::*;

    /// Returns strings with all lengths near the limits, and some NULLs.
    fn texts() -> Vec<Option<String>> {
        let lengths = (0..=INLINE + 2).chain(SHORT - 2..=SHORT + 2).chain([1_000, 3, 20_000, 13]);
        let texts =
            lengths.enumerate().map(|(n, length)| (n % 5 != 3).then(|| "añz".chars().cycle().take(length).collect()));
        texts.collect()
    }

    #[test]
    fn views_become_what_a_cast_makes_of_them() {
        let views = StringViewArray::from(texts());
        let blobs: BinaryViewArray = texts().iter().map(|text| text.as_ref().map(String::as_bytes)).collect();
        for (start, length) in [(0, views.len()), (0, 0), (3, 9), (views.len() - 2, 2)] {
            let (views, blobs) = (views.slice(start, length), blobs.slice(start, length));
            assert_eq!(strings(&views).unwrap().as_ref(), cast(&views, &DataType::Utf8).unwrap().as_ref());
            assert_eq!(binary(&blobs).unwrap().as_ref(), cast(&blobs, &DataType::Binary).unwrap().as_ref());
        }
        let whole = StringViewArray::from_iter_values(texts().into_iter().flatten());
        assert_eq!(strings(&whole).unwrap().as_ref(), cast(&whole, &DataType::Utf8).unwrap().as_ref());
        assert_eq!(strings(&whole.gc()).unwrap().as_ref(), cast(&whole, &DataType::Utf8).unwrap().as_ref());
    }

    /// Returns views of one string of a mebibyte, in all more bytes than offsets can address.
    fn large() -> StringViewArray {
        let mut builder = StringViewBuilder::new();
        let block = builder.append_block(Buffer::from("x".repeat(1 << 20).as_bytes()));
        for _ in 0..2048 {
            builder.try_append_view(block, 0, 1 << 20).unwrap();
        }
        builder.finish()
    }

    #[test]
    fn what_stands_behind_null_does_not_count() {
        let (views, buffers, _) = large().into_parts();
        // Kernels that change only the nulls produce such an array.
        let nulls = NullBuffer::from_iter((0..views.len()).map(|row| row == 7));
        let array = StringViewArray::new(views, buffers, Some(nulls));
        let plain = strings(&array).unwrap();
        assert_eq!((plain.len(), plain.null_count()), (2048, 2047));
        assert_eq!(plain.as_string::<i32>().value(7).len(), 1 << 20);
    }

    #[test]
    fn more_than_offsets_can_tell_is_refused() {
        let error = strings(&large()).unwrap_err();
        assert!(matches!(error, ArrowError::OffsetOverflowError(_)), "{error}");
    }
}
