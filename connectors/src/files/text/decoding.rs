//! The text of a file: its bytes, decompressed and decoded to UTF-8.

use std::future::ready;
use std::sync::Arc;

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZstdDecoder};
use bytes::{Buf, Bytes};
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::error::{DataFusionError, Result};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::fatal;
use crate::data_fault::DataFault;

/// The bytes of a text, in pieces that are not empty.
pub(in crate::files) type Chunks = BoxStream<'static, Result<Bytes>>;

/// The largest length of a byte order mark.
const LONGEST_MARK: usize = 3;

/// The text of a file.
pub(in crate::files) struct Text {
    /// The text in UTF-8, without a byte order mark. Bytes that are no UTF-8 are possible if the text is not
    /// transcoded.
    pub(in crate::files) chunks: Chunks,
    /// True if the file itself has another encoding than UTF-8.
    pub(in crate::files) is_transcoded: bool,
}

impl Text {
    /// Reads a file from its beginning. A byte order mark takes precedence over the declared encoding.
    ///
    /// # Errors
    /// An error of the store or of the decompression.
    pub(in crate::files) async fn open(
        store: &Arc<dyn ObjectStore>,
        path: &Path,
        compression: CompressionTypeVariant,
        declared: Option<&'static Encoding>,
    ) -> Result<Self> {
        let stored = store.get(path).await?.into_stream().map_err(DataFusionError::from).boxed();
        let mut bytes = decompressed(stored, compression);
        let mut beginning = Vec::new();
        while beginning.len() < LONGEST_MARK
            && let Some(chunk) = bytes.try_next().await?
        {
            beginning.extend_from_slice(&chunk);
        }
        let mut beginning = Bytes::from(beginning);
        let (encoding, mark) = Encoding::for_bom(&beginning).unwrap_or((declared.unwrap_or(UTF_8), 0));
        beginning.advance(mark);
        let bytes = stream::once(ready(Ok(beginning))).chain(bytes).boxed();
        if encoding == UTF_8 {
            return Ok(Self { chunks: without_empty(bytes), is_transcoded: false });
        }
        Ok(Self { chunks: without_empty(decoded(bytes, encoding)), is_transcoded: true })
    }
}

fn without_empty(chunks: Chunks) -> Chunks {
    chunks.try_filter(|chunk| ready(!chunk.is_empty())).boxed()
}

/// Decompresses a file: all of its members, one after the other. DataFusion's `convert_stream` ends after the first member of
/// BZIP2, XZ and ZSTD, and `pbzip2`, `pzstd` and `cat` write several.
fn decompressed(stored: Chunks, compression: CompressionTypeVariant) -> Chunks {
    let reader = StreamReader::<Chunks, Bytes>::new;
    match compression {
        CompressionTypeVariant::UNCOMPRESSED => stored,
        CompressionTypeVariant::GZIP => {
            let mut decoder = GzipDecoder::new(reader(stored));
            decoder.multiple_members(true);
            pieces(decoder)
        }
        CompressionTypeVariant::BZIP2 => {
            let mut decoder = BzDecoder::new(reader(stored));
            decoder.multiple_members(true);
            pieces(decoder)
        }
        CompressionTypeVariant::XZ => {
            let mut decoder = XzDecoder::new(reader(stored));
            decoder.multiple_members(true);
            pieces(decoder)
        }
        CompressionTypeVariant::ZSTD => {
            let mut decoder = ZstdDecoder::new(reader(stored));
            decoder.multiple_members(true);
            pieces(decoder)
        }
    }
}

fn pieces(text: impl AsyncRead + Send + 'static) -> Chunks {
    ReaderStream::new(text).map_err(DataFusionError::from).boxed()
}

/// The state of decoding a text.
struct Decoding {
    bytes: Chunks,
    decoder: Decoder,
    /// The number of line breaks so far.
    lines: u64,
    is_done: bool,
}

/// Decodes a text. Bytes that do not belong to the encoding are an error.
fn decoded(bytes: Chunks, encoding: &'static Encoding) -> Chunks {
    let decoder = encoding.new_decoder_without_bom_handling();
    stream::try_unfold(Decoding { bytes, decoder, lines: 0, is_done: false }, |mut state| async move {
        if state.is_done {
            return Ok(None);
        }
        let chunk = state.bytes.try_next().await?;
        state.is_done = chunk.is_none();
        let text = state.decode(&chunk.unwrap_or_default())?;
        Ok(Some((text, state)))
    })
    .boxed()
}

impl Decoding {
    fn decode(&mut self, bytes: &[u8]) -> Result<Bytes> {
        let most = self.decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or_default();
        let mut text = String::with_capacity(most);
        let (result, _) = self.decoder.decode_to_string_without_replacement(bytes, &mut text, self.is_done);
        self.lines += line_breaks(text.as_bytes());
        if result == DecoderResult::InputEmpty {
            return Ok(Bytes::from(text));
        }
        let expected = format!("text in {}", self.decoder.encoding().name());
        let fault = DataFault::of_record(Some(self.lines + 1), expected, "other bytes");
        Err(fatal(fault.with_hint("the `encoding` of the contract's server names the encoding of the file")))
    }
}

/// Returns the number of line breaks in a text.
pub(super) fn line_breaks(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}
