//! Keys of another side of a join that travel with a fragment: as data beside the plan, and in the plan as a call of a
//! function that tells whether a row has one of them. Which keys travel, and in which form, is decided elsewhere.

mod function;
mod packed;
mod test;

pub(crate) use function::InKeys;
pub(crate) use packed::BLOOM_ERROR;
pub(crate) use test::KeyTest;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use bytes::Bytes;

use crate::Result;

/// Keys as they travel and as rows are tested against them.
#[derive(Debug)]
pub(crate) struct SentKeys {
    /// What travels.
    pub(crate) packed: Bytes,
    pub(crate) test: KeyTest,
}

impl SentKeys {
    /// These keys themselves: one array a column, without NULLs.
    ///
    /// # Errors
    /// `ResourceExhausted` where they are more than a receiver unpacks.
    pub(crate) fn batch(columns: &[ArrayRef]) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { packed: packed::pack_batch(columns)?, test: KeyTest::exact(columns.to_vec()) }))
    }

    /// A Bloom filter that holds these keys: one array a column, without NULLs.
    ///
    /// # Errors
    /// `Internal` where there are no columns or arrays of different lengths.
    pub(crate) fn bloom(columns: &[ArrayRef]) -> Result<Arc<Self>> {
        Self::unpack(packed::pack_bloom(columns)?)
    }

    /// Takes what travelled.
    ///
    /// # Errors
    /// `InvalidQuery` for bytes that hold no keys; `ResourceExhausted` where they unpack to more than is taken.
    pub(crate) fn unpack(packed: Bytes) -> Result<Arc<Self>> {
        Self::unpack_into(packed, &mut { packed::MAX_ALL_UNPACKED_BYTES })
    }

    /// Takes all that travelled with a fragment.
    ///
    /// # Errors
    /// As [`SentKeys::unpack`].
    pub(crate) fn unpack_all(packed: &[Bytes]) -> Result<Vec<Arc<Self>>> {
        let mut room = packed::MAX_ALL_UNPACKED_BYTES;
        packed.iter().map(|packed| Self::unpack_into(packed.clone(), &mut room)).collect()
    }

    fn unpack_into(packed: Bytes, room: &mut usize) -> Result<Arc<Self>> {
        let test = packed::unpack(&packed, room)?;
        Ok(Arc::new(Self { packed, test }))
    }
}

/// Whether keys of this type travel: their equality must be that of their bytes, which floating point and nested types
/// do not promise.
pub(crate) fn travels(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_string()
        || variable_binary(data_type)
        || matches!(data_type, DataType::FixedSizeBinary(size) if *size > 0)
        || data_type.is_temporal() && !matches!(data_type, DataType::Interval(_))
        || matches!(data_type, DataType::Boolean | DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// Whether values of one type are those of the other, only laid out in another way.
pub(crate) fn same_values(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Dictionary(_, a), b) | (b, DataType::Dictionary(_, a)) => same_values(a, b),
        _ => a == b || (a.is_string() && b.is_string()) || (variable_binary(a) && variable_binary(b)),
    }
}

fn variable_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

#[cfg(test)]
mod tests;
