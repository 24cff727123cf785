//! Parses text into values without loss, or fails. Arrow's readers of JSON and CSV cut fractions of integers, digits
//! beyond the unit of a time, and times of day from dates. They also read a bare number as a time of an arbitrary unit.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, ListArray, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime, string_to_time_nanoseconds};
use arrow::datatypes::DataType as T;
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::temporal_conversions::SECONDS_IN_DAY;

/// The number of characters of a value that an error repeats.
const SHOWN: usize = 40;

/// Returns the schema in which a reader returns the columns of `schema`, so that [`value_of_text`] can parse the rest.
pub(super) fn as_text(schema: &Schema, reads_whole_numbers: bool) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| field_as_text(f, reads_whole_numbers));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn field_as_text(field: &FieldRef, reads_whole_numbers: bool) -> FieldRef {
    let again = |inner: &FieldRef| field_as_text(inner, reads_whole_numbers);
    let data_type = match field.data_type() {
        T::Int64 if !reads_whole_numbers => T::Utf8,
        T::Date32 | T::Time64(TimeUnit::Microsecond) => T::Utf8,
        T::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, None) => T::Utf8,
        T::List(inner) => T::List(again(inner)),
        T::Struct(fields) => T::Struct(fields.iter().map(again).collect()),
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

/// Converts a column that was read with the schema of [`as_text`] to type `to`.
///
/// # Errors
/// The first string that is no value of the type.
pub(super) fn value_of_text(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.clone()),
        (T::Utf8, _) => parse(array.as_string(), to),
        (T::List(_), T::List(inner)) => {
            let list = array.as_list::<i32>();
            let values = value_of_text(list.values(), inner.data_type())?;
            ListArray::try_new(inner.clone(), list.offsets().clone(), values, list.nulls().cloned())
                .map(|list| Arc::new(list) as ArrayRef)
                .map_err(|e| e.to_string())
        }
        (T::Struct(_), T::Struct(fields)) => {
            let read = array.as_struct();
            let columns = read.columns().iter().zip(fields).map(|(column, field)| {
                value_of_text(column, field.data_type()).map_err(|what| format!("`{}`: {what}", field.name()))
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            StructArray::try_new_with_length(fields.clone(), columns, read.nulls().cloned(), read.len())
                .map(|read| Arc::new(read) as ArrayRef)
                .map_err(|e| e.to_string())
        }
        (from, to) => Err(format!("{from} cannot be read as {to}")),
    }
}

fn parse(texts: &StringArray, to: &DataType) -> Result<ArrayRef, String> {
    let utc: Tz = "+00:00".parse().map_err(|e: ArrowError| e.to_string())?;
    let what = |name: &'static str| move |text: &str| format!("`{}` is no {name}", shown(text));
    Ok(match to {
        T::Int64 => Arc::new(each::<_, Int64Array>(texts, whole_number, what("whole number of 64 bits"))?),
        T::Date32 => Arc::new(each::<_, Date32Array>(texts, |text| date(text, utc), what("date"))?),
        T::Timestamp(TimeUnit::Microsecond, None) => {
            let no = what("timestamp of at most six digits after the second");
            Arc::new(each::<_, TimestampMicrosecondArray>(texts, |text| timestamp(text, utc), no)?)
        }
        T::Timestamp(TimeUnit::Nanosecond, None) => {
            let no = what("timestamp of the years 1677 to 2262 with at most nine digits after the second");
            Arc::new(each::<_, TimestampNanosecondArray>(texts, |text| nanoseconds(text, utc), no)?)
        }
        T::Time64(TimeUnit::Microsecond) => {
            let no = what("time of at most six digits after the second");
            Arc::new(each::<_, Time64MicrosecondArray>(texts, time, no)?)
        }
        other => return Err(format!("a string cannot be read as {other}")),
    })
}

fn each<V, A: FromIterator<Option<V>>>(
    texts: &StringArray,
    read: impl Fn(&str) -> Option<V>,
    no: impl Fn(&str) -> String,
) -> Result<A, String> {
    let value = |text: Option<&str>| text.map(|text| read(text).ok_or_else(|| no(text))).transpose();
    texts.iter().map(value).collect()
}

/// Accepts `5.0` and `1e3`: writers that know only floats write whole numbers like this. Reads the digits and not a
/// float, which would round them.
fn whole_number(text: &str) -> Option<i64> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The value is the digits without the zeros at their end, times ten to this power.
    let significant = significant.trim_end_matches('0');
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let power = i64::from(exponent) + i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    // A negative power leaves a fraction. The largest number has 19 digits.
    let power = usize::try_from(power).ok().filter(|power| *power < 19)?;
    format!("{sign}{significant}{}", "0".repeat(power)).parse().ok()
}

/// Parses a date. A timestamp at midnight is also a date.
fn date(text: &str, utc: Tz) -> Option<i32> {
    let day = Date32Type::parse(text)?;
    let at = if text.len() > 10 { string_to_datetime(&utc, text).ok() } else { None };
    let is_midnight =
        at.is_none_or(|at| at.timestamp().rem_euclid(SECONDS_IN_DAY) == 0 && at.timestamp_subsec_nanos() == 0);
    (is_midnight && !has_tenth_digit(text)).then_some(day)
}

fn timestamp(text: &str, utc: Tz) -> Option<i64> {
    let at = string_to_datetime(&utc, text).ok()?;
    (at.timestamp_subsec_nanos() % 1000 == 0 && !has_tenth_digit(text)).then(|| at.timestamp_micros())
}

fn nanoseconds(text: &str, utc: Tz) -> Option<i64> {
    let at = string_to_datetime(&utc, text).ok()?;
    if has_tenth_digit(text) { None } else { at.timestamp_nanos_opt() }
}

fn time(text: &str) -> Option<i64> {
    let nanos = string_to_time_nanoseconds(text).ok()?;
    (nanos % 1000 == 0 && !has_tenth_digit(text)).then_some(nanos / 1000)
}

/// True if more than nine digits after the second matter. Arrow's parsers ignore the tenth and later digits.
fn has_tenth_digit(text: &str) -> bool {
    let Some((_, fraction)) = text.split_once('.') else { return false };
    fraction.bytes().take_while(u8::is_ascii_digit).skip(9).any(|digit| digit != b'0')
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
