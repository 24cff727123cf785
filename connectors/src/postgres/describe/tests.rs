//! The Arrow types of PostgreSQL's types.

use arrow::datatypes::{DataType, Field, TimeUnit};
use tokio_postgres::types::Type;

use super::types::{NativeType, Reading, reading};
use crate::sql::ColumnUsage;

fn read(oid: &Type, modifier: i32, wanted: Option<&DataType>) -> Reading {
    let element = if let tokio_postgres::types::Kind::Array(element) = oid.kind() { Some(element.oid()) } else { None };
    let native = NativeType { oid: oid.oid(), modifier, element, money_scale: 2, ..NativeType::default() };
    reading(&native, "t.\"c\"", wanted)
}

/// Returns the modifier of `numeric(precision, scale)`.
fn digits(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + 4
}

#[test]
fn a_numeric_is_a_decimal_with_at_least_its_digits() {
    let cases = [
        ((10, 2), Some(DataType::Decimal128(10, 2))),
        ((38, 38), Some(DataType::Decimal128(38, 38))),
        ((39, 0), Some(DataType::Decimal256(39, 0))),
        ((76, 10), Some(DataType::Decimal256(76, 10))),
        ((3, -2), Some(DataType::Decimal128(5, 0))),
        ((2, 5), Some(DataType::Decimal128(5, 5))),
        ((77, 0), None),
        ((1000, -1000), None),
    ];
    for ((precision, scale), expected) in cases {
        let found = read(&Type::NUMERIC, digits(precision, scale), None);
        assert_eq!(found.data_type.ok(), expected, "numeric({precision},{scale})");
    }
}

#[test]
fn a_numeric_without_digits_needs_those_of_the_contract() {
    let unknown = read(&Type::NUMERIC, -1, None);
    assert!(unknown.data_type.is_err_and(|reason| reason.contains("physicalType: numeric(p,s)")));
    let wanted = DataType::Decimal128(5, 2);
    let checked = read(&Type::NUMERIC, -1, Some(&wanted));
    assert_eq!((checked.data_type, checked.usage), (Ok(wanted), ColumnUsage::Returned));
    let expected = "CASE WHEN t.\"c\" <> pg_catalog.trunc(t.\"c\", 2) OR pg_catalog.abs(t.\"c\") >= CAST(1000 AS numeric) \
                    THEN CAST('NaN' AS numeric) ELSE t.\"c\" END";
    assert_eq!(checked.sql, expected);
}

#[test]
fn a_contract_may_only_widen_to_decimals() {
    let widened = |oid: &Type, modifier, wanted: DataType| {
        let found = read(oid, modifier, Some(&wanted));
        (found.data_type == Ok(wanted)).then_some(found.sql)
    };
    assert_eq!(
        widened(&Type::INT8, -1, DataType::Decimal128(21, 2)).as_deref(),
        Some("CAST(t.\"c\" AS numeric(21,2))")
    );
    let wider = widened(&Type::NUMERIC, digits(10, 2), DataType::Decimal128(12, 4));
    assert_eq!(wider.as_deref(), Some("CAST(t.\"c\" AS numeric(12,4))"));
    for (oid, modifier, wanted) in [
        (Type::INT4, -1, DataType::Int64),
        (Type::FLOAT4, -1, DataType::Float64),
        (Type::FLOAT4, -1, DataType::Decimal128(38, 2)),
        (Type::INT8, -1, DataType::Decimal128(18, 0)),
        (Type::NUMERIC, digits(10, 2), DataType::Decimal128(10, 1)),
        (Type::NUMERIC, digits(10, 2), DataType::Decimal128(10, 3)),
        (Type::TEXT, -1, DataType::Int32),
    ] {
        assert_eq!(widened(&oid, modifier, wanted.clone()), None, "{oid} as {wanted}");
    }
}

#[test]
fn types_without_one_of_arrow_are_text() {
    let text = "CAST(t.\"c\" AS text)";
    let all = [Type::BPCHAR, Type::UUID, Type::JSONB, Type::INET, Type::TIMETZ, Type::VARBIT, Type::NAME, Type::CHAR];
    for oid in all {
        let found = read(&oid, -1, None);
        assert_eq!(
            (found.data_type, found.sql.as_str(), found.usage),
            (Ok(DataType::Utf8), text, ColumnUsage::All),
            "{oid}"
        );
    }
    let native = NativeType { oid: 99_999, is_loose: true, ..NativeType::default() };
    assert_eq!(reading(&native, "t.\"c\"", None).sql, "(CAST(t.\"c\" AS text) COLLATE pg_catalog.\"default\")");
}

#[test]
fn other_types_have_one() {
    let list = |item| DataType::List(Field::new_list_field(item, true).into());
    let cases = [
        (Type::BOOL, DataType::Boolean, "t.\"c\"", ColumnUsage::All),
        (Type::VARCHAR, DataType::Utf8, "t.\"c\"", ColumnUsage::All),
        (Type::OID, DataType::UInt32, "CAST(t.\"c\" AS int8)", ColumnUsage::All),
        (Type::MONEY, DataType::Decimal128(19, 2), "CAST(t.\"c\" AS numeric)", ColumnUsage::All),
        (Type::TIMESTAMP, DataType::Timestamp(TimeUnit::Microsecond, None), "t.\"c\"", ColumnUsage::All),
        (Type::INT4_ARRAY, list(DataType::Int32), "t.\"c\"", ColumnUsage::Returned),
        (Type::UUID_ARRAY, list(DataType::Utf8), "CAST(t.\"c\" AS text[])", ColumnUsage::Returned),
    ];
    for (oid, data_type, sql, usage) in cases {
        assert_eq!(read(&oid, -1, None), Reading { data_type: Ok(data_type), sql: sql.to_owned(), usage }, "{oid}");
    }
    assert!(read(&Type::NUMERIC_ARRAY, -1, None).data_type.is_err());
    assert_eq!(read(&Type::NUMERIC_ARRAY, digits(9, 1), None).data_type, Ok(list(DataType::Decimal128(9, 1))));
}
