//! Errors about the arguments of functions. DataFusion lists the signatures of a function in its own words.

use portolan_connectors::Subject;

use super::Message;
use super::sql_words::{in_parentheses, in_sql_words, split};

/// The start of the useful part of DataFusion's message if a function does not accept its arguments.
const NO_SIGNATURE: &str = "No function matches the given name and argument types '";
/// The end of that part.
const SIGNATURES: &str = "'. You might need to add explicit type casts";

/// The largest number of valid calls that an error lists.
const CALLS_LISTED: usize = 4;

/// Describes a call whose arguments have the wrong number or the wrong types; `None` for other messages.
pub(super) fn message(message: &str) -> Option<Message> {
    let (name, given, valid) = refused(message)?;
    let given = match split(&given, ',').len() {
        0 => "a call without arguments".to_owned(),
        1 => in_sql_words(&given),
        _ => format!("({})", in_sql_words(&given)),
    };
    let is_string = given == "VARCHAR" || given.starts_with("(VARCHAR,");
    let valid = match name.as_str() {
        // `text[1]` and `text[1:3]` are calls of these.
        "array_element" | "array_slice" if is_string => {
            ": `[…]` reads an array; for characters of a string, write `substr(text, 1, 1)`".to_owned()
        }
        _ if valid.is_empty() => String::new(),
        _ => format!(": write {}", either(&valid)),
    };
    let text = format!("function `{name}` does not accept {given}{valid}");
    Some(Message::new(text).about(Subject::Function(name)))
}

/// Returns the name of a function, the types of its arguments, and the valid calls.
fn refused(message: &str) -> Option<(String, String, Vec<String>)> {
    if let Some((call, signatures)) = message.split_once(NO_SIGNATURE).and_then(|(_, rest)| rest.split_once(SIGNATURES))
    {
        let name = call.split('(').next()?;
        let given = in_parentheses(&call[name.len()..])?;
        return Some((name.to_owned(), given.to_owned(), valid_calls(name, signatures)));
    }
    let (name, rest) = message
        .split_once("Failed to coerce arguments to satisfy a call to '")?
        .1
        .split_once("' function: coercion from ")?;
    let (given, _) = rest.split_once(" to the signature ")?;
    Some((name.to_owned(), given.to_owned(), vec![]))
}

/// Returns the calls that a list of signatures stands for, each once.
fn valid_calls(name: &str, signatures: &str) -> Vec<String> {
    let mut calls: Vec<String> = vec![];
    for signature in signatures.lines().filter_map(|line| line.trim().strip_prefix(name)) {
        let Some(arguments) = in_parentheses(signature).and_then(described) else { continue };
        let call = format!("`{name}({arguments})`");
        if calls.len() < CALLS_LISTED && !calls.contains(&call) {
            calls.push(call);
        }
    }
    calls
}

/// Describes the arguments of a signature; `None` if the signature does not list them.
fn described(signature: &str) -> Option<String> {
    if signature.is_empty() || signature == "NullAry()" {
        return Some(String::new());
    }
    let of_one_kind = |kind: &str, noun: &str| {
        let number = signature.strip_prefix(kind).and_then(in_parentheses)?.parse::<usize>().ok()?;
        Some(vec![noun; number.min(8)].join(", "))
    };
    let same = of_one_kind("String", "string")
        .or_else(|| of_one_kind("Numeric", "number"))
        .or_else(|| of_one_kind("Comparable", "any"));
    if same.is_some() {
        return same;
    }
    let arguments = split(signature, ',').into_iter().map(|argument| {
        // The name of a parameter may come first.
        let types = argument.rsplit(": ").next().unwrap_or(argument);
        let mut nouns: Vec<&str> = types.split('/').map(noun).collect::<Option<_>>()?;
        nouns.dedup();
        Some(nouns.join(" or "))
    });
    Some(arguments.collect::<Option<Vec<_>>>()?.join(", "))
}

/// Returns the kind of values that a type in a signature stands for.
fn noun(data_type: &str) -> Option<&'static str> {
    let head = data_type.split('(').next().unwrap_or(data_type).trim();
    Some(match head {
        "Utf8" | "LargeUtf8" | "Utf8View" | "String" | "string" => "string",
        "Boolean" => "boolean",
        "Date" | "Date32" | "Date64" => "date",
        "Timestamp" => "timestamp",
        "Time" | "Time32" | "Time64" => "time",
        "Interval" | "Duration" => "interval",
        "Binary" | "LargeBinary" | "BinaryView" | "FixedSizeBinary" => "bytes",
        "List" | "LargeList" | "ListView" | "LargeListView" | "FixedSizeList" | "array" | "recursive_array" => "array",
        "Map" | "map_array" => "map",
        "Struct" => "struct",
        "Any" | "Comparable" | "element" => "any",
        "Null" => "NULL",
        ".." => "…",
        "Numeric" | "Integer" | "Float" | "Decimal" | "index" => "number",
        other if ["Int", "UInt", "Float", "Decimal"].iter().any(|family| is_sized(other, family)) => "number",
        _ => return None,
    })
}

/// True for `Int64` of the family `Int`.
fn is_sized(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|bits| !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns alternatives as `a, b or c`.
pub(super) fn either(alternatives: &[String]) -> String {
    match alternatives {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn said(call: &str, signatures: &[&str]) -> String {
        let signatures: String = signatures.iter().map(|signature| format!("\n\t{signature}")).collect();
        let text = format!("Internal error: no. {NO_SIGNATURE}{call}{SIGNATURES}.\n\tCandidate functions:{signatures}");
        message(&text).unwrap().text
    }

    #[test]
    fn what_was_given_and_what_is_accepted() {
        let sum = ["sum(Decimal)", "sum(UInt64)", "sum(Int64)", "sum(Float64)", "sum(Duration)", "sum(Interval)"];
        let accepts = "write `sum(number)` or `sum(interval)`";
        assert_eq!(said("sum(Utf8View)", &sum), format!("function `sum` does not accept VARCHAR: {accepts}"));
        assert_eq!(said("sum()", &sum), format!("function `sum` does not accept a call without arguments: {accepts}"));
        for (call, signature, expected) in [
            ("substr(Int64)", "substr(str: String, start_pos: Int64)", "BIGINT: write `substr(string, number)`"),
            ("lower(Date32)", "lower(String(1))", "DATE: write `lower(string)`"),
            (
                "concat(Date32, Decimal128(3, 1))",
                "concat(Utf8View/Utf8, ..)",
                "(DATE, DECIMAL(3,1)): write `concat(string, …)`",
            ),
            ("to_date(Boolean)", "to_date(Utf8/Int64)", "BOOLEAN: write `to_date(string or number)`"),
            ("now(Int64)", "now(NullAry())", "BIGINT: write `now()`"),
            ("power(Utf8, Int64)", "power(Numeric(2))", "(VARCHAR, BIGINT): write `power(number, number)`"),
            ("coalesce(Date32, Int64)", "coalesce(UserDefined)", "(DATE, BIGINT)"),
            (
                "array_element(Utf8View, Int64)",
                "array_element(array, index)",
                "(VARCHAR, BIGINT): `[…]` reads an array; for characters of a string, write `substr(text, 1, 1)`",
            ),
            (
                "f(Timestamp(ns, \"UTC\"))",
                "f(Timestamp(ns), array)",
                "TIMESTAMP WITH TIME ZONE: write `f(timestamp, array)`",
            ),
        ] {
            let name = call.split('(').next().unwrap();
            assert_eq!(said(call, &[signature]), format!("function `{name}` does not accept {expected}"));
        }
    }

    #[test]
    fn other_messages_are_left_alone() {
        let text = "Failed to coerce arguments to satisfy a call to 'f' function: coercion from Utf8, Int64 to the \
                    signature Exact([Int64]) failed";
        let said = message(text).unwrap();
        assert_eq!(said.text, "function `f` does not accept (VARCHAR, BIGINT)");
        assert_eq!(said.subject, Some(Subject::Function("f".to_owned())));
        assert!(message("Invalid function 'f'").is_none());
    }
}
