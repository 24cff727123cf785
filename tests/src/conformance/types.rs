//! The columns of the table `types`: the extremes of each type, and NULL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};

/// The ids of the rows of the table `types`. The last row is NULL in every other column.
pub const IDS: [&str; 5] = ["1", "2", "3", "4", "5"];

/// The largest value of 38 digits.
const NINES: i128 = 10_i128.pow(38) - 1;
/// The first and the last day of the years from 1 to 9999.
const DAYS: [i32; 2] = [-719_162, 2_932_896];
/// The first and the last microsecond of these years.
const INSTANTS: [i64; 2] = [-62_135_596_800_000_000, 253_402_300_799_999_999];

/// A column of the table `types`, with the results of queries over it.
#[derive(Clone, Debug)]
pub struct TypedColumn {
    /// The name.
    pub name: &'static str,
    /// The values. The last one is NULL.
    pub values: ArrayRef,
    /// The values, as SQL prints them.
    pub printed: [&'static str; 5],
    /// Two conditions, each with the ids of the rows for which it holds.
    pub conditions: [(&'static str, &'static [&'static str]); 2],
    /// The smallest value, the largest value, and the number of values.
    pub extremes: &'static str,
    /// The number of distinct values, with NULL.
    pub distinct: &'static str,
    /// The ids of the rows in the order of the column, NULL first, then in the order of the ids.
    pub order: [&'static str; 5],
}

/// Returns the columns of the table `types` besides `id`.
pub fn typed_columns() -> Vec<TypedColumn> {
    let mut columns = integers();
    columns.extend(floats());
    columns.extend(decimals());
    columns.extend(times());
    columns.extend(strings());
    columns.push(TypedColumn {
        name: "boolean_c",
        values: Arc::new(BooleanArray::from(vec![Some(false), Some(true), Some(true), Some(false), None])),
        printed: ["false", "true", "true", "false", "NULL"],
        conditions: [("boolean_c", &["2", "3"]), ("NOT boolean_c", &["1", "4"])],
        extremes: "false|true|4",
        distinct: "3",
        order: ["5", "1", "4", "2", "3"],
    });
    columns
}

fn integers() -> Vec<TypedColumn> {
    vec![
        TypedColumn {
            name: "bigint_c",
            values: Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(-1), Some(0), None])),
            printed: ["-9223372036854775808", "9223372036854775807", "-1", "0", "NULL"],
            conditions: [("bigint_c = 9223372036854775807", &["2"]), ("bigint_c < -9223372036854775807", &["1"])],
            extremes: "-9223372036854775808|9223372036854775807|4",
            distinct: "5",
            order: ["5", "1", "3", "4", "2"],
        },
        TypedColumn {
            name: "int_c",
            values: Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), Some(-1), Some(0), None])),
            printed: ["-2147483648", "2147483647", "-1", "0", "NULL"],
            conditions: [("int_c = 2147483647", &["2"]), ("int_c < -2147483647", &["1"])],
            extremes: "-2147483648|2147483647|4",
            distinct: "5",
            order: ["5", "1", "3", "4", "2"],
        },
    ]
}

fn floats() -> Vec<TypedColumn> {
    let doubles = |values: [f64; 4]| -> ArrayRef {
        Arc::new(Float64Array::from_iter(values.into_iter().map(Some).chain([None])))
    };
    vec![
        TypedColumn {
            name: "double_c",
            values: doubles([f64::MIN, f64::MAX, 5e-324, 0.1]),
            printed: ["-1.7976931348623157e308", "1.7976931348623157e308", "5e-324", "0.1", "NULL"],
            conditions: [("double_c > 1e308", &["2"]), ("double_c = 0.1", &["4"])],
            extremes: "-1.7976931348623157e308|1.7976931348623157e308|4",
            distinct: "5",
            order: ["5", "1", "3", "4", "2"],
        },
        TypedColumn {
            name: "special_c",
            values: doubles([f64::NEG_INFINITY, f64::INFINITY, f64::NAN, -0.0]),
            printed: ["-inf", "inf", "NaN", "-0.0", "NULL"],
            conditions: [("special_c = 0", &["4"]), ("special_c < 0", &["1"])],
            extremes: "-inf|NaN|4",
            distinct: "5",
            order: ["5", "1", "4", "2", "3"],
        },
    ]
}

fn decimals() -> Vec<TypedColumn> {
    let decimals = |values: [i128; 4], precision: u8, scale: i8| -> ArrayRef {
        let values = Decimal128Array::from_iter(values.into_iter().map(Some).chain([None]));
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
    };
    let money = 10_i128.pow(15) - 1;
    vec![
        TypedColumn {
            name: "decimal_15_2",
            values: decimals([-money, money, 1, 0], 15, 2),
            printed: ["-9999999999999.99", "9999999999999.99", "0.01", "0.00", "NULL"],
            conditions: [
                ("decimal_15_2 = CAST('9999999999999.99' AS DECIMAL(15, 2))", &["2"]),
                ("decimal_15_2 < CAST('-9999999999999.98' AS DECIMAL(15, 2))", &["1"]),
            ],
            extremes: "-9999999999999.99|9999999999999.99|4",
            distinct: "5",
            order: ["5", "1", "4", "3", "2"],
        },
        TypedColumn {
            name: "decimal_38_10",
            values: decimals([-NINES, NINES, 1, 0], 38, 10),
            printed: [
                "-9999999999999999999999999999.9999999999",
                "9999999999999999999999999999.9999999999",
                "0.0000000001",
                "0.0000000000",
                "NULL",
            ],
            conditions: [
                ("decimal_38_10 = CAST('9999999999999999999999999999.9999999999' AS DECIMAL(38, 10))", &["2"]),
                ("decimal_38_10 < CAST('-9999999999999999999999999999.9999999998' AS DECIMAL(38, 10))", &["1"]),
            ],
            extremes: "-9999999999999999999999999999.9999999999|9999999999999999999999999999.9999999999|4",
            distinct: "5",
            order: ["5", "1", "4", "3", "2"],
        },
    ]
}

fn times() -> Vec<TypedColumn> {
    let [first_day, last_day] = DAYS;
    let [first_instant, last_instant] = INSTANTS;
    vec![
        TypedColumn {
            name: "date_c",
            values: Arc::new(Date32Array::from(vec![Some(first_day), Some(last_day), Some(0), Some(19_782), None])),
            printed: ["0001-01-01", "9999-12-31", "1970-01-01", "2024-02-29", "NULL"],
            conditions: [("date_c = DATE '9999-12-31'", &["2"]), ("date_c < DATE '0001-01-02'", &["1"])],
            extremes: "0001-01-01|9999-12-31|4",
            distinct: "5",
            order: ["5", "1", "3", "4", "2"],
        },
        TypedColumn {
            name: "timestamp_c",
            values: Arc::new(TimestampMicrosecondArray::from(vec![
                Some(first_instant),
                Some(last_instant),
                Some(0),
                Some(-1),
                None,
            ])),
            printed: [
                "0001-01-01T00:00:00",
                "9999-12-31T23:59:59.999999",
                "1970-01-01T00:00:00",
                "1969-12-31T23:59:59.999999",
                "NULL",
            ],
            conditions: [
                ("timestamp_c = TIMESTAMP '9999-12-31 23:59:59.999999'", &["2"]),
                ("timestamp_c < TIMESTAMP '0001-01-01 00:00:00.000001'", &["1"]),
            ],
            extremes: "0001-01-01T00:00:00|9999-12-31T23:59:59.999999|4",
            distinct: "5",
            order: ["5", "1", "4", "3", "2"],
        },
    ]
}

fn strings() -> Vec<TypedColumn> {
    let strings = |values: [&str; 4]| -> ArrayRef {
        Arc::new(StringArray::from_iter(values.into_iter().map(Some).chain([None])))
    };
    let texts = ["O'Neil said \"no\"", "two\r\nlines", "Größe 大 🦀", "back\\slash"];
    vec![
        TypedColumn {
            name: "text_c",
            values: strings(texts),
            printed: [texts[0], texts[1], texts[2], texts[3], "NULL"],
            conditions: [("text_c = 'O''Neil said \"no\"'", &["1"]), ("text_c = 'Größe 大 🦀'", &["3"])],
            extremes: "Größe 大 🦀|two\r\nlines|4",
            distinct: "5",
            order: ["5", "3", "1", "4", "2"],
        },
        // The string `NULL` is a value.
        TypedColumn {
            name: "blank_c",
            values: strings(["", " ", "NULL", ""]),
            printed: ["", " ", "NULL", "", "NULL"],
            conditions: [("blank_c = ''", &["1", "4"]), ("blank_c <> ''", &["2", "3"])],
            extremes: "|NULL|4",
            distinct: "4",
            order: ["5", "1", "4", "2", "3"],
        },
    ]
}
