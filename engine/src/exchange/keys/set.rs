//! Distinct, sorted keys without NULLs. A NULL equals no key. Rows with NULLs that still match pass by a condition of
//! their own.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, filter, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use crate::encode::keys::{same_values, travels};

/// Distinct keys: one array for each column.
#[derive(Debug)]
pub(super) struct KeySet {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) keys: usize,
}

impl KeySet {
    /// Returns the distinct keys among `values`, in these types; a reason in words if they cannot travel.
    pub(super) fn new(values: &[ArrayRef], types: &[DataType]) -> Result<Self, String> {
        let typed = values.iter().zip(types).map(|(v, t)| typed(v, t)).collect::<Result<Vec<_>, _>>()?;
        distinct(&typed).map_err(|e| format!("they cannot be sorted: {e}"))
    }
}

fn typed(values: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    let wanted = match wanted {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    if !travels(wanted) {
        return Err(format!("keys of type {wanted} do not travel"));
    }
    if !same_values(values.data_type(), wanted) {
        return Err(format!("the keys are of type {} and the column is {wanted}", values.data_type()));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, wanted, &options).map_err(|e| e.to_string())
}

fn distinct(columns: &[ArrayRef]) -> Result<KeySet, ArrowError> {
    let rows = columns.first().map_or(0, |c| c.len());
    let whole: BooleanArray = (0..rows).map(|row| Some(columns.iter().all(|c| c.is_valid(row)))).collect();
    let columns = columns.iter().map(|c| filter(c, &whole)).collect::<Result<Vec<_>, _>>()?;
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let encoded = RowConverter::new(fields)?.convert_columns(&columns)?;
    let mut sorted: Vec<_> = encoded.iter().zip(0_u32..).collect();
    sorted.sort_unstable();
    sorted.dedup_by(|a, b| a.0 == b.0);
    let places: UInt32Array = sorted.iter().map(|(_, place)| *place).collect();
    let columns = columns.iter().map(|c| take(c, &places, None)).collect::<Result<Vec<_>, _>>()?;
    Ok(KeySet { columns, keys: sorted.len() })
}
