//! Copies rows that are kept. Rows of a query share memory with the batches that they came from: strings point into
//! the pages of a file, and a slice holds all of its batch. A copy holds its own rows alone.

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, MutableArrayData, RecordBatch, RecordBatchOptions, make_array,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::{Error, ErrorKind, Result};

/// Returns a copy of the rows in memory of its own. Only the values of a dictionary stay shared.
///
/// # Errors
/// `ResourceExhausted` if the copy of a column exceeds the offsets of its type.
pub(crate) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(copied).collect::<Result<Vec<_>, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    columns
        .and_then(|columns| RecordBatch::try_new_with_options(batch.schema(), columns, &options))
        .map_err(|e| Error::new(ErrorKind::ResourceExhausted, "the rows cannot be copied").with_source(e))
}

fn copied(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data();
    let mut copy = MutableArrayData::new(vec![&data], false, data.len());
    copy.try_extend(0, 0, data.len())?;
    let mut copy = make_array(own_strings(copy.freeze())?);
    copy.shrink_to_fit();
    Ok(copy)
}

/// Copies the bytes of strings, which a copy of a view leaves where they are. Views may be in nested values.
fn own_strings(data: ArrayData) -> Result<ArrayData, ArrowError> {
    match data.data_type().clone() {
        DataType::Utf8View => Ok(make_array(data).as_string_view().gc().into_data()),
        DataType::BinaryView => Ok(make_array(data).as_binary_view().gc().into_data()),
        // The values of a dictionary are shared with other batches.
        data_type if data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..)) => {
            let children = data.child_data().iter().cloned().map(own_strings).collect::<Result<_, _>>()?;
            data.into_builder().child_data(children).build()
        }
        _ => Ok(data),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int64Array, ListBuilder, StringArray, StringViewArray, StringViewBuilder};
    use arrow::datatypes::Int32Type;
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
}
