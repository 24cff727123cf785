//! The SQL types that `GetXdbcTypeInfo` reports.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use portolan_engine::Result;

use crate::failure::encoding;
use crate::rows::{SqlType, sql_type};

/// The type, an Arrow type that SQL maps to it, and the quote around its literals, if any.
const TYPES: &[(XdbcDataType, DataType, Option<&str>)] = &[
    (XdbcDataType::XdbcBit, DataType::Boolean, None),
    (XdbcDataType::XdbcTinyint, DataType::Int8, None),
    (XdbcDataType::XdbcTinyint, DataType::UInt8, None),
    (XdbcDataType::XdbcSmallint, DataType::Int16, None),
    (XdbcDataType::XdbcSmallint, DataType::UInt16, None),
    (XdbcDataType::XdbcInteger, DataType::Int32, None),
    (XdbcDataType::XdbcInteger, DataType::UInt32, None),
    (XdbcDataType::XdbcBigint, DataType::Int64, None),
    (XdbcDataType::XdbcBigint, DataType::UInt64, None),
    (XdbcDataType::XdbcReal, DataType::Float32, None),
    (XdbcDataType::XdbcDouble, DataType::Float64, None),
    (XdbcDataType::XdbcDecimal, DataType::Decimal128(38, 0), None),
    (XdbcDataType::XdbcVarchar, DataType::Utf8, Some("'")),
    (XdbcDataType::XdbcVarbinary, DataType::Binary, Some("'")),
    (XdbcDataType::XdbcDate, DataType::Date32, Some("'")),
    (XdbcDataType::XdbcTime, DataType::Time64(TimeUnit::Nanosecond), Some("'")),
    (XdbcDataType::XdbcTimestamp, DataType::Timestamp(TimeUnit::Nanosecond, None), Some("'")),
    (XdbcDataType::XdbcInterval, DataType::Interval(IntervalUnit::MonthDayNano), Some("'")),
    (XdbcDataType::XdbcUnknownType, DataType::Null, None),
];

/// Types without a number in the protocol.
const OTHERS: [&str; 4] = ["ARRAY", "MAP", "STRUCT", "UNION"];
/// The name of a type whose Arrow type includes a time zone, which no constant can hold.
const WITH_ZONE: &str = "TIMESTAMP WITH TIME ZONE";

/// Returns the types with this number, or all types if no number is given.
pub(crate) fn type_info(data_type: Option<i32>) -> Result<RecordBatch> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for (id, arrow, quote) in TYPES {
        let sql = sql_type(arrow);
        types.append(describe(sql, *id, *quote, arrow));
        if *id == XdbcDataType::XdbcTimestamp {
            types.append(describe(SqlType { name: WITH_ZONE, ..sql }, *id, *quote, arrow));
        }
    }
    for name in OTHERS {
        let sql = SqlType { name, precision: None, scale: None };
        types.append(describe(sql, XdbcDataType::XdbcUnknownType, None, &DataType::Null));
    }
    types.build().and_then(|types| types.record_batch(data_type)).map_err(encoding)
}

fn describe(sql: SqlType, data_type: XdbcDataType, quote: Option<&str>, arrow: &DataType) -> XdbcTypeInfo {
    let is_text = data_type == XdbcDataType::XdbcVarchar;
    let is_sized = is_text || data_type == XdbcDataType::XdbcVarbinary;
    let is_number = arrow.is_numeric();
    let (sql_data_type, datetime_subcode) = match data_type {
        // The protocol names ODBC's code for dates after years.
        XdbcDataType::XdbcDate => (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeYear)),
        XdbcDataType::XdbcTime => (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeTime)),
        XdbcDataType::XdbcTimestamp if sql.name == WITH_ZONE => {
            (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone))
        }
        XdbcDataType::XdbcTimestamp => (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp)),
        other => (other, None),
    };
    let create_params = match data_type {
        XdbcDataType::XdbcDecimal => Some(vec!["precision".to_owned(), "scale".to_owned()]),
        XdbcDataType::XdbcVarchar => Some(vec!["length".to_owned()]),
        _ => None,
    };
    XdbcTypeInfo {
        type_name: sql.name.to_owned(),
        data_type,
        column_size: if is_sized { Some(i32::MAX) } else { sql.precision },
        literal_prefix: quote.map(str::to_owned),
        literal_suffix: quote.map(str::to_owned),
        create_params,
        nullable: Nullable::NullabilityNullable,
        case_sensitive: is_text,
        searchable: Searchable::Full,
        unsigned_attribute: is_number.then(|| arrow.is_unsigned_integer()),
        fixed_prec_scale: false,
        auto_increment: is_number.then_some(false),
        local_type_name: Some(sql.name.to_owned()),
        minimum_scale: sql.scale.map(|_| 0),
        maximum_scale: if data_type == XdbcDataType::XdbcDecimal { sql.precision } else { sql.scale },
        sql_data_type,
        datetime_subcode,
        num_prec_radix: is_number.then_some(10),
        interval_precision: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::AsArray;

    use super::*;

    #[test]
    fn all_or_one() {
        assert_eq!(type_info(None).unwrap().num_rows(), TYPES.len() + OTHERS.len() + 1);
        // The signed type and the unsigned type.
        assert_eq!(type_info(Some(XdbcDataType::XdbcBigint as i32)).unwrap().num_rows(), 2);
    }

    #[test]
    fn every_type_that_clients_see_is_told() {
        let all = type_info(None).unwrap();
        let told: Vec<&str> = all.column(0).as_string::<i32>().iter().flatten().collect();
        for data_type in crate::rows::types() {
            let name = sql_type(&data_type).name;
            assert!(told.contains(&name), "{name} of {data_type}");
        }
    }
}
