//! The masks that replace values by SHA-256 digests or keyed hashes, in the type of the values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    BinaryType, BinaryViewType, DataType, Int32Type, Int64Type, LargeBinaryType, LargeUtf8Type, StringViewType,
    Utf8Type,
};
use arrow::error::ArrowError;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};
use ring::hmac;

use super::bytes::{rewrite, rewrite_views};
use super::{Mask, unfit};

const HEX_LEN: usize = 2 * SHA256_OUTPUT_LEN;

/// Returns the digests of the values, each after the salt if there is one:
///
/// | type | what is hashed | result |
/// |---|---|---|
/// | string | the bytes of UTF-8 | 64 hexadecimal digits in lower case |
/// | binary | the bytes | the 32 bytes of the digest |
/// | Int32, Int64 | the bytes in little-endian order | the first 4 or 8 bytes of the digest, in that order |
///
/// Iceberg fixes this encoding, so that digests join with those of other engines. It also fixes the digest of the salt
/// and the value, in place of HMAC. From a digest, a client can compute the digest of the value with SHA-256's padding
/// and more bytes behind it, and so test if another binary is this one. HMAC would prevent that. Neither lets a client
/// test a guess of a value.
pub(super) fn sha256(array: &dyn Array, salt: Option<&[u8]>) -> Result<ArrayRef, ArrowError> {
    hashed(array, &Hasher::salted(salt))
}

/// Returns the HMAC-SHA-256 of the strings' bytes of UTF-8 with a key: 64 hexadecimal digits in lower case.
pub(super) fn hmac_sha256(array: &dyn Array, key: &[u8]) -> Result<ArrayRef, ArrowError> {
    hashed(array, &Hasher::Keyed(hmac::Key::new(hmac::HMAC_SHA256, key)))
}

fn hashed(array: &dyn Array, hasher: &Hasher) -> Result<ArrayRef, ArrowError> {
    let hex = |value: &[u8], out: &mut Vec<u8>| push_hex(&hasher.hash(value), out);
    let raw = |value: &[u8], out: &mut Vec<u8>| out.extend_from_slice(&hasher.hash(value));
    let hex_bytes = array.len().saturating_mul(HEX_LEN);
    let raw_bytes = array.len().saturating_mul(SHA256_OUTPUT_LEN);
    match array.data_type() {
        DataType::Utf8 => rewrite(array.as_bytes::<Utf8Type>(), hex_bytes, hex),
        DataType::LargeUtf8 => rewrite(array.as_bytes::<LargeUtf8Type>(), hex_bytes, hex),
        DataType::Utf8View => rewrite_views(array.as_byte_view::<StringViewType>(), hex),
        DataType::Binary => rewrite(array.as_bytes::<BinaryType>(), raw_bytes, raw),
        DataType::LargeBinary => rewrite(array.as_bytes::<LargeBinaryType>(), raw_bytes, raw),
        DataType::BinaryView => rewrite_views(array.as_byte_view::<BinaryViewType>(), raw),
        DataType::Int32 => Ok(integers::<Int32Type, 4>(array, hasher, i32::to_le_bytes, i32::from_le_bytes)),
        DataType::Int64 => Ok(integers::<Int64Type, 8>(array, hasher, i64::to_le_bytes, i64::from_le_bytes)),
        other => Err(unfit(Mask::Sha256Global, other)),
    }
}

fn integers<T: ArrowPrimitiveType, const N: usize>(
    array: &dyn Array,
    hasher: &Hasher,
    bytes: impl Fn(T::Native) -> [u8; N],
    integer: impl Fn([u8; N]) -> T::Native,
) -> ArrayRef {
    let values = array.as_primitive::<T>();
    let hash =
        |value: T::Native| hasher.hash(&bytes(value)).first_chunk::<N>().copied().map(&integer).unwrap_or_default();
    let hashed: Vec<T::Native> = values.iter().map(|value| value.map(hash).unwrap_or_default()).collect();
    Arc::new(PrimitiveArray::<T>::new(hashed.into(), values.nulls().cloned()))
}

/// A hash function over values.
enum Hasher {
    /// SHA-256.
    Plain,
    /// SHA-256, from the state after the salt.
    Salted(Context),
    /// HMAC-SHA-256.
    Keyed(hmac::Key),
}

impl Hasher {
    fn salted(salt: Option<&[u8]>) -> Self {
        match salt {
            None => Self::Plain,
            Some(salt) => {
                let mut salted = Context::new(&SHA256);
                salted.update(salt);
                Self::Salted(salted)
            }
        }
    }

    fn hash(&self, value: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        match self {
            Self::Plain => hash.copy_from_slice(digest(&SHA256, value).as_ref()),
            Self::Salted(salted) => {
                let mut context = salted.clone();
                context.update(value);
                hash.copy_from_slice(context.finish().as_ref());
            }
            Self::Keyed(key) => hash.copy_from_slice(hmac::sign(key, value).as_ref()),
        }
        hash
    }
}

/// Appends the hexadecimal digits of a digest.
fn push_hex(digest: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; HEX_LEN];
    for ([high, low], byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(digest) {
        *high = DIGITS[usize::from(byte >> 4)];
        *low = DIGITS[usize::from(byte & 15)];
    }
    out.extend_from_slice(&hex);
}
