//! The bytes of keys. A set of them is an Arrow IPC stream, compressed as a whole so that its receiver can bound what
//! comes out. A Bloom filter is Parquet's split block filter over the rows' sort encoding, and travels with a few of
//! its keys: they carry the types, and show whether both sides encode rows alike.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use datafusion::parquet::bloom_filter::Sbbf;
use prost::Message;

use super::KeyTest;
use crate::{Error, ErrorKind, Result};

/// Keys may unpack to so many bytes.
pub(crate) const MAX_UNPACKED_BYTES: usize = 64 << 20;
/// Level of compression: keys are sorted, and more than this buys little.
const LEVEL: i32 = 1;
/// So many keys go with a Bloom filter: a filter of other rows holds all of them by chance once in 10^16.
const SAMPLES: usize = 8;
/// Rows in which a Bloom filter may err.
pub(crate) const BLOOM_ERROR: f64 = 0.01;
const BLOCK_BYTES: usize = 32;

#[derive(Clone, PartialEq, Message)]
struct Packed {
    /// A compressed Arrow IPC stream of one batch.
    #[prost(bytes = "bytes", tag = "1")]
    keys: Bytes,
    /// The bits of a Bloom filter; then `keys` are some of those that it holds.
    #[prost(bytes = "bytes", optional, tag = "2")]
    bloom: Option<Bytes>,
}

/// Packs keys, one array a column, without NULLs.
///
/// # Errors
/// `ResourceExhausted` where they are more than a receiver unpacks.
pub(super) fn pack_batch(columns: &[ArrayRef]) -> Result<Bytes> {
    Ok(Packed { keys: compressed(columns)?, bloom: None }.encode_to_vec().into())
}

/// Packs a Bloom filter of keys, one array a column, without NULLs.
///
/// # Errors
/// `Internal` where there are no columns or arrays of different lengths.
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

pub(super) fn unpack(bytes: &Bytes) -> Result<KeyTest> {
    let malformed = |what: &str| Error::new(ErrorKind::InvalidQuery, format!("the keys of the fragment {what}"));
    let packed = Packed::decode(bytes.clone()).map_err(|e| malformed("are malformed").with_source(e))?;
    let keys = decompressed(&packed.keys)?;
    let types: Vec<_> = keys.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    if types.is_empty() || !types.iter().all(super::travels) {
        return Err(malformed("are of types that do not travel"));
    }
    if keys.columns().iter().any(|c| c.null_count() > 0) {
        return Err(malformed("hold NULLs"));
    }
    let Some(bits) = packed.bloom else {
        return Ok(KeyTest::exact(keys.columns().to_vec()));
    };
    if bits.is_empty() || bits.len() % BLOCK_BYTES != 0 {
        return Err(malformed("are no Bloom filter"));
    }
    let test = KeyTest::bloom(types, Sbbf::new(&bits))?;
    let found = test.contains(keys.columns(), keys.num_rows()).map_err(|e| malformed("do not fit").with_source(e))?;
    if found.true_count() < keys.num_rows() {
        return Err(malformed("were put into their Bloom filter in another way than this node's"));
    }
    Ok(test)
}

fn compressed(columns: &[ArrayRef]) -> Result<Bytes> {
    let field = |(i, c): (usize, &ArrayRef)| Field::new(format!("k{i}"), c.data_type().clone(), false);
    let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema.clone(), columns.to_vec()).map_err(|e| broken("the keys", e))?;
    let mut stream = vec![];
    StreamWriter::try_new(&mut stream, &schema)
        .and_then(|mut writer| writer.write(&batch).and_then(|()| writer.finish()))
        .map_err(|e| broken("the keys", e))?;
    if stream.len() > MAX_UNPACKED_BYTES {
        return Err(too_many());
    }
    zstd::bulk::compress(&stream, LEVEL).map(Bytes::from).map_err(|e| broken("the keys", e))
}

fn decompressed(bytes: &[u8]) -> Result<RecordBatch> {
    let malformed = || Error::new(ErrorKind::InvalidQuery, "the keys of the fragment are malformed");
    let mut stream = vec![];
    zstd::stream::Decoder::with_buffer(bytes)
        .and_then(|decoder| decoder.take(MAX_UNPACKED_BYTES as u64 + 1).read_to_end(&mut stream))
        .map_err(|e| malformed().with_source(e))?;
    if stream.len() > MAX_UNPACKED_BYTES {
        return Err(too_many());
    }
    let read = || {
        let reader = StreamReader::try_new(stream.as_slice(), None)?;
        let schema = reader.schema();
        concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>()?)
    };
    // Arrow's reader panics at some types that do not exist.
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| malformed())?.map_err(|e| malformed().with_source(e))
}

fn too_many() -> Error {
    Error::new(ErrorKind::ResourceExhausted, format!("the keys take more than {MAX_UNPACKED_BYTES} bytes unpacked"))
}

fn broken(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} cannot be packed")).with_source(source)
}
