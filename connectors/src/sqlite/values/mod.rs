//! The values of SQLite as Arrow columns. Each value must have the storage class of its column's type.

mod decimals;
mod readers;
pub(super) mod times;

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use rusqlite::types::ValueRef;

pub(super) use self::readers::reader;

/// A reader that collects the values of one column.
pub(super) trait ColumnReader: Send {
    /// Adds a value.
    ///
    /// # Errors
    /// The value is not one of the column's type.
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit>;

    /// Returns the collected values, and starts again.
    fn finish(&mut self) -> ArrayRef;
}

/// A value that is not one of its column's type. It does not show the value, which may be confidential.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    expected: Cow<'static, str>,
    got: &'static str,
}

impl Misfit {
    fn new(expected: impl Into<Cow<'static, str>>, got: &'static str) -> Self {
        Self { expected: expected.into(), got }
    }

    /// Returns the error for a value of another storage class.
    fn class(expected: impl Into<Cow<'static, str>>, value: ValueRef<'_>) -> Self {
        Self::new(expected, class_name(value))
    }

    /// Returns the message of an error.
    pub(super) fn message(&self, column: &str) -> String {
        let Self { expected, got } = self;
        format!(
            "column `{column}`: expected {expected}, got {got}; correct the value in the database, or the column's type \
             in the contract"
        )
    }
}

/// Returns the storage class of a value in words.
fn class_name(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) => "an integer",
        ValueRef::Real(_) => "a floating-point number",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "a blob",
    }
}

/// Returns true if the values of SQLite can be read as this type.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    use DataType as T;
    let is_plain = data_type.is_integer() || matches!(data_type, T::Float32 | T::Float64 | T::Boolean | T::Null);
    let is_time = matches!(data_type, T::Date32 | T::Timestamp(..) | T::Time64(_));
    let is_bytes =
        matches!(data_type, T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView);
    is_plain || is_time || is_bytes || matches!(data_type, T::Decimal128(..))
}

/// Returns the ticks of a unit in a second.
fn ticks(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
