//! Parses the values of one column, by the type of the port and the notation in the contract. A value is read without
//! loss, or it is a fault.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, TimeUnit};
use portolan_catalog::ColumnFormat;

use super::cells::{Cell, ColumnFaults, ValueFault};
use super::numbers::{self, NumberFormat};
use super::times::{self, Pattern};
use crate::data_fault::kept;

/// The parser of the values of one column.
#[derive(Clone, Debug)]
pub(in crate::files) struct ValueParser {
    pub(super) kind: Kind,
    /// The strings that stand for NULL.
    nulls: Vec<String>,
    /// True if an empty value is NULL in a column of another type than strings.
    empty_is_null: bool,
    pub(super) numbers: NumberFormat,
    utc: Tz,
}

/// The type of the values, with what its parser needs.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text,
    Integer,
    Float,
    Decimal128(u8, i8),
    Decimal256(u8, i8),
    Boolean { yes: Vec<String>, no: Vec<String> },
    Date(Option<Pattern>),
    Timestamp(Option<Pattern>),
    Nanoseconds,
    Time(Option<Pattern>),
}

impl ValueParser {
    /// Returns the parser of values of `data_type`. `empty_is_null` is true for CSV, where nothing else stands for NULL.
    /// `None` if the type is not one of text.
    ///
    /// # Errors
    /// A pattern that cannot be used.
    pub(in crate::files) fn new(
        data_type: &DataType,
        format: &ColumnFormat,
        empty_is_null: bool,
    ) -> Result<Option<Self>, String> {
        let pattern = || format.pattern.as_ref().map(Pattern::new).transpose();
        let words = |own: &Option<Vec<String>>, word: &str| own.clone().unwrap_or_else(|| vec![word.to_owned()]);
        let kind = match data_type {
            DataType::Utf8 => Kind::Text,
            DataType::Int64 => Kind::Integer,
            DataType::Float64 => Kind::Float,
            DataType::Decimal128(precision, scale) => Kind::Decimal128(*precision, *scale),
            DataType::Decimal256(precision, scale) => Kind::Decimal256(*precision, *scale),
            DataType::Boolean => {
                Kind::Boolean { yes: words(&format.true_values, "true"), no: words(&format.false_values, "false") }
            }
            DataType::Date32 => Kind::Date(pattern()?),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Kind::Timestamp(pattern()?),
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Kind::Nanoseconds,
            DataType::Time64(TimeUnit::Microsecond) => Kind::Time(pattern()?),
            _ => return Ok(None),
        };
        let nulls = format.null_values.clone().unwrap_or_else(|| match empty_is_null {
            true => vec![String::new()],
            false => vec![],
        });
        let decimal = if format.has_decimal_comma { ',' } else { '.' };
        let numbers = NumberFormat { decimal, thousands: format.thousands_separator };
        let utc: Tz = "+00:00".parse().map_err(|e: arrow::error::ArrowError| e.to_string())?;
        Ok(Some(Self { kind, nulls, empty_is_null, numbers, utc }))
    }

    /// Parses the values of a column. A value that does not fit is NULL in the result, and one of `faults`.
    pub(in crate::files) fn parse<'a>(
        &self,
        cells: impl Iterator<Item = Cell<'a>>,
        faults: &mut ColumnFaults,
    ) -> ArrayRef {
        match &self.kind {
            Kind::Text => {
                let text = cells.enumerate().map(|(row, cell)| match cell {
                    Cell::Text(text) if !self.nulls.iter().any(|null| null == text) => Some(text),
                    Cell::Text(_) | Cell::Null => None,
                    Cell::Undecodable => {
                        faults.add(|| self.undecodable(row));
                        None
                    }
                });
                Arc::new(text.collect::<StringArray>())
            }
            Kind::Integer => {
                let value = |text: &str| numbers::integer(&self.numbers.plain(text)?);
                Arc::new(self.values(cells, faults, value).collect::<Int64Array>())
            }
            Kind::Float => {
                let value = |text: &str| numbers::float(&self.numbers.plain(text)?);
                Arc::new(self.values(cells, faults, value).collect::<Float64Array>())
            }
            Kind::Decimal128(precision, scale) => {
                let value = |text: &str| {
                    let value = numbers::decimal128(&self.numbers.plain(text)?, *scale)?;
                    Decimal128Type::is_valid_decimal_precision(value, *precision).then_some(value)
                };
                let values = self.values(cells, faults, value).collect::<Decimal128Array>();
                Arc::new(values.with_data_type(DataType::Decimal128(*precision, *scale)))
            }
            Kind::Decimal256(precision, scale) => {
                let value = |text: &str| {
                    let value = numbers::decimal256(&self.numbers.plain(text)?, *scale)?;
                    Decimal256Type::is_valid_decimal_precision(value, *precision).then_some(value)
                };
                let values = self.values(cells, faults, value).collect::<Decimal256Array>();
                Arc::new(values.with_data_type(DataType::Decimal256(*precision, *scale)))
            }
            Kind::Boolean { yes, no } => {
                let is = |words: &[String], text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
                let value = |text: &str| if is(yes, text) { Some(true) } else { is(no, text).then_some(false) };
                Arc::new(self.values(cells, faults, value).collect::<BooleanArray>())
            }
            Kind::Date(Some(pattern)) => {
                Arc::new(self.values(cells, faults, |text| pattern.date(text)).collect::<Date32Array>())
            }
            Kind::Date(None) => {
                Arc::new(self.values(cells, faults, |text| times::date(text, self.utc)).collect::<Date32Array>())
            }
            Kind::Timestamp(pattern) => {
                let value = |text: &str| match pattern {
                    Some(pattern) => pattern.timestamp(text),
                    None => times::timestamp(text, self.utc),
                };
                Arc::new(self.values(cells, faults, value).collect::<TimestampMicrosecondArray>())
            }
            Kind::Nanoseconds => {
                let value = |text: &str| times::nanoseconds(text, self.utc);
                Arc::new(self.values(cells, faults, value).collect::<TimestampNanosecondArray>())
            }
            Kind::Time(pattern) => {
                let value = |text: &str| match pattern {
                    Some(pattern) => pattern.time(text),
                    None => times::time_of_day(text),
                };
                Arc::new(self.values(cells, faults, value).collect::<Time64MicrosecondArray>())
            }
        }
    }

    /// Returns the parsed values of a column that has no strings. Spaces around a value do not belong to it.
    fn values<'a, V>(
        &self,
        cells: impl Iterator<Item = Cell<'a>>,
        faults: &mut ColumnFaults,
        read: impl Fn(&str) -> Option<V>,
    ) -> impl Iterator<Item = Option<V>> {
        cells.enumerate().map(move |(row, cell)| {
            let text = match cell {
                Cell::Text(text) => text.trim(),
                Cell::Null => return None,
                Cell::Undecodable => {
                    faults.add(|| self.undecodable(row));
                    return None;
                }
            };
            if (text.is_empty() && self.empty_is_null) || self.nulls.iter().any(|null| null == text) {
                return None;
            }
            let value = read(text);
            if value.is_none() {
                faults.add(|| self.fault(row, text));
            }
            value
        })
    }

    fn undecodable(&self, row: usize) -> ValueFault {
        ValueFault { row, value: None, expected: "text in UTF-8".to_owned(), hint: None }
    }

    fn fault(&self, row: usize, text: &str) -> ValueFault {
        ValueFault { row, value: Some(kept(text)), expected: self.expected(), hint: self.hint(text) }
    }
}

/// The types that text without a declared type can have, in the order in which they are tried.
const INFERRED: [DataType; 6] = [
    DataType::Boolean,
    DataType::Int64,
    DataType::Float64,
    DataType::Date32,
    DataType::Timestamp(TimeUnit::Microsecond, None),
    DataType::Timestamp(TimeUnit::Nanosecond, None),
];

/// Infers the type of a column from a sample of its values. Returns `Null` if all of them are NULL, and a string if no
/// other type holds them.
pub(in crate::files) fn infer<'a, I>(cells: impl Fn() -> I, format: &ColumnFormat) -> DataType
where
    I: Iterator<Item = Cell<'a>>,
{
    let is_null = |cell: &Cell<'_>| match cell {
        Cell::Text(text) => text.is_empty() || format.null_values.iter().flatten().any(|null| null == text),
        Cell::Null => true,
        Cell::Undecodable => false,
    };
    if cells().all(|cell| is_null(&cell)) {
        return DataType::Null;
    }
    let fits = |data_type: &DataType| {
        let is_like = |cell: Cell<'_>| match cell {
            Cell::Text(text) => is_null(&cell) || looks_like(data_type, text),
            _ => is_null(&cell),
        };
        let Ok(Some(parser)) = ValueParser::new(data_type, format, true) else { return false };
        let mut faults = ColumnFaults::new(0);
        parser.parse(cells(), &mut faults);
        !faults.has_more && cells().all(is_like)
    };
    INFERRED.into_iter().find(fits).unwrap_or(DataType::Utf8)
}

/// True unless a value probably has another type, which later records of the column show.
fn looks_like(data_type: &DataType, text: &str) -> bool {
    let is_integer = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match data_type {
        DataType::Int64 => is_integer,
        // A float would round an integer of more than 53 bits.
        DataType::Float64 => !is_integer || text.parse::<i64>().is_ok_and(|value| value.unsigned_abs() <= 1 << 53),
        DataType::Date32 => text.len() == 10,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
