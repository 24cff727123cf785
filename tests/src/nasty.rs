//! Tables whose values databases treat in different ways: case, accents and trailing blanks under several collations,
//! numbers at their limits, NaN, the sign of zero, early and late dates, and NULL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::record_batch::RecordBatch;
use portolan_catalog::DatabaseKind;

use crate::servers::{TestDatabase, held};
use crate::ways::table;

/// Strings that differ for a node, and are equal for some database or in some order of its own.
const TEXTS: [Option<&str>; 30] = [
    None,
    Some(""),
    Some(" "),
    Some("a"),
    Some("A"),
    Some("a "),
    Some(" a"),
    Some("á"),
    Some("a\u{301}"),
    Some("ä"),
    Some("Ä"),
    Some("ae"),
    Some("ß"),
    Some("ss"),
    Some("SS"),
    Some("é"),
    Some("e"),
    Some("a%b"),
    Some("a_b"),
    Some("a\\b"),
    Some("it's"),
    Some("say \"a\""),
    Some("two\nlines"),
    Some("tab\there"),
    Some("日本"),
    Some("🦀"),
    Some("NULL"),
    Some("Z"),
    Some("z"),
    Some("10"),
];
/// Strings of at most four characters, without blanks at the end, for columns of a fixed length.
const SHORT: [Option<&str>; 10] =
    [None, Some(""), Some("a"), Some("A"), Some("á"), Some("ab"), Some("AB"), Some("ß"), Some("ss"), Some(" a")];
/// The largest value of 38 digits.
const NINES: i128 = 10_i128.pow(38) - 1;
/// 0001-01-01, 9999-12-31 and 2024-02-29, in days since 1970.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;
const LEAP_DAY: i32 = 19_782;
/// The number of microseconds in a day.
const DAY: i64 = 86_400_000_000;
/// The rows of the table `facts`.
const FACTS: usize = 600;

/// A table, and the types of its columns that are not the usual ones of a database.
#[derive(Clone, Debug)]
pub struct NastyTable {
    /// The name of the table and of its port.
    pub name: &'static str,
    /// The rows, as the database holds them.
    pub rows: RecordBatch,
    own_types: Vec<(&'static str, &'static str)>,
}

/// Returns the tables as a database of this kind holds them.
pub fn tables(kind: DatabaseKind) -> Vec<NastyTable> {
    let of = |name, rows: RecordBatch, own_types| NastyTable { name, rows: held(kind, &rows), own_types };
    vec![
        of("words", words(), collations(kind)),
        of("numbers", numbers(), vec![]),
        of("times", times(), vec![]),
        of("facts", facts(), vec![]),
    ]
}

/// Creates the tables in a database.
pub async fn create(database: &TestDatabase) -> Vec<NastyTable> {
    if database.kind() == DatabaseKind::Postgres {
        let loose = "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)";
        database.execute(&[loose]).await;
    }
    let tables = tables(database.kind());
    for NastyTable { name, rows, own_types } in &tables {
        database.create_table(name, rows, own_types).await;
    }
    tables
}

/// Returns the types of the columns of `words`: `plain` has the database's usual collation, `other` has one with another
/// order, `loose` has one in which different strings are equal, and `short` has a fixed length.
fn collations(kind: DatabaseKind) -> Vec<(&'static str, &'static str)> {
    match kind {
        DatabaseKind::Postgres => {
            vec![("other", "text COLLATE \"en-x-icu\""), ("loose", "text COLLATE loose"), ("short", "char(4)")]
        }
        DatabaseKind::Sqlite => vec![("other", "TEXT COLLATE NOCASE"), ("loose", "TEXT COLLATE RTRIM")],
        _ => vec![
            ("other", "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"),
            ("loose", "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"),
            ("short", "char(4)"),
        ],
    }
}

fn words() -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from_iter(TEXTS));
    let short = StringArray::from_iter((0..TEXTS.len()).map(|i| SHORT[i % SHORT.len()]));
    table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..TEXTS.len() as i64))),
        ("plain", texts.clone()),
        ("other", texts.clone()),
        ("loose", texts),
        ("short", Arc::new(short)),
    ])
}

fn numbers() -> RecordBatch {
    let decimals = |values: [Option<i128>; 12], precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from_iter(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let some = |values: [i128; 11]| -> [Option<i128>; 12] { std::array::from_fn(|i| values.get(i).copied()) };
    let (small, whole, big) = (i16::MAX, i32::MAX, i64::MAX);
    let doubles = [f64::MIN, f64::MAX, 5e-324, -0.0, 0.0, 0.1, -0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e15];
    let cents = 10_i128.pow(10) - 1;
    table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..12))),
        (
            "small",
            Arc::new(Int16Array::from_iter(
                [0, 1, -1, 2, -2, 7, -7, small, -small, i16::MIN, 100].map(Some).into_iter().chain([None]),
            )),
        ),
        (
            "whole",
            Arc::new(Int32Array::from_iter(
                [0, 1, -1, 2, -2, 7, -7, whole, -whole, i32::MIN, 100].map(Some).into_iter().chain([None]),
            )),
        ),
        (
            "big",
            Arc::new(Int64Array::from_iter(
                [0, 1, -1, 2, -2, 7, -7, big, -big, i64::MIN, 100].map(Some).into_iter().chain([None]),
            )),
        ),
        ("amount", decimals(some([0, 1, -1, 100, -100, 250, -250, cents, -cents, 12_345, 110]), 10, 2)),
        (
            "wide",
            decimals(
                some([0, 1, -1, NINES, -NINES, 10_000_000_000, -10_000_000_000, 25_000_000_000, 5, 15, 3]),
                38,
                10,
            ),
        ),
        ("ratio", Arc::new(Float64Array::from_iter(doubles.map(Some).into_iter().chain([None])))),
        (
            "single",
            Arc::new(Float32Array::from_iter(
                [0.0, 1.5, -1.5, 0.1, -0.1, f32::MAX, f32::MIN, 1e-45, 3.0, 2.0, 100.25]
                    .map(Some)
                    .into_iter()
                    .chain([None]),
            )),
        ),
        ("flag", Arc::new(BooleanArray::from_iter((0..12).map(|i| (i < 11).then_some(i % 3 == 0))))),
    ])
}

fn times() -> RecordBatch {
    let days = [FIRST_DAY, FIRST_DAY + 1, -141_428, -141_427, -25_509, -1, 0, 1, LEAP_DAY, LEAP_DAY + 1, LAST_DAY];
    let midnight = |day: i32| i64::from(day) * DAY;
    let moments = [
        midnight(FIRST_DAY),
        midnight(FIRST_DAY) + 1,
        -1,
        0,
        1,
        midnight(LEAP_DAY) - 1,
        midnight(LEAP_DAY),
        midnight(LEAP_DAY) + DAY / 2 + 500_000,
        midnight(LEAP_DAY + 1),
        midnight(LAST_DAY),
        midnight(LAST_DAY) + DAY - 1,
    ];
    // The instants of MariaDB's `timestamp` end in 2038, and the first one is a second after 1970 begins.
    let instants = moments.map(|moment| moment.clamp(1_000_000, midnight(24_000)));
    let clocks =
        [0, 1, DAY - 1, DAY / 2, DAY / 2 + 1, 3_600_000_000, 59_999_999, 60_000_000, 86_399_000_000, 500_000, 2];
    fn nullable<T>(values: [T; 11]) -> impl Iterator<Item = Option<T>> {
        values.map(Some).into_iter().chain([None])
    }
    table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..12))),
        ("day", Arc::new(Date32Array::from_iter(nullable(days)))),
        ("moment", Arc::new(TimestampMicrosecondArray::from_iter(nullable(moments)))),
        ("instant", Arc::new(TimestampMicrosecondArray::from_iter(nullable(instants)).with_timezone("UTC"))),
        ("clock", Arc::new(Time64MicrosecondArray::from_iter(nullable(clocks)))),
    ])
}

/// Returns rows that refer to those of the other tables. Every seventh value of a column is NULL.
fn facts() -> RecordBatch {
    let rows = || (0..FACTS).map(|i| i as i64);
    let unless = |period: i64, i: i64, value: i64| (i % period != period - 1).then_some(value);
    let words = rows().map(|i| TEXTS[(i * 7 % 30) as usize]);
    let amounts = rows().map(|i| unless(7, i, (i * 7_919 % 20_011) - 10_000).map(i128::from));
    let days = rows().map(|i| unless(13, i, i % 400).map(|day| LEAP_DAY - 200 + day as i32));
    table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows()))),
        ("word", Arc::new(StringArray::from_iter(words))),
        ("number", Arc::new(Int64Array::from_iter(rows().map(|i| unless(7, i, i * 5 % 17))))),
        ("level", Arc::new(Int32Array::from_iter(rows().map(|i| unless(11, i, i % 5).map(|level| level as i32))))),
        ("amount", Arc::new(Decimal128Array::from_iter(amounts).with_precision_and_scale(12, 2).unwrap())),
        ("day", Arc::new(Date32Array::from_iter(days))),
        ("flag", Arc::new(BooleanArray::from_iter(rows().map(|i| unless(5, i, i).map(|i| i % 2 == 0))))),
    ])
}
