//! The parts of an answer, one by one: decoded, or as the node sent them. Each message is checked first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::{MessageHeader, root_as_message};
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{StreamState, wrong};
use crate::error::{Error, Result};
use crate::fragment::RelayedMessage;
use crate::node::checksum::StreamChecksum;
use crate::node::layout::Layout;
use crate::node::message::check_message;
use crate::node::protocol::AGAINST_DAMAGE;
use crate::site::SiteId;

/// The form of the rows in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum RowForm {
    /// Decoded batches.
    Batches,
    /// Messages that are not decoded.
    Messages,
}

/// A part of an answer.
pub(super) enum Part {
    Columns(SchemaRef),
    Batch(RecordBatch),
    Message(RelayedMessage),
}

/// The parts of an answer.
pub(super) enum Source {
    Decoded(FlightDataDecoder),
    /// The messages, and the parts that those with rows have.
    Undecoded(Box<Arrived>, Layout),
}

/// The messages that have arrived from the network and are not decoded yet.
pub(super) struct Arrived {
    site: SiteId,
    waiting: mpsc::Receiver<Result<FlightData>>,
    checksum: StreamChecksum,
    shared: Arc<StreamState>,
}

impl Source {
    /// Returns the parts of the messages in `arrived`, with rows of `schema`.
    pub(super) fn new(arrived: Arrived, schema: &Schema, form: RowForm) -> Self {
        match form {
            RowForm::Messages => Self::Undecoded(Box::new(arrived), Layout::of(schema)),
            RowForm::Batches => {
                let messages = stream::unfold(arrived, |mut arrived| async move {
                    let item = arrived.next().await?;
                    Some((item, arrived))
                });
                Self::Decoded(FlightDataDecoder::new(messages))
            }
        }
    }

    /// Returns the next part; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Result<Part, FlightError>> {
        match self {
            Self::Undecoded(arrived, layout) => {
                let data = arrived.next().await?;
                Some(data.and_then(|data| undecoded(data, layout)))
            }
            Self::Decoded(decoder) => loop {
                match decoder.next().await?.map(|decoded| decoded.payload) {
                    Ok(DecodedPayload::None) => {}
                    Ok(DecodedPayload::Schema(columns)) => return Some(Ok(Part::Columns(columns))),
                    Ok(DecodedPayload::RecordBatch(batch)) => return Some(Ok(Part::Batch(batch))),
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }
}

/// Returns a message without decoding its body. Clients get no dictionaries, so none may come.
fn undecoded(data: FlightData, layout: &Layout) -> Result<Part, FlightError> {
    let message = root_as_message(&data.data_header)
        .map_err(|e| FlightError::DecodeError(format!("a message's header is malformed: {e}")))?;
    if message.header_type() == MessageHeader::Schema {
        return Ok(Part::Columns(Arc::new(Schema::try_from(&data)?)));
    }
    let rows = layout.rows(&message, &data.data_body).map_err(FlightError::DecodeError)?;
    Ok(Part::Message(RelayedMessage { header: data.data_header, body: data.data_body, rows }))
}

impl Arrived {
    /// Returns the messages that come from `waiting`. What they have besides rows goes to `shared`.
    pub(super) fn new(site: SiteId, waiting: mpsc::Receiver<Result<FlightData>>, shared: Arc<StreamState>) -> Self {
        Self { site, waiting, checksum: StreamChecksum::default(), shared }
    }

    /// Returns the next message; `None` after the last one.
    async fn next(&mut self) -> Option<Result<FlightData, FlightError>> {
        match self.waiting.recv().await? {
            Ok(data) => self.admit(data).transpose(),
            Err(error) => Some(Err(external(error))),
        }
    }

    /// Counts the bytes of a message, and checks the message before it is decoded. Returns `None` for the summary, which
    /// is the end.
    fn admit(&mut self, data: FlightData) -> Result<Option<FlightData>, FlightError> {
        let bytes = data.data_header.len() + data.data_body.len() + data.app_metadata.len();
        self.shared.wire_bytes.fetch_add(bytes, Ordering::Relaxed);
        let Some(metadata) = self.checksum.open(&data) else {
            let what = "its rows were damaged on the way: the checksum of a message is missing or wrong";
            return Err(external(wrong(&self.site, &format!("{what}; {AGAINST_DAMAGE}"))));
        };
        if data.data_header.is_empty() {
            let _ = self.shared.summary.set(metadata);
            return Ok(None);
        }
        // Only the first message has a label. The metadata of later ones is ignored.
        let _ = self.shared.label.set(metadata);
        check_message(&data).map_err(FlightError::DecodeError)?;
        Ok(Some(data))
    }
}

fn external(error: Error) -> FlightError {
    FlightError::from_external_error(Box::new(error))
}
