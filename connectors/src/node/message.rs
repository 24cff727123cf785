//! Checks on Arrow messages from the network that must come before they are decoded.

use arrow::ipc::root_as_message;
use arrow_flight::FlightData;

/// Refuses compressed bodies. Their claimed sizes are allocated before anything is decompressed, so that a message of a
/// few bytes could take all memory.
///
/// # Errors
/// What is wrong with the message.
pub fn check_message(data: &FlightData) -> Result<(), String> {
    let message = root_as_message(&data.data_header).map_err(|e| format!("a message's header is malformed: {e}"))?;
    let batch = message
        .header_as_record_batch()
        .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    match batch.and_then(|batch| batch.compression()) {
        Some(_) => Err("compressed batches are not taken: send them uncompressed".to_owned()),
        None => Ok(()),
    }
}
