//! Converts rows to the promised columns, and refuses a value that would change.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use portolan_catalog::sql_type;

use super::errors::arrow_text;
use crate::{Error, ErrorKind, Result};

/// Converts a batch to the promised columns: by position, with the promised names and types.
///
/// # Errors
/// `Internal` if the number of columns differs; `InvalidQuery` if a value does not fit the promised type or would
/// change.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("expected {} columns, got {}", schema.fields().len(), batch.num_columns()),
        ));
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        converted(column, field.data_type(), || {
            let (name, wanted, came) = (field.name(), sql_type(field.data_type()), sql_type(column.data_type()));
            format!("expected {wanted} in column `{name}`, got a value of type {came} that does not fit")
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| {
        Error::new(ErrorKind::InvalidQuery, "the rows do not fit the promised columns").with_source(arrow_text(&e))
    })
}

/// Converts the values to another type, if each keeps its meaning. `refusal` describes a value that does not.
///
/// # Errors
/// `InvalidQuery`, with the description.
pub(crate) fn converted(column: &ArrayRef, to: &DataType, refusal: impl FnOnce() -> String) -> Result<ArrayRef> {
    lossless(column, to).map_err(|e| {
        let error = Error::new(ErrorKind::InvalidQuery, refusal());
        match e {
            Some(e) => error.with_source(arrow_text(&e)),
            None => error,
        }
    })
}

/// A value, or the reason why there is none; see [`lossless`].
type Outcome<T> = std::result::Result<T, Option<ArrowError>>;

/// Converts the values to another type, if each keeps its meaning.
///
/// # Errors
/// The reason why a value does not fit the type; `None` if the value would change.
fn lossless(column: &ArrayRef, to: &DataType) -> Outcome<ArrayRef> {
    let from = column.data_type();
    if from == to {
        return Ok(column.clone());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    match (from, to) {
        // The values of a dictionary matter, not the keys.
        (DataType::Dictionary(_, a), DataType::Dictionary(_, b)) if a == b => {
            return Ok(cast_with_options(column, to, &strict)?);
        }
        (DataType::Dictionary(_, values), _) => {
            return lossless(&cast_with_options(column, values, &strict)?, to);
        }
        (_, DataType::Dictionary(_, values)) => {
            return Ok(cast_with_options(&lossless(column, values)?, to, &strict)?);
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = column.as_list::<i32>();
            let values = lossless(list.values(), item.data_type())?;
            let list = ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned())?;
            return Ok(Arc::new(list));
        }
        _ if is_text(from) => return from_text(column, to, &strict),
        _ => {}
    }
    let cast = cast_with_options(column, to, &strict)?;
    if from.is_floating() && to.is_floating() {
        // The nearest number keeps the meaning, unless it is infinite.
        let infinite = |array: &ArrayRef| -> Outcome<Vec<bool>> {
            Ok(doubles(array)?.iter().map(|v| v.is_some_and(f64::is_infinite)).collect())
        };
        return if infinite(column)? == infinite(&cast)? { Ok(cast) } else { Err(None) };
    }
    // A cast truncates fractions. If the reverse cast does not restore a value, the cast has changed it.
    if !(from.is_numeric() || from.is_temporal() || from.is_nested()) {
        return Ok(cast);
    }
    let back = cast_with_options(&cast, from, &strict)?;
    let is_same = match from.is_floating() && to.is_numeric() {
        // -0.0 equals 0.
        true => doubles(&back)? == doubles(column)?,
        false => back.to_data() == column.to_data(),
    };
    if is_same { Ok(cast) } else { Err(None) }
}

/// Parses strings as values of another type. Arrow's casts round digits beyond the scale of a decimal, and truncate
/// digits beyond the unit of a time.
fn from_text(column: &ArrayRef, to: &DataType, strict: &CastOptions<'_>) -> Outcome<ArrayRef> {
    if matches!(to, DataType::Date32 | DataType::Date64) {
        // A cast to dates accepts a string with a time, and drops the time.
        let times = lossless(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        return lossless(&times, to);
    }
    if let Some(digits) = digits_after_point(to) {
        let texts = cast_with_options(column, &DataType::Utf8View, strict)?;
        if texts.as_string_view().iter().flatten().any(|text| has_more_digits(text, digits)) {
            return Err(None);
        }
    }
    Ok(cast_with_options(column, to, strict)?)
}

/// Returns the number of digits that values of a decimal or time type have after their point; `None` for other types.
fn digits_after_point(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(usize::try_from(*scale).unwrap_or_default()),
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => Some(match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        }),
        _ => None,
    }
}

/// True if a number or time has digits other than zero beyond the first `digits` after its point.
fn has_more_digits(text: &str, digits: usize) -> bool {
    let Some((_, fraction)) = text.split_once('.') else { return false };
    fraction.bytes().take_while(u8::is_ascii_digit).skip(digits).any(|digit| digit != b'0')
}

fn doubles(array: &ArrayRef) -> Outcome<Vec<Option<f64>>> {
    let wide = cast_with_options(array, &DataType::Float64, &CastOptions { safe: false, ..CastOptions::default() })?;
    Ok(wide.as_primitive::<Float64Type>().iter().collect())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

#[cfg(test)]
mod tests;
