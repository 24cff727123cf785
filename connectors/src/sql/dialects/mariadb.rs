//! The SQL of MariaDB, and what MySQL has in common with it.

use arrow::datatypes::DataType;

use super::{
    BY_POSITIVE_LITERAL, DECIMAL_WIDENS, DIFFERENCE_FITS, INTEGER_AS_DECIMAL, INTEGER_AS_DOUBLE, INTEGER_WIDENS,
    LITERALS, PART_OF_TEXT, PLUS_ZERO, PRODUCT_FITS, SUM_FITS, WITH_LITERAL, decimal_type, row, row_if, same_scale,
    shapes,
};
use crate::sql::allowed::SqlKind::{self, Boolean, Date, Decimal, Double, Instant, Integer, Text, Timestamp, Unsigned};
use crate::sql::allowed::{SqlCondition, SqlOperand, SqlSpelling};
use crate::sql::dialect::{LiteralForm, NullOrder, PatternForm, SqlDialect};
use crate::sql::numbers::Digits;

/// The SQL of MariaDB 10.6 and later.
///
/// The session has the modes `ANSI_QUOTES` and `NO_BACKSLASH_ESCAPES`, the time zone UTC and the character set `utf8mb4`,
/// as the values of columns have. It has a `max_sort_length` of at least three bytes for each character of the longest
/// string, such as 196,620 for `TEXT`, and a `sort_buffer_size` for 15 such keys. The server sorts, and so groups, by that
/// many bytes only: with the default of 1,024 a limit returns other rows, and groups are merged.
pub static MARIADB: SqlDialect = SqlDialect { shapes: &shapes::MARIADB, casts: CASTS, hashes_in: true, ..COMMON };

/// What MariaDB and MySQL have in common.
pub(super) const COMMON: SqlDialect = SqlDialect {
    name: "MariaDB",
    quote: '"',
    shapes: &shapes::WITHOUT_FULL_JOINS,
    operators: OPERATORS,
    functions: FUNCTIONS,
    aggregates: AGGREGATES,
    casts: COMMON_CASTS,
    type_name,
    wire_type: None,
    literals: LiteralForm::Named,
    exact_text: "({0} COLLATE utf8mb4_nopad_bin)",
    // A sort pads strings of `varchar` and `char` with zeros, so that one with a NUL character at its end ties.
    text_tie: Some("octet_length({0})"),
    patterns: PatternForm::Like('!'),
    nulls: NullOrder::Smallest,
    endless: Some("18446744073709551615"),
    caches_subqueries: true,
    hashes_in: false,
    has_filter: false,
    max_depth: 30,
    max_tables: 50,
    max_brackets: 60,
    max_bytes: 4 << 20,
};

/// The largest number of digits of a decimal.
const MAX_PRECISION: u8 = 65;
/// The largest number of digits after the point. MariaDB itself has 38.
const MAX_SCALE: i8 = 30;

const ALL: &[SqlKind] = &[Boolean, Integer, Unsigned, Decimal, Double, Text, Date, Timestamp, Instant];
const ORDERED: &[SqlKind] = &[Integer, Unsigned, Decimal, Double, Text, Date, Timestamp, Instant];
const GROUPED: &[SqlKind] = &[Boolean, Integer, Unsigned, Decimal, Text, Date, Timestamp, Instant];
const EXTREMES: &[SqlKind] = &[Integer, Unsigned, Decimal, Text, Date, Timestamp, Instant];
const DATED: &[SqlKind] = &[Date, Timestamp, Instant];

const LOGIC: &str = "three-valued logic is the same, with 1 and 0 for TRUE and FALSE";
const COMPARED: &str = "strings compare by their bytes, with trailing spaces, in a binary collation without padding; there \
    is no NaN";
const BYTES: &str = "the column's own collation finds every string that is equal by its bytes, by an index, and the binary \
    collation keeps these only; both are NULL for NULL";

const CUT: &str = "the server cuts the literal of `=` to the digits of an indexed column, and does not compare again";

const WITH_ONE: SqlCondition =
    SqlCondition { words: "the list has one value", holds: |operands, _| operands.len() == 2 };

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
    row_if(WITH_LITERAL, row("=", "({0} = {1} AND {0!} = {1!})", &[Text], BYTES, "strings_are_written")),
    row_if(
        WITH_LITERAL,
        row("=", "({0} BETWEEN {1} AND {1})", &[Decimal, Timestamp, Instant], CUT, "comparisons_are_written"),
    ),
    row("=", "({0!} = {1!})", ALL, COMPARED, "comparisons_are_written"),
    row("<>", "({0!} <> {1!})", ALL, COMPARED, "comparisons_are_written"),
    row("<", "({0!} < {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row("<=", "({0!} <= {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row(">", "({0!} > {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row(">=", "({0!} >= {1!})", ORDERED, COMPARED, "comparisons_are_written"),
    row("BETWEEN", "({0!} BETWEEN {1!} AND {2!})", ORDERED, COMPARED, "comparisons_are_written"),
    row("IS DISTINCT FROM", "(NOT ({0!} <=> {1!}))", ALL, COMPARED, "comparisons_are_written"),
    row("IS NOT DISTINCT FROM", "({0!} <=> {1!})", ALL, COMPARED, "comparisons_are_written"),
    row_if(LITERALS, row("IN", "({0} IN ({1..}) AND {0!} IN ({1..}))", &[Text], BYTES, "lists_are_written")),
    row_if(WITH_ONE, row("IN", "({0} BETWEEN {1} AND {1})", &[Decimal, Timestamp, Instant], CUT, "lists_are_written")),
    row("IN", "({0!} IN ({1..!}))", ALL, COMPARED, "lists_are_written"),
    row(
        "LIKE",
        "({0!} LIKE {1} ESCAPE '!')",
        &[Text],
        "only literal patterns: the binary collation distinguishes case and accents",
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
    row_if(BY_POSITIVE_LITERAL, row("/", "({0} DIV {1})", &[Integer], "truncates", "arithmetic_is_written")),
    row_if(
        BY_POSITIVE_LITERAL,
        row("%", "({0} % {1})", &[Integer], "has the sign of the dividend", "arithmetic_is_written"),
    ),
    row_if(FITS_DECIMAL, row("+", "({0} + {1})", &[Decimal], "exact", "arithmetic_is_written")),
    row_if(FITS_DECIMAL, row("-", "({0} - {1})", &[Decimal], "exact", "arithmetic_is_written")),
    row_if(FITS_DECIMAL, row("*", "({0} * {1})", &[Decimal], "exact", "arithmetic_is_written")),
    row_if(PLUS_ZERO, row("+", "({0} + {1})", &[Double], "keeps every value", "arithmetic_is_written")),
    row("unary -", "(- {0})", &[Decimal], "exact", "arithmetic_is_written"),
    row("GROUP BY", "{0!}", GROUPED, COMPARED, "groups_are_written"),
    row("DISTINCT", "{0!}", GROUPED, COMPARED, "groups_are_written"),
    row("ORDER BY", "{0!}", ORDERED, COMPARED, "orders_are_written"),
];

const FITS_DECIMAL: SqlCondition = SqlCondition {
    words: "the result at a node keeps every digit after the point, and the exact one has at most 64 digits, 30 of them \
        after the point",
    holds: |operands, result| same_scale(operands, result) && fits_decimal(operands),
};

/// Returns true if the sum, the difference and the product of these operands have all their digits.
fn fits_decimal(operands: &[SqlOperand]) -> bool {
    let digits: Option<Vec<Digits>> = operands.iter().map(|operand| operand.digits).collect();
    let (max_digits, max_scale) = (u32::from(MAX_PRECISION - 1), MAX_SCALE.unsigned_abs().into());
    digits.is_some_and(|digits| {
        let whole: u32 = digits.iter().map(|digits| digits.whole).sum();
        let scale: u32 = digits.iter().map(|digits| digits.scale).sum();
        scale <= max_scale && whole + scale <= max_digits
    })
}

const PARTS: &str = "years are from 0 to 9999";

const FUNCTIONS: &[SqlSpelling] = &[
    row("date_part year", "year({0})", DATED, PARTS, "functions_are_written"),
    row("date_part month", "month({0})", DATED, PARTS, "functions_are_written"),
    row("date_part day", "dayofmonth({0})", DATED, PARTS, "functions_are_written"),
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

const EXACT: &str =
    "exact, as a decimal; the reader reports a sum that does not fit the type of the result, as a node does";

const AGGREGATES: &[SqlSpelling] = &[
    row("count", "count({0})", ALL, "does not count NULL", "aggregates_are_written"),
    row("count distinct", "count(DISTINCT {0!})", GROUPED, COMPARED, "aggregates_are_written"),
    row("sum", "sum({0})", &[Integer, Unsigned, Decimal], EXACT, "aggregates_are_written"),
    row(
        "sum_wide",
        "sum({0})",
        &[Integer],
        "exact: this is the part of a sum that another node completes",
        "aggregates_are_written",
    ),
    row_if(
        AVERAGE_FITS,
        row(
            "avg",
            "CAST((sum({0}) * {up} - (sum({0}) * {up}) % count({0})) / count({0}) * {down} AS {type})",
            &[Decimal],
            "without the rest, the division is exact, as a node truncates to the last digit",
            "aggregates_are_written",
        ),
    ),
    row("min", "min({0!})", EXTREMES, COMPARED, "aggregates_are_written"),
    row("max", "max({0!})", EXTREMES, COMPARED, "aggregates_are_written"),
];

const AVERAGE_FITS: SqlCondition = SqlCondition {
    words: "the sum and the digits of the average have at most 60 digits together",
    holds: |operands, result| match (operands, Digits::of(result)) {
        ([operand], Some(result)) => Digits::of(&operand.data_type)
            .is_some_and(|digits| result.scale > 0 && digits.all() + SUM_DIGITS + result.scale <= 60),
        _ => false,
    },
};

/// The number of digits that a sum of 10,000 million values has more than a value.
const SUM_DIGITS: u32 = 10;

pub(super) const COMMON_CASTS: &[SqlSpelling] = &[INTEGER, DECIMAL_OF_INTEGER, DECIMAL, DOUBLE];

const CASTS: &[SqlSpelling] = &[
    INTEGER,
    DECIMAL_OF_INTEGER,
    DECIMAL,
    DOUBLE,
    row(
        "date",
        "CAST({0} AS date)",
        &[Timestamp, Instant],
        "the day that the timestamp is in; MySQL would round to the next day",
        "casts_are_written",
    ),
];

const INTEGER: SqlSpelling = row_if(
    INTEGER_WIDENS,
    row("integer", "CAST({0} AS SIGNED)", &[Integer, Unsigned], "keeps every value", "casts_are_written"),
);

const DECIMAL_OF_INTEGER: SqlSpelling = row_if(
    INTEGER_AS_DECIMAL,
    row("decimal", "CAST({0} AS {type})", &[Integer, Unsigned], "keeps every value", "casts_are_written"),
);

const DECIMAL: SqlSpelling = row_if(
    DECIMAL_WIDENS,
    row("decimal", "{0}", &[Decimal], "decimals of any digits are compared by their values", "casts_are_written"),
);

const DOUBLE: SqlSpelling = row_if(
    INTEGER_AS_DOUBLE,
    row("double", "CAST({0} AS DOUBLE)", &[Integer, Unsigned], "keeps every value", "casts_are_written"),
);

fn type_name(data_type: &DataType) -> Option<String> {
    let name = match SqlKind::of(data_type)? {
        Boolean | Integer => "SIGNED",
        Unsigned => "UNSIGNED",
        Decimal => {
            return decimal_type(data_type, MAX_PRECISION, MAX_SCALE).map(|digits| format!("DECIMAL{digits}"));
        }
        Double => "DOUBLE",
        Text => "CHAR",
        Date => "DATE",
        Timestamp | Instant => "DATETIME(6)",
        SqlKind::Time => return None,
    };
    Some(name.to_owned())
}
