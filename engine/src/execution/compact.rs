//! Copies rows that are kept, or beside which nothing may be seen. Rows of a query share memory with the batches that
//! they came from: strings point into the pages of a file, and a slice holds all of its batch. A copy holds its own rows
//! alone.

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, GenericByteArray, MutableArrayData, RecordBatch, RecordBatchOptions,
    make_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeType, ByteArrayType, DataType};
use arrow::error::ArrowError;

use crate::{Error, ErrorKind, Result};

/// The place of the values of dictionaries in a copy.
#[derive(Clone, Copy)]
enum Dictionaries {
    /// They stay shared with other batches.
    Shared,
    /// The copy has those that its rows have, in the order of these rows.
    Own,
}

/// Returns a copy of the rows in memory of its own. Only the values of a dictionary stay shared.
///
/// # Errors
/// `ResourceExhausted` if the copy of a column exceeds the offsets of its type.
pub(crate) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let copy = each_column(batch, |column| copied(column, Dictionaries::Shared));
    copy.map_err(|e| Error::new(ErrorKind::ResourceExhausted, "the rows cannot be copied").with_source(e))
}

/// Returns the rows without the bytes of any other row in their buffers: a client gets whole buffers. Only what shares
/// memory with other rows is copied.
///
/// # Errors
/// A copy exceeds the offsets of its type; a dictionary of a type for which none can be made.
pub(super) fn isolated(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    each_column(batch, |column| match column.data_type() {
        _ if is_part(column) => copied(column, Dictionaries::Own),
        DataType::Utf8View | DataType::BinaryView | DataType::Dictionary(..) => {
            own(column.to_data(), Dictionaries::Own).map(make_array)
        }
        DataType::RunEndEncoded(..) => copied(column, Dictionaries::Own),
        data_type if data_type.is_nested() => copied(column, Dictionaries::Own),
        _ => Ok(column.clone()),
    })
}

/// Returns the bytes of the values of a batch in Arrow's layout, without those parts of shared buffers that belong to other
/// rows. Strings in views inside nested types count as 16 bytes each.
pub(crate) fn array_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(column_bytes).sum()
}

fn column_bytes(column: &ArrayRef) -> usize {
    let sum = |lengths: &mut dyn Iterator<Item = u32>| lengths.map(|length| length as usize).sum::<usize>();
    let behind_views = match column.data_type() {
        DataType::Utf8View => sum(&mut column.as_string_view().lengths()),
        DataType::BinaryView => sum(&mut column.as_binary_view().lengths()),
        _ => 0,
    };
    let own = column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_buffer_memory_size());
    own + behind_views
}

fn each_column(
    batch: &RecordBatch,
    change: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn copied(array: &ArrayRef, dictionaries: Dictionaries) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data();
    let mut copy = MutableArrayData::new(vec![&data], false, data.len());
    copy.try_extend(0, 0, data.len())?;
    let mut copy = make_array(own(copy.freeze(), dictionaries)?);
    copy.shrink_to_fit();
    Ok(copy)
}

/// Copies what a copy of an array leaves where it is: the bytes behind views, and the values of dictionaries. Both may
/// be in nested values.
fn own(data: ArrayData, dictionaries: Dictionaries) -> Result<ArrayData, ArrowError> {
    let data_type = data.data_type().clone();
    match (&data_type, dictionaries) {
        (DataType::Utf8View, _) => Ok(make_array(data).as_string_view().gc().into_data()),
        (DataType::BinaryView, _) => Ok(make_array(data).as_binary_view().gc().into_data()),
        (DataType::Dictionary(..), Dictionaries::Shared) => Ok(data),
        (DataType::Dictionary(_, values), Dictionaries::Own) => {
            let values = own(cast(&make_array(data), values)?.to_data(), dictionaries)?;
            Ok(cast(&make_array(values), &data_type)?.to_data())
        }
        _ if data.child_data().is_empty() => Ok(data),
        _ => {
            let children = data.child_data().iter().cloned().map(|child| own(child, dictionaries));
            let children = children.collect::<Result<_, _>>()?;
            data.into_builder().child_data(children).build()
        }
    }
}

/// True if the buffers of an array that is not nested may have more than its rows: it is a part of a longer one.
fn is_part(array: &ArrayRef) -> bool {
    let of_values = match array.data_type() {
        DataType::Boolean => has_more_bits(array.as_boolean().values()),
        DataType::Utf8 => has_more_bytes(array.as_string::<i32>()),
        DataType::LargeUtf8 => has_more_bytes(array.as_string::<i64>()),
        DataType::Binary => has_more_bytes(array.as_binary::<i32>()),
        DataType::LargeBinary => has_more_bytes(array.as_binary::<i64>()),
        _ => false,
    };
    of_values || array.nulls().is_some_and(|nulls| has_more_bits(nulls.inner()))
}

fn has_more_bytes<T: ByteArrayType>(array: &GenericByteArray<T>) -> bool {
    let at = |offset: Option<&T::Offset>| offset.map_or(0, |offset| offset.as_usize());
    let offsets = array.value_offsets();
    at(offsets.first()) > 0 || at(offsets.last()) < array.value_data().len()
}

/// True if a buffer of bits has others beside these. A buffer is padded with zeros.
fn has_more_bits(bits: &BooleanBuffer) -> bool {
    let all = bits.inner().len() * 8;
    let more = all.saturating_sub(bits.len());
    bits.offset() > 0 || more >= 64 || bits.inner().count_set_bits_offset(bits.len(), more) > 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, DictionaryArray, FixedSizeListArray, Int32Array, Int64Array, ListArray, ListBuilder,
        ListViewArray, MapArray, RunArray, StringArray, StringViewArray, StringViewBuilder, StructArray, UnionArray,
    };
    use arrow::buffer::{OffsetBuffer, ScalarBuffer};
    use arrow::compute::filter_record_batch;
    use arrow::datatypes::{Field, Int32Type, UnionFields};
    use datafusion::physical_plan::spill::get_record_batch_memory_size;

    use super::*;

    const ROWS: usize = 10_000;

    fn long(i: usize) -> String {
        format!("a string that is too long for a view {i}")
    }

    /// Returns a batch with a column of each kind.
    fn rows() -> RecordBatch {
        let texts = || (0..ROWS).map(|i| (i % 7 != 0).then(|| long(i)));
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for i in 0..ROWS {
            lists.append_value((0..i % 3).map(|j| Some(long(i + j))));
        }
        let dictionary: DictionaryArray<Int32Type> = (0..ROWS).map(|i| if i % 2 == 0 { "a" } else { "b" }).collect();
        let columns: [(&str, ArrayRef); 5] = [
            ("view", Arc::new(texts().collect::<StringViewArray>())),
            ("text", Arc::new(texts().collect::<StringArray>())),
            ("number", Arc::new(Int64Array::from_iter((0..ROWS).map(|i| (i % 5 != 0).then_some(i as i64))))),
            ("list", Arc::new(lists.finish())),
            ("dictionary", Arc::new(dictionary)),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    #[test]
    fn a_slice_takes_the_memory_of_its_rows() {
        let all = rows();
        let slice = all.slice(100, 50);
        assert_eq!(get_record_batch_memory_size(&slice), get_record_batch_memory_size(&all));
        let copy = compact(&slice).unwrap();
        assert_eq!(copy, slice);
        let bytes = get_record_batch_memory_size(&copy);
        assert!(bytes < 20_000, "{bytes}");
    }

    #[test]
    fn rows_come_out_as_they_went_in() {
        let all = rows();
        for batch in [all.clone(), all.slice(ROWS - 1, 1), all.slice(5, 0)] {
            assert_eq!(compact(&batch).unwrap(), batch);
        }
        let none = RecordBatchOptions::new().with_row_count(Some(3));
        let empty = RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), vec![], &none);
        let empty = empty.unwrap();
        assert_eq!(compact(&empty).unwrap().num_rows(), 3);
    }

    /// Visible and hidden rows come in runs of this length.
    const RUN: usize = 16;

    fn is_visible(i: usize) -> bool {
        (i / RUN).is_multiple_of(2)
    }

    /// Returns strings in each kind of array. Those of hidden rows have a word of their own.
    fn secrets() -> RecordBatch {
        let rows = 20 * RUN;
        let word = |i: usize| if is_visible(i) { "a visible text" } else { "a concealed text" };
        let words: Vec<String> = (0..rows).map(|i| format!("{} number {i}", word(i))).collect();
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(&words));
        let view: ArrayRef = Arc::new(StringViewArray::from_iter_values(&words));
        let dictionary: DictionaryArray<Int32Type> = words.iter().map(String::as_str).collect();
        let dictionary: ArrayRef = Arc::new(dictionary);
        let mut columns = vec![("text".to_owned(), text.clone())];
        for (name, values) in [("view", view), ("dictionary", dictionary)] {
            let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let offsets = OffsetBuffer::<i32>::from_lengths(std::iter::repeat_n(1, rows));
            let (starts, ones): (ScalarBuffer<i32>, ScalarBuffer<i32>) =
                ((0..rows as i32).collect(), (0..rows).map(|_| 1).collect());
            let pairs = StructArray::from(vec![
                (Arc::new(Field::new("key", DataType::Utf8, false)), text.clone()),
                (Arc::new(Field::new("value", values.data_type().clone(), true)), values.clone()),
            ]);
            let entries = Arc::new(Field::new("entries", pairs.data_type().clone(), false));
            let fields = UnionFields::from_fields([
                Field::new("a", values.data_type().clone(), true),
                Field::new("b", DataType::Utf8, true),
            ]);
            let kinds = || (0..rows).map(|i| i8::from(i % 3 == 0)).collect::<ScalarBuffer<i8>>();
            let union = |offsets: Option<ScalarBuffer<i32>>| {
                UnionArray::try_new(fields.clone(), kinds(), offsets, vec![values.clone(), text.clone()]).unwrap()
            };
            let ends = Int32Array::from_iter_values(1..=rows as i32);
            let arrays: [(&str, ArrayRef); 9] = [
                ("", values.clone()),
                ("list", Arc::new(ListArray::new(item.clone(), offsets.clone(), values.clone(), None))),
                ("list view", Arc::new(ListViewArray::new(item.clone(), starts.clone(), ones, values.clone(), None))),
                ("fixed list", Arc::new(FixedSizeListArray::new(item, 1, values.clone(), None))),
                ("map", Arc::new(MapArray::new(entries, offsets, pairs.clone(), None, false))),
                ("struct", Arc::new(pairs)),
                ("dense union", Arc::new(union(Some(starts)))),
                ("sparse union", Arc::new(union(None))),
                ("runs", Arc::new(RunArray::<Int32Type>::try_new(&ends, values.as_ref()).unwrap())),
            ];
            columns.extend(arrays.map(|(kind, array)| (format!("{name} {kind}"), array)));
        }
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn has(data: &ArrayData, bytes: &[u8]) -> bool {
        let is_in = |buffer: &arrow::buffer::Buffer| buffer.windows(bytes.len()).any(|window| window == bytes);
        data.buffers().iter().any(is_in) || data.child_data().iter().any(|child| has(child, bytes))
    }

    #[test]
    fn isolated_rows_have_no_bytes_of_other_rows() {
        let all = secrets();
        let visible: BooleanArray = (0..all.num_rows()).map(|i| Some(is_visible(i))).collect();
        let filtered = filter_record_batch(&all, &visible).unwrap();
        for rows in [filtered, all.slice(0, RUN), all.slice(2 * RUN, RUN)] {
            let alone = isolated(&rows).unwrap();
            for (field, (before, after)) in all.schema().fields().iter().zip(rows.columns().iter().zip(alone.columns()))
            {
                assert_eq!(before, after, "{}", field.name());
                let data = after.to_data();
                assert!(has(&data, b"visible") && !has(&data, b"concealed"), "{}", field.name());
            }
        }
        assert!(all.columns().iter().all(|column| has(&column.to_data(), b"concealed")), "the test finds bytes");
    }

    #[test]
    fn isolated_rows_have_no_bits_of_other_rows() {
        let flags: ArrayRef = Arc::new((0..200).map(|i| (i != 7).then_some(i % 2 == 0)).collect::<BooleanArray>());
        for part in [flags.slice(8, 12), flags.slice(0, 5), flags.slice(64, 64)] {
            assert!(is_part(&part));
            let alone =
                isolated(&RecordBatch::try_from_iter_with_nullable([("f", part.clone(), true)]).unwrap()).unwrap();
            assert_eq!(alone.column(0), &part);
            assert!(!is_part(alone.column(0)));
        }
        assert!(!is_part(&flags));
    }

    #[test]
    fn a_slice_has_the_bytes_of_its_rows() {
        let long = "a string that is too long for its view";
        let batch = RecordBatch::try_from_iter([
            ("number", Arc::new(Int64Array::from(vec![1; 100])) as ArrayRef),
            ("text", Arc::new(StringArray::from(vec!["four"; 100]))),
            ("view", Arc::new(StringViewArray::from(vec![long; 100]))),
        ]);
        let batch = batch.unwrap();
        // Ten numbers, ten strings with eleven offsets, and ten views with their strings.
        let expected = 10 * 8 + (10 * 4 + 11 * 4) + 10 * (16 + long.len());
        assert_eq!(array_bytes(&batch.slice(50, 10)), expected);
    }
}
