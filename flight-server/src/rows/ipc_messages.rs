//! The encoder of Flight messages: Arrow's stream format, cut into messages whose buffers are not copied.

use std::collections::VecDeque;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{IpcWriteOptions, StreamEncoder};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use portolan_connectors::node::protocol::MAX_MESSAGE_BYTES;
use portolan_engine::{Error, ErrorKind, Result};

use crate::dispatch::Message;
use crate::failure::arrow;

/// Encodes rows as Flight messages, with dictionaries as dictionaries, and without copying uncompressed buffers.
/// Flight's own encoder declares large lists as small ones, but sends them unchanged.
pub(super) struct Encoder {
    stream: StreamEncoder,
    /// True if the schema was encoded, which comes before the first rows.
    begun: bool,
}

impl Encoder {
    pub(super) fn new(schema: &SchemaRef, options: IpcWriteOptions) -> Result<Self> {
        Ok(Self { stream: StreamEncoder::try_new_with_options(schema, options).map_err(arrow)?, begun: false })
    }

    /// Encodes a batch, after the dictionaries that the batch adds or replaces.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<Message>> {
        let begun = std::mem::replace(&mut self.begun, true);
        let mut stream = IpcMessages::of(self.stream.encode(batch).map_err(arrow)?);
        if !begun {
            stream.header().ok_or_else(malformed)?;
        }
        let mut messages = Vec::new();
        while !stream.0.is_empty() {
            let header = stream.header().ok_or_else(malformed)?;
            let body = root_as_message(&header).map_err(|_| malformed())?.bodyLength();
            let body = usize::try_from(body).ok().and_then(|length| stream.take(length)).ok_or_else(malformed)?;
            messages.push(Message::new(header, body));
        }
        match messages.iter().map(Message::size).find(|size| *size > MAX_MESSAGE_BYTES) {
            None => Ok(messages),
            Some(size) => Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("a row takes {size} bytes, more than the limit of a message ({MAX_MESSAGE_BYTES} bytes)"),
            )),
        }
    }
}

fn malformed() -> Error {
    Error::new(ErrorKind::Internal, "rows were encoded into a malformed stream")
}

/// The unread messages of a stream. A message consists of a marker, the length of its metadata, the metadata, and a
/// body whose length is in the metadata (Arrow's format, "Encapsulated message format").
struct IpcMessages(VecDeque<Bytes>);

impl IpcMessages {
    fn of(buffers: Vec<Buffer>) -> Self {
        Self(buffers.into_iter().filter(|buffer| !buffer.is_empty()).map(bytes).collect())
    }

    /// Removes and returns the metadata of the next message; `None` if there is no further message.
    fn header(&mut self) -> Option<Bytes> {
        let prefix = self.take(8)?.concat();
        let length = i32::from_le_bytes(prefix.get(4..)?.try_into().ok()?);
        Some(self.take(usize::try_from(length).ok()?)?.concat().into())
    }

    /// Removes and returns the next `length` bytes; `None` if there are fewer.
    fn take(&mut self, mut length: usize) -> Option<Vec<Bytes>> {
        let mut taken = Vec::new();
        while length > 0 {
            let mut first = self.0.pop_front()?;
            if first.len() > length {
                self.0.push_front(first.split_off(length));
            }
            length -= first.len();
            taken.push(first);
        }
        Some(taken)
    }
}

/// Returns the bytes of a buffer without copying them.
fn bytes(buffer: Buffer) -> Bytes {
    struct BufferOwner(Buffer);
    impl AsRef<[u8]> for BufferOwner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    Bytes::from_owner(BufferOwner(buffer))
}
