//! Generated ports for the query generator, in addition to TPC-H's. The ports of two domains share column names. They
//! have decimals of several scales, NaN, infinities, -0.0, extreme dates, empty strings, and NULLs in every column.

use super::scope::Kind::{Bool, Date, Decimal, Float, Int, Stamp, Text, Wide};
use super::tables::{ColumnSpec, TableSpec};

/// A port for the generator, and the storage of its rows.
pub(super) struct MadeUp {
    pub(super) table: TableSpec,
    /// The storage of each column.
    pub(super) stored: &'static [Stored],
    /// The number of rows of each file.
    pub(super) files: &'static [usize],
}

/// The type and the values of a stored column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored {
    /// Integers of 32 bits from -2 to 12.
    Small32,
    /// Integers of 64 bits from -2 to 12.
    Small64,
    /// Integers of 32 bits at the ends of their range.
    Wide32,
    /// Integers of 64 bits at the ends of their range.
    Wide64,
    /// Decimals of this precision and scale.
    Decimals(u8, i8),
    Texts,
    /// Floating-point numbers, with NaN, infinities and subnormal numbers.
    Doubles,
    /// A few floating-point numbers, with -0.0 and 0.0.
    Zeros,
    /// Days of a few years.
    Days,
    /// Days from the year 1 to the year 9999.
    WideDays,
    /// Instants of a few years, in microseconds.
    Instants,
    /// Instants of a few years, in nanoseconds.
    Nanos,
    /// Instants from the year 1 to the year 9999.
    WideInstants,
    Flags,
}

use Stored::{
    Days, Decimals, Doubles, Flags, Instants, Nanos, Small32, Small64, Texts, Wide32, Wide64, WideDays, WideInstants,
    Zeros,
};

const NUMBERS: &[&str] = &["0", "1", "2", "5", "7", "-1", "12"];
const ENDS_64: &[&str] = &["-9223372036854775807", "-1", "0", "1", "9223372036854775806", "9223372036854775807"];
const ENDS_32: &[&str] = &["-2147483648", "-1", "0", "1", "2147483646", "2147483647"];
const AMOUNTS: &[&str] = &[
    "CAST('-8.79' AS DECIMAL(12, 2))",
    "0",
    "CAST('0.07' AS DECIMAL(12, 2))",
    "CAST('1.0009' AS DECIMAL(12, 4))",
    "2",
    "CAST('2.50' AS DECIMAL(12, 2))",
    "CAST('8.79' AS DECIMAL(12, 2))",
    "CAST('8.7900000001' AS DECIMAL(18, 10))",
    "CAST('100.50' AS DECIMAL(12, 2))",
    "CAST('99999.99' AS DECIMAL(12, 2))",
];
const STRINGS: &[&str] = &["''", "' '", "'50%'", "'A'", "'a'", "'a_b'", "'it''s'", "'ünï'", "'日本'"];
const FLOATS: &[&str] = &[
    "CAST('-Infinity' AS DOUBLE)",
    "CAST('-1.5' AS DOUBLE)",
    "0",
    "CAST('1.5' AS DOUBLE)",
    "3",
    "CAST('Infinity' AS DOUBLE)",
    "CAST('NaN' AS DOUBLE)",
];
const ZEROS: &[&str] =
    &["CAST('-1' AS DOUBLE)", "CAST('-0.0' AS DOUBLE)", "CAST(0 AS DOUBLE)", "CAST('NaN' AS DOUBLE)"];
const DAYS: &[&str] = &["DATE '1969-12-31'", "DATE '1970-01-01'", "DATE '2024-02-29'", "DATE '2024-03-01'"];
const WIDE_DAYS: &[&str] = &["DATE '0001-01-01'", "DATE '1582-10-15'", "DATE '2024-02-29'", "DATE '9999-12-31'"];
const INSTANTS: &[&str] = &[
    "TIMESTAMP '1969-12-31 23:59:59.999999'",
    "TIMESTAMP '1970-01-01 00:00:00'",
    "TIMESTAMP '2024-02-29 12:30:00'",
    "TIMESTAMP '2024-03-01 00:00:00'",
];
const WIDE_INSTANTS: &[&str] = &[
    "TIMESTAMP '0001-01-01 00:00:00'",
    "TIMESTAMP '1970-01-01 00:00:00'",
    "TIMESTAMP '2024-02-29 12:30:00'",
    "TIMESTAMP '9999-12-31 23:59:59.999999'",
];
const TRUTHS: &[&str] = &["true", "false"];

const K: ColumnSpec = ColumnSpec("k", Int, 15.0, "made-up key", NUMBERS);
const I: ColumnSpec = ColumnSpec("i", Int, 15.0, "", NUMBERS);
const V: ColumnSpec = ColumnSpec("v", Decimal, 20.0, "amount", AMOUNTS);
const D: ColumnSpec = ColumnSpec("d", Decimal, 20.0, "amount", AMOUNTS);
const T: ColumnSpec = ColumnSpec("t", Text, 16.0, "made-up text", STRINGS);
const F: ColumnSpec = ColumnSpec("f", Float, 14.0, "float", FLOATS);
const Z: ColumnSpec = ColumnSpec("z", Float, 4.0, "zero", ZEROS);
const DAY: ColumnSpec = ColumnSpec("day", Date, 8.0, "made-up day", DAYS);
const AT: ColumnSpec = ColumnSpec("moment", Stamp, 10.0, "", INSTANTS);
const FLAG: ColumnSpec = ColumnSpec("flag", Bool, 2.0, "", TRUTHS);
const WIDE_DAY: ColumnSpec = ColumnSpec("day", Date, 10.0, "made-up day", WIDE_DAYS);
const WIDE_AT: ColumnSpec = ColumnSpec("moment", Stamp, 10.0, "", WIDE_INSTANTS);

/// The domains of these ports.
pub(super) const DOMAINS: &[&str] = &["north", "south"];

/// The port without rows.
pub(super) const EMPTY: &str = "south.samples.nothing";

/// A port that a derived port repeats.
pub const REPEATED: &str = "north.samples.entry";
/// The derived port with the rows and the columns of [`REPEATED`].
pub const REPEAT: &str = "north.samples.again";

/// The generated ports. Each has the name `<domain>.samples.<name>`.
pub(super) const PORTS: &[MadeUp] = &[
    MadeUp {
        table: TableSpec { name: "north.samples.entry", rows: 160.0, columns: &[K, I, V, D, T, F, Z, DAY, AT, FLAG] },
        stored: &[Small64, Small32, Decimals(10, 2), Decimals(18, 4), Texts, Doubles, Zeros, Days, Instants, Flags],
        files: &[90, 70],
    },
    MadeUp {
        table: TableSpec { name: "north.samples.mark", rows: 14.0, columns: &[K, V, T, DAY, FLAG] },
        stored: &[Small32, Decimals(5, 0), Texts, Days, Flags],
        files: &[14],
    },
    MadeUp {
        table: TableSpec {
            name: "north.samples.edge",
            rows: 40.0,
            columns: &[
                ColumnSpec("k", Wide, 8.0, "end", ENDS_64),
                ColumnSpec("i", Wide, 8.0, "end", ENDS_32),
                F,
                WIDE_DAY,
                WIDE_AT,
                T,
            ],
        },
        stored: &[Wide64, Wide32, Doubles, WideDays, WideInstants, Texts],
        files: &[30, 10],
    },
    MadeUp {
        table: TableSpec { name: "south.samples.entry", rows: 110.0, columns: &[K, V, D, T, F, Z, DAY, AT, FLAG] },
        stored: &[Small32, Decimals(14, 4), Decimals(22, 10), Texts, Doubles, Zeros, Days, Instants, Flags],
        files: &[60, 0, 50],
    },
    MadeUp {
        table: TableSpec { name: "south.samples.mark", rows: 9.0, columns: &[K, F, AT, FLAG, T] },
        stored: &[Small64, Doubles, Nanos, Flags, Texts],
        files: &[9],
    },
    MadeUp {
        table: TableSpec { name: EMPTY, rows: 1.0, columns: &[K, V, T, F, DAY, AT, FLAG] },
        stored: &[Small64, Decimals(12, 2), Texts, Doubles, Days, Instants, Flags],
        files: &[0],
    },
];
