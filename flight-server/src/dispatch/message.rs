//! The messages of `DoGet`, and their wire format. Rows are sent without a copy. The codec for `FlightData` would copy
//! each message into one buffer, and that buffer again into the output.

use std::collections::VecDeque;

use arrow_flight::FlightData;
use bytes::{BufMut, Bytes, BytesMut};
use portolan_connectors::node::protocol::MAX_MESSAGE_BYTES;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// The number of the field `data_body` of `FlightData` (Flight.proto).
const BODY_FIELD: u32 = 1000;
/// The number of bytes before each message: a compression flag and the message's length (gRPC over HTTP/2,
/// "Length-Prefixed-Message").
const PREFIX: usize = 5;
/// The size below which pieces are copied together, because each separate piece costs a frame.
const SMALL: usize = 8 << 10;

/// A message of `DoGet`: a [`FlightData`] whose body is in pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// All fields but the body, which is empty here.
    head: FlightData,
    body: Vec<Bytes>,
}

impl Message {
    /// Returns an Arrow message from its metadata and the pieces of its body in order.
    pub fn new(data_header: Bytes, body: Vec<Bytes>) -> Self {
        Self { head: FlightData { data_header, ..FlightData::default() }, body }
    }

    /// Returns the metadata of the Arrow message.
    pub fn header(&self) -> &Bytes {
        &self.head.data_header
    }

    /// Returns the pieces of the body in order.
    pub fn body(&self) -> &[Bytes] {
        &self.body
    }

    /// Returns the application's metadata.
    pub fn app_metadata(&self) -> &Bytes {
        &self.head.app_metadata
    }

    /// Replaces the application's metadata.
    #[must_use]
    pub fn with_app_metadata(mut self, app_metadata: Bytes) -> Self {
        self.head.app_metadata = app_metadata;
        self
    }

    /// Returns the size of the encoded message in bytes.
    pub fn size(&self) -> usize {
        let body = self.body_size();
        let announced = if body == 0 { 0 } else { key_len(BODY_FIELD) + encoded_len_varint(body as u64) };
        self.head.encoded_len() + announced + body
    }

    fn body_size(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }

    /// Returns the encoded message in pieces; `None` if it is larger than nodes and clients accept.
    pub(super) fn pieces(self) -> Option<VecDeque<Bytes>> {
        let (size, body) = (self.size(), self.body_size());
        let length = u32::try_from(size).ok().filter(|_| size <= MAX_MESSAGE_BYTES)?;
        let mut joined = BytesMut::with_capacity(PREFIX + size - body + body.min(SMALL));
        joined.put_u8(0);
        joined.put_u32(length);
        // `BytesMut` grows, so encoding fails only for lack of space.
        self.head.encode(&mut joined).ok()?;
        if body > 0 {
            encode_key(BODY_FIELD, WireType::LengthDelimited, &mut joined);
            encode_varint(body as u64, &mut joined);
        }
        let mut pieces = VecDeque::new();
        for piece in self.body {
            if piece.len() < SMALL {
                joined.extend_from_slice(&piece);
                continue;
            }
            if !joined.is_empty() {
                pieces.push_back(joined.split().freeze());
            }
            pieces.push_back(piece);
        }
        if !joined.is_empty() {
            pieces.push_back(joined.freeze());
        }
        Some(pieces)
    }
}

impl From<FlightData> for Message {
    fn from(mut data: FlightData) -> Self {
        let body = std::mem::take(&mut data.data_body);
        Self { head: data, body: if body.is_empty() { vec![] } else { vec![body] } }
    }
}

/// Joins the body into one piece.
impl From<Message> for FlightData {
    fn from(Message { head, mut body }: Message) -> Self {
        let data_body = if body.len() == 1 { body.swap_remove(0) } else { body.concat().into() };
        Self { data_body, ..head }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_flight::FlightDescriptor;

    use super::*;

    fn joined(message: Message) -> Vec<u8> {
        message.pieces().unwrap().iter().flat_map(|piece| piece.to_vec()).collect()
    }

    /// Returns the message as the codec encodes it.
    fn expected(data: &FlightData) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.put_u32(u32::try_from(data.encoded_len()).unwrap());
        data.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn messages_are_encoded_as_the_codec_does() {
        let piece = |length: usize, of: u8| Bytes::from(vec![of; length]);
        let bodies = [
            vec![],
            vec![piece(0, 1)],
            vec![piece(1, 1)],
            vec![piece(SMALL - 1, 1), piece(SMALL, 2), piece(3, 3), piece(0, 0), piece(SMALL + 1, 4), piece(5, 5)],
            vec![piece(300_000, 7)],
        ];
        for body in bodies {
            for head in [
                FlightData::default(),
                FlightData {
                    flight_descriptor: Some(FlightDescriptor::new_cmd("what")),
                    data_header: piece(70, 9),
                    app_metadata: piece(200, 8),
                    ..FlightData::default()
                },
            ] {
                let message = Message { head, body: body.clone() };
                let data = FlightData::from(message.clone());
                assert_eq!(data.data_body, body.concat());
                assert_eq!(joined(message), expected(&data));
                assert_eq!(joined(Message::from(data.clone())), expected(&data));
            }
        }
    }

    #[test]
    fn the_largest_message_is_the_last_that_goes() {
        let of = |length: usize| Message::new(Bytes::new(), vec![Bytes::from(vec![0; length])]);
        let around = of(MAX_MESSAGE_BYTES).size() - MAX_MESSAGE_BYTES;
        assert_eq!(of(MAX_MESSAGE_BYTES - around).size(), MAX_MESSAGE_BYTES);
        assert!(of(MAX_MESSAGE_BYTES - around).pieces().is_some());
        assert!(of(MAX_MESSAGE_BYTES - around + 1).pieces().is_none());
    }

    #[test]
    fn large_pieces_are_sent_from_where_they_lie() {
        let large = Bytes::from(vec![1; 2 * SMALL]);
        let message = Message::new(Bytes::new(), vec![Bytes::from_static(b"small"), large.clone()]);
        let pieces = message.pieces().unwrap();
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1].as_ptr(), large.as_ptr());
    }
}
