//! The SQL of PostgreSQL.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::{
    BY_POSITIVE_LITERAL, DECIMAL_WIDENS, DIFFERENCE_FITS, INTEGER_AS_DECIMAL, INTEGER_AS_DOUBLE, INTEGER_WIDENS,
    LITERALS, PART_OF_TEXT, PLUS_ZERO, PRODUCT_FITS, SAME_SCALE, SUM_FITS, WITH_LITERAL, decimal_type, row, row_if,
    shapes,
};
use crate::sql::allowed::SqlKind::{
    self, Boolean, Date, Decimal, Double, Instant, Integer, Text, Time, Timestamp, Unsigned,
};
use crate::sql::allowed::{SqlCondition, SqlSpelling};
use crate::sql::dialect::{LiteralForm, NullOrder, PatternForm, SqlDialect};
use crate::sql::numbers::Digits;

/// The SQL of PostgreSQL 12 and later. The session has `standard_conforming_strings = on` and `TimeZone = UTC`.
pub static POSTGRES: SqlDialect = SqlDialect {
    name: "PostgreSQL",
    quote: '"',
    shapes: &shapes::ALL,
    operators: OPERATORS,
    functions: FUNCTIONS,
    aggregates: AGGREGATES,
    casts: CASTS,
    type_name,
    wire_type: Some(wire_type),
    literals: LiteralForm::Cast,
    exact_text: "({0} COLLATE \"C\")",
    text_tie: None,
    patterns: PatternForm::Like('\\'),
    nulls: NullOrder::Written,
    endless: None,
    caches_subqueries: false,
    hashes_in: false,
    has_filter: true,
    max_depth: 50,
    max_tables: 50,
    max_brackets: 100,
    max_bytes: 4 << 20,
};

const ALL: &[SqlKind] = &[Boolean, Integer, Unsigned, Decimal, Double, Text, Date, Timestamp, Instant, Time];
const ORDERED: &[SqlKind] = &[Integer, Unsigned, Decimal, Double, Text, Date, Timestamp, Instant, Time];
const GROUPED: &[SqlKind] = &[Boolean, Integer, Unsigned, Decimal, Text, Date, Timestamp, Instant, Time];
const EXTREMES: &[SqlKind] = &[Integer, Unsigned, Decimal, Text, Date, Timestamp, Instant, Time];

const DATED: &[SqlKind] = &[Date, Timestamp, Instant];

const LOGIC: &str = "three-valued logic is the same";
const COMPARED: &str = "strings compare by their bytes in the collation \"C\"; NaN is equal to itself and the largest \
    double; -0.0 is 0.0; FALSE is less than TRUE";
const BYTES: &str = "a deterministic collation finds two strings equal if their bytes are; a column with another collation \
    is read with the collation \"C\"; the comparison uses the column's index";

const OPERATORS: &[SqlSpelling] = &[
    row("AND", "({0} AND {1})", &[Boolean], LOGIC, "logic_is_written"),
    row("OR", "({0} OR {1})", &[Boolean], LOGIC, "logic_is_written"),
    row("NOT", "(NOT {0})", &[Boolean], LOGIC, "logic_is_written"),
    row("IS NULL", "({0} IS NULL)", ALL, LOGIC, "logic_is_written"),
    row("IS NOT NULL", "({0} IS NOT NULL)", ALL, LOGIC, "logic_is_written"),
    row("IS TRUE", "({0} IS TRUE)", &[Boolean], LOGIC, "logic_is_written"),
    row("IS NOT TRUE", "({0} IS NOT TRUE)", &[Boolean], LOGIC, "logic_is_written"),
    row("IS FALSE", "({0} IS FALSE)", &[Boolean], LOGIC, "logic_is_written"),
    row("IS NOT FALSE", "({0} IS NOT FALSE)", &[Boolean], LOGIC, "logic_is_written"),
    row_if(WITH_LITERAL, row("=", "({0} = {1})", &[Text], BYTES, "strings_are_written")),
    row_if(WITH_LITERAL, row("<>", "({0} <> {1})", &[Text], BYTES, "strings_are_written")),
    row("=", "({0!} = {1!})", ALL, COMPARED, "comparisons_are_written"),
    row("<>", "({0!} <> {1!})", ALL, COMPARED, "comparisons_are_written"),
    row("<", "({0!} < {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row("<=", "({0!} <= {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row(">", "({0!} > {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row(">=", "({0!} >= {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row("BETWEEN", "({0!} BETWEEN {1!} AND {2!})", ORDERED, COMPARED, "comparisons_are_written"),
    row("IS DISTINCT FROM", "({0!} IS DISTINCT FROM {1!})", ALL, COMPARED, "comparisons_are_written"),
    row("IS NOT DISTINCT FROM", "({0!} IS NOT DISTINCT FROM {1!})", ALL, COMPARED, "comparisons_are_written"),
    row_if(
        LITERALS,
        row(
            "IN array",
            "({0} = ANY(CAST({1} AS {type}[])))",
            &[Integer, Unsigned, Decimal, Date, Timestamp, Instant, Time, Text],
            "from 20 literals on: means the same as `IN`, and is parsed faster",
            "lists_are_written",
        ),
    ),
    row_if(LITERALS, row("IN", "({0} IN ({1..}))", &[Text], BYTES, "lists_are_written")),
    row("IN", "({0!} IN ({1..!}))", ALL, COMPARED, "lists_are_written"),
    row(
        "LIKE",
        "({0} LIKE {1})",
        &[Text],
        "only literal patterns: `%` and `_` match any characters, with a backslash before one that stands for itself",
        "patterns_are_written",
    ),
    row(
        "CASE",
        "(CASE WHEN … THEN {0!} … END)",
        ALL,
        "every branch has the type of the result; strings have one collation",
        "cases_are_written",
    ),
    row_if(SUM_FITS, row("+", "({0} + {1})", &[Integer], "never overflows", "arithmetic_is_written")),
    row_if(DIFFERENCE_FITS, row("-", "({0} - {1})", &[Integer], "never overflows", "arithmetic_is_written")),
    row_if(PRODUCT_FITS, row("*", "({0} * {1})", &[Integer], "never overflows", "arithmetic_is_written")),
    row_if(BY_POSITIVE_LITERAL, row("/", "({0} / {1})", &[Integer], "truncates", "arithmetic_is_written")),
    row_if(
        BY_POSITIVE_LITERAL,
        row("%", "({0} % {1})", &[Integer], "has the sign of the dividend", "arithmetic_is_written"),
    ),
    row_if(SAME_SCALE, row("+", "({0} + {1})", &[Decimal], "exact", "arithmetic_is_written")),
    row_if(SAME_SCALE, row("-", "({0} - {1})", &[Decimal], "exact", "arithmetic_is_written")),
    row_if(SAME_SCALE, row("*", "({0} * {1})", &[Decimal], "exact", "arithmetic_is_written")),
    row_if(PLUS_ZERO, row("+", "({0} + {1})", &[Double], "keeps every value", "arithmetic_is_written")),
    row("unary -", "(- {0})", &[Decimal], "exact", "arithmetic_is_written"),
    row("GROUP BY", "{0}", GROUPED, "groups strings by their bytes", "groups_are_written"),
    row("DISTINCT", "{0}", GROUPED, "compares strings by their bytes", "groups_are_written"),
    row("ORDER BY", "{0!}", ORDERED, COMPARED, "orders_are_written"),
];

const YEAR: &str = "(CASE WHEN isfinite({0}) AND {0} >= CAST('262143-01-01' AS date) THEN NULL ELSE \
    CAST(extract(year FROM {0}) AS int4) + CASE WHEN {0} < CAST('0001-01-01' AS date) THEN 1 ELSE 0 END END)";
const MONTH: &str = "(CASE WHEN isfinite({0}) AND {0} >= CAST('262143-01-01' AS date) THEN NULL ELSE \
    CAST(extract(month FROM {0}) AS int4) END)";
const DAY: &str = "(CASE WHEN isfinite({0}) AND {0} >= CAST('262143-01-01' AS date) THEN NULL ELSE \
    CAST(extract(day FROM {0}) AS int4) END)";
const PARTS: &str = "a node has a year 0 before the year 1, and parts of dates up to the year 262142";

const FUNCTIONS: &[SqlSpelling] = &[
    row("date_part year", YEAR, DATED, PARTS, "functions_are_written"),
    row("date_part month", MONTH, DATED, PARTS, "functions_are_written"),
    row("date_part day", DAY, DATED, PARTS, "functions_are_written"),
    row_if(
        TWO_ARGUMENTS,
        row("substr", "substr({0}, {1#})", &[Text, Integer], "counts characters", "functions_are_written"),
    ),
    row_if(
        PART_OF_TEXT,
        row("substr", "substr({0}, {1#}, {2#})", &[Text, Integer], "counts characters", "functions_are_written"),
    ),
    row("character_length", "char_length({0})", &[Text], "counts characters", "functions_are_written"),
    row("octet_length", "octet_length({0})", &[Text], "counts bytes of UTF-8", "functions_are_written"),
    row("coalesce", "COALESCE({0..!})", ALL, "the arguments have one type", "functions_are_written"),
    row("nullif", "NULLIF({0!}, {1!})", GROUPED, "compares strings by their bytes", "functions_are_written"),
];

const TWO_ARGUMENTS: SqlCondition = SqlCondition {
    words: "the position is a positive literal",
    holds: |operands, result| operands.len() == 2 && (PART_OF_TEXT.holds)(operands, result),
};

const EXACT: &str = "exact; a sum that does not fit the type of the result is an error, as at a node";

const AGGREGATES: &[SqlSpelling] = &[
    row("count", "count({0}){filter}", ALL, "does not count NULL", "aggregates_are_written"),
    row(
        "count distinct",
        "count(DISTINCT {0}){filter}",
        GROUPED,
        "compares strings by their bytes",
        "aggregates_are_written",
    ),
    row("sum", "CAST(sum({0}){filter} AS int8)", &[Integer], EXACT, "aggregates_are_written"),
    row("sum", "sum({0}){filter}", &[Decimal], EXACT, "aggregates_are_written"),
    row(
        "sum_wide",
        "CAST(sum({0}){filter} AS numeric)",
        &[Integer],
        "exact: this is the part of a sum that another node completes",
        "aggregates_are_written",
    ),
    row_if(
        AVERAGE_OF_DECIMALS,
        row(
            "avg",
            "(div(sum({0}){filter} * CAST('1e{scale}' AS numeric), CAST(count({0}){filter} AS numeric)) \
             * CAST('1e-{scale}' AS numeric))",
            &[Decimal],
            "`div` truncates to an integer, as a node truncates to the last digit",
            "aggregates_are_written",
        ),
    ),
    row("min", "min({0!}){filter}", EXTREMES, COMPARED, "aggregates_are_written"),
    row("max", "max({0!}){filter}", EXTREMES, COMPARED, "aggregates_are_written"),
];

const AVERAGE_OF_DECIMALS: SqlCondition = SqlCondition {
    words: "the values have at most 38 digits",
    holds: |operands, result| {
        matches!(result, DataType::Decimal128(..))
            && operands.iter().all(|operand| matches!(operand.data_type, DataType::Decimal128(..)))
            && Digits::of(result).is_some()
    },
};

const CASTS: &[SqlSpelling] = &[
    row_if(
        INTEGER_WIDENS,
        row("integer", "CAST({0} AS {type})", &[Integer, Unsigned], "keeps every value", "casts_are_written"),
    ),
    row_if(
        INTEGER_AS_DECIMAL,
        row("decimal", "CAST({0} AS {type})", &[Integer, Unsigned], "keeps every value", "casts_are_written"),
    ),
    row_if(DECIMAL_WIDENS, row("decimal", "CAST({0} AS {type})", &[Decimal], "keeps every value", "casts_are_written")),
    row_if(
        INTEGER_AS_DOUBLE,
        row("double", "CAST({0} AS float8)", &[Integer, Unsigned], "keeps every value", "casts_are_written"),
    ),
    row(
        "date",
        "CAST({0} AS date)",
        &[Timestamp, Instant],
        "the day that the timestamp is in, also before 1970",
        "casts_are_written",
    ),
];

fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => "int2".to_owned(),
        DataType::UInt16 => "int4".to_owned(),
        other => wire_type(other)?,
    })
}

/// Returns the type in which the reader gets the values of a column.
fn wire_type(data_type: &DataType) -> Option<String> {
    let name = match data_type {
        DataType::Boolean => "bool",
        DataType::Int16 => "int2",
        DataType::Int32 => "int4",
        DataType::Int64 | DataType::UInt32 => "int8",
        DataType::Float32 => "float4",
        DataType::Float64 => "float8",
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            return decimal_type(data_type, 76, 76).map(|digits| format!("numeric{digits}"));
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp",
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if matches!(&**zone, "UTC" | "+00:00") => "timestamptz",
        DataType::Time64(TimeUnit::Microsecond) => "time",
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval",
        DataType::List(item) => return wire_type(item.data_type()).map(|item| format!("{item}[]")),
        _ => return None,
    };
    Some(name.to_owned())
}
