//! Checks on Arrow messages from the network that must come before they are decoded.

use arrow::ipc::{MessageHeader, root_as_message};
use arrow_flight::FlightData;

/// Rows that a batch may have whatever its body holds. Some types take no bytes for a row, and what is made of such rows
/// does.
const ROWS_WITHOUT_BYTES: usize = 1 << 20;

/// Refuses compressed bodies: their claimed sizes are allocated before anything is decompressed, so that a message of a
/// few bytes could take all memory. Refuses more rows than the body has bits for the same reason.
///
/// # Errors
/// What is wrong with the message.
pub fn check_message(data: &FlightData) -> Result<(), String> {
    let message = root_as_message(&data.data_header).map_err(|e| format!("a message's header is malformed: {e}"))?;
    let batch = message
        .header_as_record_batch()
        .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    let Some(batch) = batch else { return Ok(()) };
    if batch.compression().is_some() {
        return Err("compressed batches are not taken: send them uncompressed".to_owned());
    }
    let most = data.data_body.len().saturating_mul(8).saturating_add(ROWS_WITHOUT_BYTES);
    let nodes = batch.nodes().into_iter().flatten().map(|node| node.length());
    match nodes.chain([batch.length()]).find(|rows| usize::try_from(*rows).ok().is_none_or(|rows| rows > most)) {
        Some(rows) => Err(format!("a batch claims {rows} rows in {} bytes", data.data_body.len())),
        None => Ok(()),
    }
}

/// Bytes of a message that are added to a dictionary which its stream sent before: such a dictionary grows without an
/// end. 0 for any other message.
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
