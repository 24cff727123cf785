//! Checksums of the messages between nodes: of a fragment and its keys, and of the rows that answer it. They find
//! damage on the way. They do not protect against tampering, because anyone can compute them: only TLS does.
//!
//! The algorithm is XXH3 with 64 bits. By the figures of its crate, it reads 25 GiB/s with SSE2, 58 GiB/s with AVX2 and
//! 35 GiB/s with NEON, so it is far faster than a link.

use std::hash::Hasher as _;

use arrow_flight::FlightData;
use bytes::Bytes;
use twox_hash::XxHash3_64;

/// The size of a checksum, in bytes.
pub const CHECKSUM_BYTES: usize = 8;

/// A checksum of numbers and parts. Each part counts with its length, so that no bytes can move from one part to the
/// next.
#[derive(Clone, Default)]
pub(super) struct Checksum(XxHash3_64);

impl Checksum {
    pub(super) fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.finish()
    }
}

/// The running checksum of a stream of rows. Each message carries the checksum of all messages up to it, itself
/// included, in the first [`CHECKSUM_BYTES`] bytes of its `app_metadata`. So a reader finds a changed, missing, repeated
/// or moved message before it decodes the message, also if the reader does not read to the end.
#[derive(Clone, Default)]
pub struct StreamChecksum(Checksum);

impl StreamChecksum {
    /// Returns the `app_metadata` of the next message: the checksum, and after it the message's own `metadata`. The body
    /// may be in pieces.
    pub fn seal(&mut self, header: &[u8], body: &[Bytes], metadata: &[u8]) -> Bytes {
        let checksum = self.add(header, body, metadata);
        [checksum.as_slice(), metadata].concat().into()
    }

    /// Checks the next message. Returns the message's own metadata, or `None` if the checksum is missing or wrong.
    pub fn open(&mut self, message: &FlightData) -> Option<Bytes> {
        let (sent, metadata) = message.app_metadata.split_at_checked(CHECKSUM_BYTES)?;
        let expected = self.add(&message.data_header, std::slice::from_ref(&message.data_body), metadata);
        (sent == expected).then(|| message.app_metadata.slice(CHECKSUM_BYTES..))
    }

    fn add(&mut self, header: &[u8], body: &[Bytes], metadata: &[u8]) -> [u8; CHECKSUM_BYTES] {
        self.0.part(header);
        self.0.number(body.iter().map(Bytes::len).sum::<usize>() as u64);
        for piece in body {
            self.0.0.write(piece);
        }
        self.0.part(metadata);
        self.0.value().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(header: &str, body: &str, app_metadata: Bytes) -> FlightData {
        let (data_header, data_body) = (header.to_owned().into(), body.to_owned().into());
        FlightData { data_header, data_body, app_metadata, ..FlightData::default() }
    }

    /// Returns a stream of three messages, the last with metadata of its own.
    fn stream() -> Vec<FlightData> {
        let mut checksum = StreamChecksum::default();
        let mut sealed = |header: &str, pieces: &[&str], metadata: &str| {
            let body: Vec<Bytes> = pieces.iter().map(|piece| (*piece).to_owned().into()).collect();
            let metadata = checksum.seal(header.as_bytes(), &body, metadata.as_bytes());
            message(header, &pieces.concat(), metadata)
        };
        vec![sealed("columns", &[], ""), sealed("rows", &["one", "", "two"], ""), sealed("", &[], "summary")]
    }

    /// Returns the metadata of the messages; `None` if one of them is damaged.
    fn opened(messages: &[FlightData]) -> Option<Vec<Bytes>> {
        let mut checksum = StreamChecksum::default();
        messages.iter().map(|message| checksum.open(message)).collect()
    }

    #[test]
    fn pieces_and_the_whole_have_one_checksum() {
        assert_eq!(opened(&stream()).unwrap(), [&b""[..], b"", b"summary"]);
    }

    #[test]
    fn a_checksum_keeps_its_value() {
        // Other nodes compute the same value. Python's `xxhash` did, over the same bytes.
        assert_eq!(Checksum::default().value(), 0x2d06_8005_38d3_94c2);
        let mut checksum = Checksum::default();
        checksum.number(7);
        checksum.part(&[b'x'; 1000]);
        assert_eq!(checksum.value(), 0x9382_1ebf_6c82_018d);
    }

    #[test]
    fn messages_stay_whole_and_in_order() {
        let good = stream();
        let swapped = vec![good[1].clone(), good[0].clone(), good[2].clone()];
        let repeated = vec![good[0].clone(), good[1].clone(), good[1].clone(), good[2].clone()];
        let missing = vec![good[0].clone(), good[2].clone()];
        let mut moved = good.clone();
        moved[1] = message("rowso", "netwo", good[1].app_metadata.clone());
        let mut without = good.clone();
        without[1].app_metadata = Bytes::new();
        for damaged in [swapped, repeated, missing, moved, without] {
            assert_eq!(opened(&damaged), None);
        }
    }
}
