//! Converts DuckDB's and Portolan's rows to one type for each column, in which equal values are equal. Then compares
//! them like two results of Portolan.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use portolan_testbed::compare::{Order, compare_within};

use crate::ways::Rows;

/// The number of digits that hold any decimal and any integer.
const WIDEST_DECIMAL: u8 = 76;
/// The number of digits of DuckDB's widest decimal.
const MOST_DIGITS: u8 = 38;

/// Compares Portolan's rows with DuckDB's. Column names, the width of integers and the scale of decimals are ignored.
/// Floating-point numbers are compared with a tolerance.
///
/// # Errors
/// The first difference.
pub fn compare_with_duckdb(duckdb: &Rows, portolan: &Rows, order: &Order) -> Result<(), String> {
    let expected = concat_batches(&duckdb.0, &duckdb.1).map_err(|e| e.to_string())?;
    let actual = concat_batches(&portolan.0, &portolan.1).map_err(|e| e.to_string())?;
    if expected.num_columns() != actual.num_columns() {
        return Err(format!("expected {} columns, got {}", expected.num_columns(), actual.num_columns()));
    }
    let (mut left, mut right, mut tolerances) = (vec![], vec![], vec![]);
    for (i, (e, a)) in expected.columns().iter().zip(actual.columns()).enumerate() {
        let target = common_type(e.data_type(), a.data_type())
            .ok_or_else(|| format!("column {}: expected {}, got {}", i + 1, e.data_type(), a.data_type()))?;
        left.push(brought_to(e, &target).map_err(|e| format!("DuckDB's column {}: {e}", i + 1))?);
        right.push(brought_to(a, &target).map_err(|e| format!("Portolan's column {}: {e}", i + 1))?);
        tolerances.push(tolerance(e.data_type(), a.data_type()));
    }
    let (left, right) = (batch(left, expected.num_rows())?, batch(right, actual.num_rows())?);
    compare_within((&left.0, &[left.1]), (&right.0, &[right.1]), order, &tolerances).map_err(|e| e.to_string())
}

/// True if DuckDB rounded a column because its digits do not fit into DuckDB's widest decimal.
pub fn has_rounded_column(duckdb: &Rows, portolan: &Rows) -> bool {
    let mut columns = duckdb.0.fields().iter().zip(portolan.0.fields());
    columns.any(|(e, a)| is_rounded(e.data_type(), a.data_type()))
}

/// True if DuckDB's widest decimal keeps fewer digits behind the point than Portolan's.
fn is_rounded(expected: &DataType, actual: &DataType) -> bool {
    matches!(expected, DataType::Decimal128(MOST_DIGITS, kept) if actual.is_decimal() && *kept < scale(actual))
}

/// Returns a type that holds the values of both; `None` if the types are unrelated.
fn common_type(expected: &DataType, actual: &DataType) -> Option<DataType> {
    use DataType::{Boolean, Date32, Float64, Null, Timestamp, Utf8};
    let plain = |t: &DataType| match t {
        DataType::Dictionary(_, value) => (**value).clone(),
        other => other.clone(),
    };
    let (expected, actual) = (plain(expected), plain(actual));
    let instant = |t: &DataType| matches!(t, Date32 | DataType::Date64 | Timestamp(..));
    match (&expected, &actual) {
        (Null, Null) => Some(Boolean),
        (Null, other) | (other, Null) => common_type(other, other),
        (Boolean, Boolean) => Some(Boolean),
        // DuckDB's averages of decimals are floating-point numbers. Otherwise a float beside another number is a fault.
        (e, a) if e.is_floating() && (a.is_floating() || a.is_decimal()) => Some(Float64),
        (e, a) if is_rounded(e, a) => Some(Float64),
        (_, a) if a.is_floating() => None,
        (e, a) if e.is_numeric() && a.is_numeric() => {
            Some(DataType::Decimal256(WIDEST_DECIMAL, scale(e).max(scale(a)).max(0)))
        }
        (Date32, Date32) => Some(Date32),
        (e, a) if instant(e) && instant(a) => Some(Timestamp(TimeUnit::Microsecond, None)),
        (e, a) if e.is_string() && a.is_string() => Some(Utf8),
        (e, a) if e.is_nested() && a.is_nested() => Some(Utf8),
        (e, a) if e == a => Some(Utf8),
        _ => None,
    }
}

fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, s)
        | DataType::Decimal64(_, s)
        | DataType::Decimal128(_, s)
        | DataType::Decimal256(_, s) => *s,
        _ => 0,
    }
}

/// Returns the tolerance for two numbers. DuckDB's averages and quotients of decimals are floating-point numbers.
/// Portolan's are decimals, exact to their last digit.
fn tolerance(expected: &DataType, actual: &DataType) -> f64 {
    let unit = |scale: i8| 10f64.powi(-i32::from(scale));
    match (expected, actual) {
        (e, a) if e.is_floating() && a.is_decimal() => unit(scale(a)),
        // DuckDB's widest decimal is rounded if it would need more digits.
        (e, a) if is_rounded(e, a) => unit(scale(e)),
        _ => 0.0,
    }
}

fn brought_to(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if target == &DataType::Utf8 && !column.data_type().is_string() {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let text = (0..column.len()).map(|i| column.is_valid(i).then(|| formatter.value(i).to_string()));
        return Ok(Arc::new(text.collect::<StringArray>()));
    }
    cast_with_options(column, target, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Returns the columns under names that are the same on both sides.
fn batch(columns: Vec<ArrayRef>, rows: usize) -> Result<(SchemaRef, RecordBatch), String> {
    let fields = columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options).map_err(|e| e.to_string())?;
    Ok((schema, batch))
}
