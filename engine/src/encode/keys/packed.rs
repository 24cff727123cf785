//! The bytes of keys. A set of keys is an Arrow record batch. It is compressed as a whole, so that its receiver can
//! limit the unpacked size. A Bloom filter is Parquet's split block filter over the rows' sort encoding. It travels
//! with a few of its keys, which have the types and show if both sides encode rows in the same way.

use std::collections::HashMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use datafusion::parquet::bloom_filter::Sbbf;
use prost::Message;

use super::KeyTest;
use crate::{Error, ErrorKind, Result};

/// The maximum size of unpacked keys.
pub(crate) const MAX_UNPACKED_BYTES: usize = 64 << 20;
/// The maximum size of all unpacked keys of a fragment.
pub(super) const MAX_ALL_UNPACKED_BYTES: usize = 4 * MAX_UNPACKED_BYTES;
/// The compression level. Keys are sorted, so a higher level saves little.
const LEVEL: i32 = 1;
/// The number of keys that travel with a Bloom filter. A filter of other rows has all of them by chance once in 10^16.
const SAMPLES: usize = 8;
/// The share of false positives of a Bloom filter.
pub(crate) const BLOOM_ERROR: f64 = 0.01;
const BLOCK_BYTES: usize = 32;

#[derive(Clone, PartialEq, Message)]
struct Packed {
    /// Compressed [`Keys`].
    #[prost(bytes = "bytes", tag = "1")]
    keys: Bytes,
    /// The bits of a Bloom filter. If there are any, `keys` are some of the filter's keys.
    #[prost(bytes = "bytes", optional, tag = "2")]
    bloom: Option<Bytes>,
}

/// One Arrow record batch: the message of its schema, its own message, and its buffers.
#[derive(Clone, PartialEq, Message)]
struct Keys {
    #[prost(bytes = "bytes", tag = "1")]
    schema: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    header: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

/// Packs keys: one array for each column, without NULLs.
///
/// # Errors
/// `ResourceExhausted` if they unpack to more than a receiver accepts.
pub(super) fn pack_batch(columns: &[ArrayRef]) -> Result<Bytes> {
    Ok(Packed { keys: compressed(columns)?, bloom: None }.encode_to_vec().into())
}

/// Packs a Bloom filter of keys: one array for each column, without NULLs.
///
/// # Errors
/// `Internal` if there are no columns, or if the arrays differ in length.
pub(super) fn pack_bloom(columns: &[ArrayRef]) -> Result<Bytes> {
    let rows = columns.first().map_or(0, |c| c.len());
    let mut filter = Sbbf::new_with_ndv_fpp(rows as u64, BLOOM_ERROR).map_err(|e| broken("a Bloom filter", e))?;
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(|e| broken("the keys", e))?;
    for row in &converter.convert_columns(columns).map_err(|e| broken("the keys", e))? {
        filter.insert(row.as_ref());
    }
    let mut bits = vec![];
    filter.write_bitset(&mut bits).map_err(|e| broken("a Bloom filter", e))?;
    let samples: Vec<_> = columns.iter().map(|c| c.slice(0, rows.min(SAMPLES))).collect();
    Ok(Packed { keys: compressed(&samples)?, bloom: Some(bits.into()) }.encode_to_vec().into())
}

/// Unpacks keys into at most `room` bytes, and subtracts their size from `room`.
pub(super) fn unpack(bytes: &Bytes, room: &mut usize) -> Result<KeyTest> {
    let malformed = |what: &str| Error::new(ErrorKind::InvalidQuery, format!("the keys of the fragment {what}"));
    let packed = Packed::decode(bytes.clone()).map_err(|e| malformed("are malformed").with_source(e))?;
    let keys = decompressed(&packed.keys, room)?;
    if keys.columns().iter().any(|c| c.null_count() > 0) {
        return Err(malformed("hold NULLs"));
    }
    let Some(bits) = packed.bloom else {
        return Ok(KeyTest::exact(keys.columns().to_vec()));
    };
    if bits.is_empty() || bits.len() % BLOCK_BYTES != 0 {
        return Err(malformed("are not a Bloom filter"));
    }
    let types = keys.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    let test = KeyTest::bloom(types, Sbbf::new(&bits))?;
    let found = test.contains(keys.columns(), keys.num_rows()).map_err(|e| malformed("do not fit").with_source(e))?;
    if found.true_count() < keys.num_rows() {
        return Err(malformed("were added to their Bloom filter in another way than at this node"));
    }
    Ok(test)
}

fn compressed(columns: &[ArrayRef]) -> Result<Bytes> {
    let columns: Vec<_> = columns.iter().map(compact).collect();
    let field = |(i, c): (usize, &ArrayRef)| Field::new(format!("k{i}"), c.data_type().clone(), false);
    let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema.clone(), columns).map_err(|e| broken("the keys", e))?;
    let (writer, options, mut dictionaries) =
        (IpcDataGenerator::default(), IpcWriteOptions::default(), DictionaryTracker::new(false));
    let schema = writer.schema_to_bytes_with_dictionary_tracker(&schema, &mut dictionaries, &options);
    let (_, batch) = writer
        .encode(&batch, &mut dictionaries, &options, &mut IpcWriteContext::default())
        .map_err(|e| broken("the keys", e))?;
    let keys =
        Keys { schema: schema.ipc_message.into(), header: batch.ipc_message.into(), body: batch.arrow_data.into() };
    let keys = keys.encode_to_vec();
    if keys.len() > MAX_UNPACKED_BYTES {
        return Err(too_many());
    }
    zstd::bulk::compress(&keys, LEVEL).map(Bytes::from).map_err(|e| broken("the keys", e))
}

/// Copies the values of views. A view array keeps all buffers that its values came from, and they would travel with it.
fn compact(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

fn decompressed(bytes: &[u8], room: &mut usize) -> Result<RecordBatch> {
    let most = MAX_UNPACKED_BYTES.min(*room);
    let malformed = || Error::new(ErrorKind::InvalidQuery, "the keys of the fragment are malformed");
    let mut keys = vec![];
    zstd::stream::Decoder::with_buffer(bytes)
        .and_then(|decoder| decoder.take(most as u64 + 1).read_to_end(&mut keys))
        .map_err(|e| malformed().with_source(e))?;
    if keys.len() > most {
        return Err(too_many());
    }
    *room -= keys.len();
    let keys = Keys::decode(Bytes::from(keys)).map_err(|e| malformed().with_source(e))?;
    // Arrow's reader panics on some types that do not exist.
    catch_unwind(AssertUnwindSafe(|| read(&keys))).map_err(|_| malformed())?.map_err(|e| malformed().with_source(e))
}

/// Reads the batch. It does not trust the sizes in the messages, and allocates nothing beyond the body.
fn read(keys: &Keys) -> Result<RecordBatch, ArrowError> {
    let wrong = |what: &str| ArrowError::IpcError(what.to_owned());
    let message = |bytes| root_as_message(bytes).map_err(|e| ArrowError::IpcError(e.to_string()));
    let schema = message(&keys.schema)?.header_as_schema().map(fb_to_schema).ok_or_else(|| wrong("no schema"))?;
    if schema.fields().is_empty() || !schema.fields().iter().all(|f| super::travels(f.data_type())) {
        return Err(wrong("types that do not travel"));
    }
    let header = message(&keys.header)?;
    let batch = header.header_as_record_batch().ok_or_else(|| wrong("no batch"))?;
    if batch.compression().is_some() {
        return Err(wrong("compressed buffers"));
    }
    // A key needs at least one bit.
    if usize::try_from(batch.length()).ok().is_none_or(|rows| rows > keys.body.len() * 8) {
        return Err(wrong("more keys than there are bits"));
    }
    let body = Buffer::from(keys.body.as_ref());
    read_record_batch(&body, batch, Arc::new(schema), &HashMap::new(), None, &header.version())
}

fn too_many() -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        format!(
            "the keys take more than {MAX_UNPACKED_BYTES} bytes unpacked, or all of a fragment more than {MAX_ALL_UNPACKED_BYTES}"
        ),
    )
}

fn broken(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} cannot be packed")).with_source(source)
}
