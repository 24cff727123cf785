//! The functions of DuckDB and PostgreSQL that stand for an expression of DataFusion. Each argument has one place, so
//! that nested calls do not grow. The book's page on functions lists them.

/// A function, and the expression that it stands for.
#[derive(Debug)]
pub(crate) struct Spelling {
    pub(crate) name: &'static str,
    /// The arguments, as the list of functions shows them.
    pub(crate) arguments: &'static str,
    pub(super) stands_for: StandsFor,
    /// The chapter of DataFusion's reference that the function would be in. An aggregate function has none.
    pub(crate) chapter: Option<&'static str>,
    pub(crate) what: &'static str,
}

/// What a function stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum StandsFor {
    /// An expression with a place for each of so many arguments.
    Template(usize, &'static str),
    /// Another function with the same arguments.
    Function(&'static str),
    /// An aggregate function that joins strings, with a comma as the default separator.
    Joined,
    /// The pattern in braces or with `%s`, with the arguments in their places.
    Text,
    /// A fact about the session.
    Session(Fact),
}

use StandsFor::{Function, Joined, Session, Template, Text};

/// A fact about the session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    User,
    Catalog,
    Schema,
    Version,
}

const DATES: &str = "Time and Date Functions";
const LISTS: &str = "Array Functions";
const NUMBERS: &str = "Math Functions";
const OTHERS: &str = "Other Functions";
const TEXTS: &str = "String Functions";

const fn scalar(
    chapter: &'static str,
    name: &'static str,
    arguments: &'static str,
    stands_for: StandsFor,
    what: &'static str,
) -> Spelling {
    Spelling { name, arguments, stands_for, chapter: Some(chapter), what }
}

const fn aggregate(name: &'static str, arguments: &'static str, stands_for: StandsFor, what: &'static str) -> Spelling {
    Spelling { name, arguments, stands_for, chapter: None, what }
}

/// A part or another property of a date.
const fn part(name: &'static str, template: &'static str, what: &'static str) -> Spelling {
    scalar(DATES, name, "at", Template(1, template), what)
}

/// All of them, in alphabetical order.
pub(crate) const SPELLINGS: &[Spelling] = &[
    aggregate("approx_count_distinct", "x", Function("approx_distinct"), "The approximate number of different values."),
    scalar(NUMBERS, "ceiling", "x", Function("ceil"), "The next integer that is not smaller."),
    aggregate(
        "count_if",
        "condition",
        Template(1, "count(CASE WHEN $1 THEN 1 END)"),
        "The number of rows for which the condition is true.",
    ),
    scalar(OTHERS, "current_catalog", "", Session(Fact::Catalog), "The catalog of names with two parts."),
    scalar(OTHERS, "current_database", "", Session(Fact::Catalog), "The catalog of names with two parts."),
    scalar(OTHERS, "current_schema", "", Session(Fact::Schema), "The schema of names with one part."),
    scalar(OTHERS, "current_user", "", Session(Fact::User), "The name of the session's principal."),
    part("date", "CAST($1 AS DATE)", "The date of a timestamp or a string."),
    part("day", "date_part('day', $1)", "The day of the month."),
    part("dayname", "to_char($1, '%A')", "The name of the day of the week, in English."),
    part("dayofmonth", "date_part('day', $1)", "The day of the month."),
    part("dayofweek", "date_part('dow', $1)", "The day of the week: 0 is Sunday."),
    part("dayofyear", "date_part('doy', $1)", "The day of the year, from 1."),
    part("epoch", "date_part('epoch', $1)", "The seconds since 1970."),
    aggregate("every", "condition", Function("bool_and"), "True if the condition is true for all rows."),
    scalar(
        TEXTS,
        "format",
        "pattern, x, …",
        Text,
        "The pattern with the arguments in the places of {}, or of %s. With {}, the result is NULL if an argument is.",
    ),
    scalar(OTHERS, "gen_random_uuid", "", Function("uuid"), "A random UUID."),
    aggregate(
        "group_concat",
        "text[, separator]",
        Joined,
        "The strings of all rows, with a separator or a comma between.",
    ),
    part("hour", "date_part('hour', $1)", "The hour."),
    scalar(
        OTHERS,
        "if",
        "condition, a, b",
        Template(3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
        "The first value if the condition is true, and the second one otherwise.",
    ),
    part("isodow", "date_part('isodow', $1)", "The day of the week: 1 is Monday, 7 is Sunday."),
    part("isoyear", "date_part('isoyear', $1)", "The year of the week of ISO 8601."),
    part(
        "last_day",
        "CAST(date_trunc('month', CAST(CAST($1 AS DATE) AS TIMESTAMP(6))) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)",
        "The last day of the month.",
    ),
    scalar(TEXTS, "lcase", "text", Function("lower"), "The text in lower case."),
    aggregate("list", "x", Function("array_agg"), "The values of all rows."),
    scalar(LISTS, "list_first", "list", Template(1, "array_element($1, 1)"), "The first item."),
    scalar(LISTS, "list_last", "list", Template(1, "array_element($1, -1)"), "The last item."),
    scalar(LISTS, "list_min", "list", Function("array_min"), "The smallest item."),
    scalar(LISTS, "list_value", "x, …", Function("make_array"), "A list of the arguments."),
    scalar(
        DATES,
        "localtimestamp",
        "",
        Template(0, "CAST(now() AS TIMESTAMP(6))"),
        "The start of the statement, in UTC.",
    ),
    part("microsecond", "date_part('microsecond', $1)", "The seconds of the minute, in microseconds."),
    part("millisecond", "date_part('millisecond', $1)", "The seconds of the minute, in milliseconds."),
    part("minute", "date_part('minute', $1)", "The minute."),
    scalar(NUMBERS, "mod", "a, b", Template(2, "($1 % $2)"), "The remainder of a division."),
    part("month", "date_part('month', $1)", "The month."),
    part("monthname", "to_char($1, '%B')", "The name of the month, in English."),
    part("quarter", "date_part('quarter', $1)", "The quarter of the year."),
    part("second", "date_part('second', $1)", "The whole seconds of the minute."),
    scalar(OTHERS, "session_user", "", Session(Fact::User), "The name of the session's principal."),
    aggregate(
        "string_agg",
        "text[, separator]",
        Joined,
        "The strings of all rows, with a separator or a comma between.",
    ),
    scalar(TEXTS, "strlen", "text", Function("octet_length"), "The number of bytes."),
    scalar(OTHERS, "struct_extract", "struct, field", Function("get_field"), "A field of a struct."),
    scalar(TEXTS, "ucase", "text", Function("upper"), "The text in capitals."),
    aggregate("variance", "x", Function("var_samp"), "The variance of a sample."),
    scalar(OTHERS, "version", "", Session(Fact::Version), "The version of this node."),
    part("week", "date_part('week', $1)", "The week of ISO 8601."),
    part("weekofyear", "date_part('week', $1)", "The week of ISO 8601."),
    part("year", "date_part('year', $1)", "The year."),
];

/// True if the value of a function is a fact about the session, or about the node.
pub(crate) fn is_of_session(name: &str) -> bool {
    SPELLINGS.iter().any(|spelling| spelling.name == name && matches!(spelling.stands_for, Session(_)))
}
