//! Keys of the other side of a join, which travel with a fragment. They are data next to the plan. In the plan, the
//! call of a function tests if a row has one of them. Another module decides which keys travel, and in which form.

mod function;
mod listed;
mod packed;
mod stand_in;
mod test;

pub(crate) use function::InKeys;
pub(crate) use listed::{SQL_KEYS, can_list, list, with_lists};
pub(crate) use packed::BLOOM_ERROR;
pub(crate) use stand_in::{admit, listed_keys, with_short_lists};
pub(crate) use test::KeyTest;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use bytes::Bytes;

use crate::Result;

/// Keys in their wire form, and as a test of rows.
#[derive(Debug)]
pub(crate) struct SentKeys {
    /// The wire form.
    pub(crate) packed: Bytes,
    pub(crate) test: KeyTest,
}

impl SentKeys {
    /// Packs the keys themselves: one array for each column, without NULLs.
    ///
    /// # Errors
    /// `ResourceExhausted` if they unpack to more than a receiver accepts.
    pub(crate) fn batch(columns: &[ArrayRef]) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { packed: packed::pack_batch(columns)?, test: KeyTest::exact(columns.to_vec()) }))
    }

    /// Packs a Bloom filter of the keys: one array for each column, without NULLs.
    ///
    /// # Errors
    /// `Internal` if there are no columns, or if the arrays differ in length.
    pub(crate) fn bloom(columns: &[ArrayRef]) -> Result<Arc<Self>> {
        Self::unpack(packed::pack_bloom(columns)?)
    }

    /// Unpacks keys that have travelled.
    ///
    /// # Errors
    /// `InvalidQuery` for bytes that are not keys; `ResourceExhausted` if they unpack to more than is accepted.
    pub(crate) fn unpack(packed: Bytes) -> Result<Arc<Self>> {
        Self::unpack_into(packed, &mut { packed::MAX_ALL_UNPACKED_BYTES })
    }

    /// Unpacks all keys that have travelled with a fragment.
    ///
    /// # Errors
    /// As for [`SentKeys::unpack`].
    pub(crate) fn unpack_all(packed: &[Bytes]) -> Result<Vec<Arc<Self>>> {
        let mut room = packed::MAX_ALL_UNPACKED_BYTES;
        packed.iter().map(|packed| Self::unpack_into(packed.clone(), &mut room)).collect()
    }

    fn unpack_into(packed: Bytes, room: &mut usize) -> Result<Arc<Self>> {
        let test = packed::unpack(&packed, room)?;
        Ok(Arc::new(Self { packed, test }))
    }
}

/// True if keys of this type travel. Their equality must be that of their bytes, which floating-point and nested types
/// do not guarantee.
pub(crate) fn travels(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_string()
        || variable_binary(data_type)
        || matches!(data_type, DataType::FixedSizeBinary(size) if *size > 0)
        || data_type.is_temporal() && !matches!(data_type, DataType::Interval(_))
        || matches!(data_type, DataType::Boolean | DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// True if two types have the same values, possibly in different layouts.
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
