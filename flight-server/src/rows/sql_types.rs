//! The SQL names of Arrow's types, with precision and scale. `CAST` and `CREATE TABLE` accept the same names, if they
//! accept the type.

use arrow::datatypes::{DataType, TimeUnit};

/// An SQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SqlType {
    /// The name of the type.
    pub(crate) name: &'static str,
    /// The number of digits, or the longest length of a time in characters; `None` if there is no bound.
    pub(crate) precision: Option<i32>,
    /// The number of digits after the point, if it is fixed.
    pub(crate) scale: Option<i32>,
}

/// Returns the SQL type of a column.
pub(crate) fn sql_type(data_type: &DataType) -> SqlType {
    let whole = |name, digits| SqlType { name, precision: Some(digits), scale: Some(0) };
    let sized = |name, digits| SqlType { name, precision: Some(digits), scale: None };
    let unbounded = |name| SqlType { name, precision: None, scale: None };
    // The length without a fraction, plus the point and the digits if there is one.
    let moment = |name, length: i32, unit: &TimeUnit| {
        let digits = fraction_digits(unit);
        SqlType { name, precision: Some(length + digits + i32::from(digits > 0)), scale: Some(digits) }
    };
    match data_type {
        DataType::Null => unbounded("NULL"),
        DataType::Boolean => sized("BOOLEAN", 1),
        DataType::Int8 => whole("TINYINT", 3),
        DataType::Int16 => whole("SMALLINT", 5),
        DataType::Int32 => whole("INTEGER", 10),
        DataType::Int64 => whole("BIGINT", 19),
        DataType::UInt8 => whole("TINYINT UNSIGNED", 3),
        DataType::UInt16 => whole("SMALLINT UNSIGNED", 5),
        DataType::UInt32 => whole("INTEGER UNSIGNED", 10),
        DataType::UInt64 => whole("BIGINT UNSIGNED", 20),
        DataType::Float16 | DataType::Float32 => sized("REAL", 7),
        DataType::Float64 => sized("DOUBLE", 15),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            SqlType { name: "DECIMAL", precision: Some(i32::from(*precision)), scale: Some(i32::from(*scale)) }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => unbounded("VARCHAR"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => unbounded("BYTEA"),
        DataType::FixedSizeBinary(size) => sized("BYTEA", *size),
        DataType::Date32 | DataType::Date64 => sized("DATE", 10),
        DataType::Time32(unit) | DataType::Time64(unit) => moment("TIME", 8, unit),
        DataType::Timestamp(unit, None) => moment("TIMESTAMP", 19, unit),
        DataType::Timestamp(unit, Some(_)) => moment("TIMESTAMP WITH TIME ZONE", 19, unit),
        DataType::Duration(_) | DataType::Interval(_) => unbounded("INTERVAL"),
        DataType::List(_)
        | DataType::ListView(_)
        | DataType::LargeList(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..) => unbounded("ARRAY"),
        DataType::Struct(_) => unbounded("STRUCT"),
        DataType::Map(..) => unbounded("MAP"),
        DataType::Union(..) => unbounded("UNION"),
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::RunEndEncoded(_, values) => sql_type(values.data_type()),
    }
}

fn fraction_digits(unit: &TimeUnit) -> i32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
