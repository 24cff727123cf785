//! Converts rows to the promised columns, and refuses a value that would become another one.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::{Error, ErrorKind, Result};

/// Converts a batch to the promised columns: by position, with the promised names and types.
///
/// # Errors
/// `Internal` if the number of columns differs; `InvalidQuery` if a value does not fit the promised type, or would
/// become another value in it.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("expected {} columns, got {}", schema.fields().len(), batch.num_columns()),
        ));
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        lossless(column, field.data_type()).map_err(|e| {
            let (name, wanted, came) = (field.name(), field.data_type(), column.data_type());
            let what = format!("expected {wanted} in column `{name}`, got a value of type {came} that does not fit");
            let error = Error::new(ErrorKind::InvalidQuery, what);
            match e {
                Some(e) => error.with_source(e),
                None => error,
            }
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::new(ErrorKind::InvalidQuery, "the rows do not fit the promised columns").with_source(e))
}

/// Returns the values in another type, if each keeps its meaning.
///
/// # Errors
/// The reason why a value does not fit the type; `None` if the value would become another one.
pub(crate) fn lossless(column: &ArrayRef, to: &DataType) -> std::result::Result<ArrayRef, Option<ArrowError>> {
    let from = column.data_type();
    if from == to {
        return Ok(column.clone());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let is_text = matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if is_text && matches!(to, DataType::Date32 | DataType::Date64) {
        // A cast to dates accepts a string with a time, and drops the time.
        let times = cast_with_options(column, &DataType::Timestamp(TimeUnit::Microsecond, None), &strict)?;
        return lossless(&times, to);
    }
    let cast = cast_with_options(column, to, &strict)?;
    if from.is_floating() && to.is_floating() {
        // The nearest number keeps the meaning, unless it is infinite.
        let infinite = |array: &ArrayRef| -> std::result::Result<Vec<bool>, ArrowError> {
            let wide = cast_with_options(array, &DataType::Float64, &strict)?;
            Ok(wide.as_primitive::<Float64Type>().iter().map(|v| v.is_some_and(f64::is_infinite)).collect())
        };
        return if infinite(column)? == infinite(&cast)? { Ok(cast) } else { Err(None) };
    }
    // A cast cuts fractions: a value that the reverse cast does not restore would become another value.
    if !(from.is_numeric() || from.is_temporal() || from.is_nested()) {
        return Ok(cast);
    }
    let back = cast_with_options(&cast, from, &strict)?;
    if back.to_data() == column.to_data() { Ok(cast) } else { Err(None) }
}
