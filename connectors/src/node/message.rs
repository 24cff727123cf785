//! Checks on Arrow messages from the network that must come before they are decoded.

use arrow::ipc::{MessageHeader, root_as_message};
use arrow_flight::FlightData;

/// The number of rows that a batch may have even if its body is empty. Some types need no bytes in the body, but their
/// rows need memory later.
const ROWS_WITHOUT_BYTES: usize = 1 << 20;

/// Rejects compressed bodies. The decoder allocates their claimed sizes before it decompresses them, so a message of a
/// few bytes could use all memory. Rejects more rows than the body has bits for the same reason.
///
/// # Errors
/// The reason why the message is rejected.
pub fn check_message(data: &FlightData) -> Result<(), String> {
    let message = root_as_message(&data.data_header).map_err(|e| format!("a message's header is malformed: {e}"))?;
    let batch = message
        .header_as_record_batch()
        .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    let Some(batch) = batch else { return Ok(()) };
    if batch.compression().is_some() {
        return Err("compressed batches are not accepted: send them uncompressed".to_owned());
    }
    let most = data.data_body.len().saturating_mul(8).saturating_add(ROWS_WITHOUT_BYTES);
    let nodes = batch.nodes().into_iter().flatten().map(|node| node.length());
    match nodes.chain([batch.length()]).find(|rows| usize::try_from(*rows).ok().is_none_or(|rows| rows > most)) {
        Some(rows) => Err(format!("a batch claims {rows} rows in {} bytes", data.data_body.len())),
        None => Ok(()),
    }
}

/// Returns the bytes that a message adds to a dictionary of its stream. Such a dictionary can grow without a bound.
/// Returns 0 for any other message.
pub fn added_to_dictionary(data: &FlightData) -> usize {
    let message = root_as_message(&data.data_header).ok().filter(|m| m.header_type() == MessageHeader::DictionaryBatch);
    let is_delta = message.and_then(|m| m.header_as_dictionary_batch()).is_some_and(|dictionary| dictionary.isDelta());
    if is_delta { data.data_body.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, NullArray, RecordBatch};
    use arrow_flight::utils::batches_to_flight_data;

    use super::*;

    #[test]
    fn rows_that_take_no_bytes_are_bounded() {
        let checked = |rows| {
            let nulls: ArrayRef = Arc::new(NullArray::new(rows));
            let batch = RecordBatch::try_from_iter_with_nullable([("n", nulls, true)]).unwrap();
            let messages = batches_to_flight_data(&batch.schema(), vec![batch]).unwrap();
            messages.iter().try_for_each(check_message)
        };
        checked(ROWS_WITHOUT_BYTES).unwrap();
        assert!(checked(1 << 40).unwrap_err().contains("1099511627776 rows"));
    }
}
