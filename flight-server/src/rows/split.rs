//! Splits batches into pieces that fit into messages, and drops buffers that no row uses.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

/// Splits a batch into pieces of at most `limit` bytes, unless a single row is larger.
pub(super) fn split(batch: RecordBatch, limit: usize) -> Vec<RecordBatch> {
    let mut pieces = Vec::new();
    let mut waiting = vec![compact(batch)];
    while let Some(batch) = waiting.pop() {
        let rows = batch.num_rows();
        let size: usize = batch.columns().iter().map(size_of).sum();
        if size <= limit || rows <= 1 {
            pieces.push(batch);
            continue;
        }
        let parts = size.div_ceil(limit).clamp(2, rows);
        let step = rows.div_ceil(parts);
        let slices = (0..rows).step_by(step).map(|offset| compact(batch.slice(offset, step.min(rows - offset))));
        if batch.columns().iter().any(|c| is_nested(c.data_type())) {
            // The size of a nested column includes all of its values, however small the slice is. A further split would
            // go on to single rows.
            pieces.extend(slices);
        } else {
            waiting.extend(slices.rev());
        }
    }
    pieces
}

fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() || matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..))
}

/// Returns the batch without view buffers of which its rows use little, because IPC writes every buffer whole.
fn compact(batch: RecordBatch) -> RecordBatch {
    let is_view = |column: &ArrayRef| matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !batch.columns().iter().any(is_view) {
        return batch;
    }
    let columns = batch.columns().iter().map(compact_column).collect();
    // The columns keep their types and lengths, so this cannot fail. If it did, the original batch would still be
    // correct.
    RecordBatch::try_new(batch.schema(), columns).unwrap_or(batch)
}

fn compact_column(column: &ArrayRef) -> ArrayRef {
    let wasteful = |held: usize, used: usize| held > 2 * used + 4096;
    match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if wasteful(held, views.total_buffer_bytes_used()) { Arc::new(views.gc()) } else { column.clone() }
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if wasteful(held, views.total_buffer_bytes_used()) { Arc::new(views.gc()) } else { column.clone() }
        }
        _ => column.clone(),
    }
}

/// Returns the approximate size of a column in a message, in bytes.
fn size_of(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            views.len() * 16 + views.data_buffers().iter().map(|b| b.len()).sum::<usize>()
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            views.len() * 16 + views.data_buffers().iter().map(|b| b.len()).sum::<usize>()
        }
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_buffer_memory_size()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Int64Builder, ListBuilder};
    use arrow::compute::concat_batches;
    use portolan_connectors::node::protocol::TARGET_MESSAGE_BYTES;

    use super::*;

    #[test]
    fn lists_are_not_cut_into_single_rows() {
        let mut lists = ListBuilder::new(Int64Builder::new());
        for row in 0..8_192_i64 {
            lists.append_value((0..60).map(|i| Some(row + i)));
        }
        let batch = RecordBatch::try_from_iter([("l", Arc::new(lists.finish()) as ArrayRef)]).unwrap();
        let pieces = split(batch.clone(), TARGET_MESSAGE_BYTES);
        assert!((2..=8).contains(&pieces.len()), "{} pieces", pieces.len());
        assert_eq!(concat_batches(&batch.schema(), &pieces).unwrap(), batch);
    }
}
