//! The SQL types that drivers may name, as `GetXdbcTypeInfo` tells them.

use arrow::array::RecordBatch;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use portolan_engine::Result;

use crate::failure::encoding;

/// Name, type, digits or characters, and the quote around literals, where they have one.
const TYPES: &[(&str, XdbcDataType, i32, Option<&str>)] = &[
    ("BOOLEAN", XdbcDataType::XdbcBit, 1, None),
    ("TINYINT", XdbcDataType::XdbcTinyint, 3, None),
    ("SMALLINT", XdbcDataType::XdbcSmallint, 5, None),
    ("INTEGER", XdbcDataType::XdbcInteger, 10, None),
    ("BIGINT", XdbcDataType::XdbcBigint, 19, None),
    ("REAL", XdbcDataType::XdbcReal, 7, None),
    ("DOUBLE", XdbcDataType::XdbcDouble, 15, None),
    ("DECIMAL", XdbcDataType::XdbcDecimal, 38, None),
    ("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX, Some("'")),
    ("VARBINARY", XdbcDataType::XdbcVarbinary, i32::MAX, Some("'")),
    ("DATE", XdbcDataType::XdbcDate, 10, Some("'")),
    ("TIME", XdbcDataType::XdbcTime, 18, Some("'")),
    ("TIMESTAMP", XdbcDataType::XdbcTimestamp, 29, Some("'")),
];

/// The types of that number; all, if none is given.
pub(crate) fn type_info(data_type: Option<i32>) -> Result<RecordBatch> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for (name, data_type, size, quote) in TYPES {
        types.append(describe(name, *data_type, *size, *quote));
    }
    types.build().and_then(|types| types.record_batch(data_type)).map_err(encoding)
}

fn describe(name: &str, data_type: XdbcDataType, size: i32, quote: Option<&str>) -> XdbcTypeInfo {
    let is_text = data_type == XdbcDataType::XdbcVarchar;
    let is_number = quote.is_none() && data_type != XdbcDataType::XdbcBit;
    let is_decimal = data_type == XdbcDataType::XdbcDecimal;
    let (sql_data_type, datetime_subcode) = match data_type {
        // The protocol calls ODBC's code for dates the one for years.
        XdbcDataType::XdbcDate => (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeYear)),
        XdbcDataType::XdbcTime => (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeTime)),
        XdbcDataType::XdbcTimestamp => (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp)),
        other => (other, None),
    };
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: Some(size),
        literal_prefix: quote.map(str::to_owned),
        literal_suffix: quote.map(str::to_owned),
        create_params: is_decimal.then(|| vec!["precision".to_owned(), "scale".to_owned()]),
        nullable: Nullable::NullabilityNullable,
        case_sensitive: is_text,
        searchable: Searchable::Full,
        unsigned_attribute: is_number.then_some(false),
        fixed_prec_scale: false,
        auto_increment: is_number.then_some(false),
        local_type_name: Some(name.to_owned()),
        minimum_scale: is_decimal.then_some(0),
        maximum_scale: is_decimal.then_some(38),
        sql_data_type,
        datetime_subcode,
        num_prec_radix: is_number.then_some(10),
        interval_precision: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn all_or_one() {
        assert_eq!(type_info(None).unwrap().num_rows(), TYPES.len());
        assert_eq!(type_info(Some(XdbcDataType::XdbcBigint as i32)).unwrap().num_rows(), 1);
    }
}
