//! The SQL of SQLite.

use arrow::datatypes::DataType;

use super::{
    BY_POSITIVE_LITERAL, DIFFERENCE_FITS, INTEGER_AS_DOUBLE, INTEGER_WIDENS, PART_OF_TEXT, PRODUCT_FITS,
    SMALL_INTEGERS, SUM_FITS, row, row_if, shapes,
};
use crate::sql::allowed::SqlKind::{self, Boolean, Date, Double, Integer, Text, Unsigned};
use crate::sql::allowed::{SqlCondition, SqlSpelling};
use crate::sql::dialect::{LiteralForm, NullOrder, PatternForm, SqlDialect};

/// The SQL of SQLite 3.39 and later. Every value of a column that may be compared has the storage class of its type:
/// integers, doubles and strings as such, dates as strings like `2024-01-31`, Booleans as 0 and 1.
pub static SQLITE: SqlDialect = SqlDialect {
    name: "SQLite",
    quote: '"',
    shapes: &shapes::ALL,
    operators: OPERATORS,
    functions: FUNCTIONS,
    aggregates: AGGREGATES,
    casts: CASTS,
    type_name,
    wire_type: None,
    literals: LiteralForm::Plain,
    exact_text: "({0} COLLATE BINARY)",
    text_tie: None,
    patterns: PatternForm::Glob,
    nulls: NullOrder::Written,
    endless: Some("-1"),
    caches_subqueries: false,
    hashes_in: false,
    has_filter: true,
    max_depth: 30,
    max_tables: 50,
    max_brackets: 60,
    // SQLite refuses more than 1,000,000 bytes. A range of rows is added.
    max_bytes: 999_000,
};

const ALL: &[SqlKind] = &[Boolean, Integer, Unsigned, Double, Text, Date];
const ORDERED: &[SqlKind] = &[Integer, Unsigned, Double, Text, Date];
const GROUPED: &[SqlKind] = &[Boolean, Integer, Unsigned, Text, Date];
const EXTREMES: &[SqlKind] = &[Integer, Unsigned, Text, Date];

const LOGIC: &str = "three-valued logic is the same, with 1 and 0 for TRUE and FALSE";
const COMPARED: &str = "the values of a column have one storage class; strings compare by their bytes in the collation \
    BINARY; there is no NaN";

const LISTED: &str = "the values of a column have one storage class; strings compare in the collation of the operand on the \
    left, whatever those of the list are; there is no NaN";

const OPERATORS: &[SqlSpelling] = &[
    row("AND", "({0} AND {1})", &[Boolean], LOGIC, "logic_is_the_same"),
    row("OR", "({0} OR {1})", &[Boolean], LOGIC, "logic_is_the_same"),
    row("NOT", "(NOT {0})", &[Boolean], LOGIC, "logic_is_the_same"),
    row("IS NULL", "({0} IS NULL)", ALL, LOGIC, "logic_is_the_same"),
    row("IS NOT NULL", "({0} IS NOT NULL)", ALL, LOGIC, "logic_is_the_same"),
    row("IS TRUE", "({0} IS TRUE)", &[Boolean], LOGIC, "logic_is_the_same"),
    row("IS NOT TRUE", "({0} IS NOT TRUE)", &[Boolean], LOGIC, "logic_is_the_same"),
    row("IS FALSE", "({0} IS FALSE)", &[Boolean], LOGIC, "logic_is_the_same"),
    row("IS NOT FALSE", "({0} IS NOT FALSE)", &[Boolean], LOGIC, "logic_is_the_same"),
    row("=", "({0!} = {1!})", ALL, COMPARED, "comparisons_are_the_same"),
    row("<>", "({0!} <> {1!})", ALL, COMPARED, "comparisons_are_the_same"),
    row("<", "({0!} < {1!})", ORDERED, COMPARED, "comparisons_are_the_same"),
    row("<=", "({0!} <= {1!})", ORDERED, COMPARED, "comparisons_are_the_same"),
    row(">", "({0!} > {1!})", ORDERED, COMPARED, "comparisons_are_the_same"),
    row(">=", "({0!} >= {1!})", ORDERED, COMPARED, "comparisons_are_the_same"),
    row("BETWEEN", "({0!} BETWEEN {1!} AND {2!})", ORDERED, COMPARED, "comparisons_are_the_same"),
    row("IS DISTINCT FROM", "({0!} IS NOT {1!})", ALL, COMPARED, "comparisons_are_the_same"),
    row("IS NOT DISTINCT FROM", "({0!} IS {1!})", ALL, COMPARED, "comparisons_are_the_same"),
    row("IN", "({0!} IN ({1..}))", ALL, LISTED, "lists_are_the_same"),
    row(
        "LIKE",
        "({0} GLOB {1})",
        &[Text],
        "only literal patterns: `GLOB` is case-sensitive, with `*` and `?` for `%` and `_`",
        "patterns_are_the_same",
    ),
    row("CASE", "(CASE WHEN … THEN {0!} … END)", ALL, "every branch has the type of the result", "cases_are_the_same"),
    row_if(SUM_FITS, row("+", "({0} + {1})", &[Integer], "never overflows", "arithmetic_is_the_same")),
    row_if(DIFFERENCE_FITS, row("-", "({0} - {1})", &[Integer], "never overflows", "arithmetic_is_the_same")),
    row_if(PRODUCT_FITS, row("*", "({0} * {1})", &[Integer], "never overflows", "arithmetic_is_the_same")),
    row_if(BY_POSITIVE_LITERAL, row("/", "({0} / {1})", &[Integer], "truncates", "arithmetic_is_the_same")),
    row_if(
        BY_POSITIVE_LITERAL,
        row("%", "({0} % {1})", &[Integer], "has the sign of the dividend", "arithmetic_is_the_same"),
    ),
    row("GROUP BY", "{0!}", GROUPED, COMPARED, "groups_are_the_same"),
    row("DISTINCT", "{0!}", GROUPED, COMPARED, "groups_are_the_same"),
    row("ORDER BY", "{0!}", ORDERED, COMPARED, "orders_are_the_same"),
];

const PARTS: &str = "a date has four digits for its year and two each for its month and its day";

const FUNCTIONS: &[SqlSpelling] = &[
    row("date_part year", "CAST(substr({0}, 1, 4) AS INTEGER)", &[Date], PARTS, "functions_are_the_same"),
    row("date_part month", "CAST(substr({0}, 6, 2) AS INTEGER)", &[Date], PARTS, "functions_are_the_same"),
    row("date_part day", "CAST(substr({0}, 9, 2) AS INTEGER)", &[Date], PARTS, "functions_are_the_same"),
    row_if(
        TWO_ARGUMENTS,
        row("substr", "substr({0}, {1#})", &[Text, Integer], "counts characters", "functions_are_the_same"),
    ),
    row_if(
        PART_OF_TEXT,
        row("substr", "substr({0}, {1#}, {2#})", &[Text, Integer], "counts characters", "functions_are_the_same"),
    ),
    row("character_length", "length({0})", &[Text], "counts characters", "functions_are_the_same"),
    row(
        "octet_length",
        "length(CAST({0} AS BLOB))",
        &[Text],
        "counts bytes, in a file whose strings are UTF-8",
        "functions_are_the_same",
    ),
    row("coalesce", "COALESCE({0..!})", ALL, "the arguments have one type", "functions_are_the_same"),
    row("nullif", "NULLIF({0!}, {1!})", GROUPED, "compares strings by their bytes", "functions_are_the_same"),
];

const TWO_ARGUMENTS: SqlCondition = SqlCondition {
    words: "the position is a positive literal",
    holds: |operands, result| operands.len() == 2 && (PART_OF_TEXT.holds)(operands, result),
};

const AGGREGATES: &[SqlSpelling] = &[
    row("count", "count({0}){filter}", ALL, "does not count NULL", "groups_are_the_same"),
    row("count distinct", "count(DISTINCT {0!}){filter}", GROUPED, COMPARED, "groups_are_the_same"),
    row_if(
        SMALL_INTEGERS,
        row(
            "sum",
            "sum({0}){filter}",
            &[Integer],
            "fails on an overflow on the way to the total, which takes more than two thousand million rows here",
            "groups_are_the_same",
        ),
    ),
    row("min", "min({0!}){filter}", EXTREMES, COMPARED, "groups_are_the_same"),
    row("max", "max({0!}){filter}", EXTREMES, COMPARED, "groups_are_the_same"),
];

const CASTS: &[SqlSpelling] = &[
    row_if(
        INTEGER_WIDENS,
        row("integer", "{0}", &[Integer, Unsigned], "every integer has 64 bits", "arithmetic_is_the_same"),
    ),
    row_if(
        INTEGER_AS_DOUBLE,
        row("double", "CAST({0} AS REAL)", &[Integer, Unsigned], "keeps every value", "arithmetic_is_the_same"),
    ),
];

fn type_name(data_type: &DataType) -> Option<String> {
    let name = match SqlKind::of(data_type)? {
        Boolean | Integer | Unsigned => "INTEGER",
        Double => "REAL",
        Text | Date => "TEXT",
        _ => return None,
    };
    Some(name.to_owned())
}
