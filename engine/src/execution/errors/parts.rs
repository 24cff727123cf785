//! Parts of statements that DataFusion does not plan. Its messages often end with a dump of the part.

use super::Message;
use super::phrases::between;
use super::sql_words::in_sql_words;

/// Describes a part of a statement that is not supported; `None` for other messages.
pub(super) fn message(message: &str) -> Option<Message> {
    literal(message)
        .or_else(|| field(message))
        .or_else(|| window(message))
        .or_else(|| call(message))
        .or_else(|| dump(message))
        .map(Message::new)
}

/// Kinds of constants.
fn literal(message: &str) -> Option<String> {
    if let Some(digits) = between(message, "Invalid HexStringLiteral '", "'") {
        return Some(format!("`X'{digits}'` needs an even number of hexadecimal digits"));
    }
    if let Some(name) = between(message, "variable [\"", "\"").filter(|_| message.ends_with("has no type information"))
    {
        return Some(format!("there are no variables such as `{name}`: bind a parameter, such as `$1`"));
    }
    let kind = message.strip_prefix("Unsupported Value '")?;
    Some(match kind.contains("ByteString") {
        true => "a string of bytes is written as X'6162'".to_owned(),
        false => "this kind of constant is not supported: write a string as 'abc'".to_owned(),
    })
}

/// Fields of values that have none.
fn field(message: &str) -> Option<String> {
    if message.starts_with("Dot access not supported for non-string expr") {
        return Some("a dot follows only names: write `(…)['field']` for a field of an expression".to_owned());
    }
    if let Some(parts) = message.strip_prefix("could not parse compound identifier from ") {
        let parts: Vec<&str> = parts.trim_matches(['[', ']']).split(", ").map(|part| part.trim_matches('"')).collect();
        return Some(format!("`{}` is neither a column nor a field of one", parts.join(".")));
    }
    let (_, data_type) = message
        .strip_prefix("Cannot access field at argument ")?
        .strip_suffix(" is not Struct, Map, or NULL")?
        .split_once(": type ")?;
    let data_type = in_sql_words(data_type);
    let instead = match data_type.as_str() {
        "VARCHAR" => "for JSON in a string, write `document ->> 'name'`",
        _ => "only structs and maps have fields with names",
    };
    Some(format!("{data_type} has no fields: {instead}"))
}

/// Window functions.
fn window(message: &str) -> Option<String> {
    if let Some(name) = between(message, "The window ", " is not defined!") {
        return Some(format!("there is no window `{name}`: define it with WINDOW {name} AS (…)"));
    }
    if message.starts_with("FILTER clause can only be used with aggregate window functions") {
        let name = between(message, "Found in '", "(")?;
        return Some(format!("`{name}` is no aggregate function: it takes no FILTER"));
    }
    let is_misplaced = message.starts_with("Physical plan does not support logical expression WindowFunction");
    is_misplaced.then(|| {
        "a window function cannot be in WHERE, HAVING or a condition of a join: write QUALIFY, or compute it in a subquery \
         in FROM"
            .to_owned()
    })
}

/// Clauses and arguments of calls.
fn call(message: &str) -> Option<String> {
    if let Some((name, clause)) = message.strip_prefix("Calling ").and_then(|rest| rest.split_once(": ")) {
        let (clause, _) = clause.split_once(" not supported in function arguments")?;
        return Some(format!("`{}` takes no {clause} in its brackets", name.to_lowercase()));
    }
    if let Some(name) = message.strip_prefix("[IGNORE | RESPECT] NULLS are not permitted for ") {
        return Some(format!("`{name}` takes no IGNORE NULLS and no RESPECT NULLS"));
    }
    if message.starts_with("Argument #") && message.contains(", got Column(") {
        let instead = "write `unnest(generate_series(…))` in the SELECT list for those of columns";
        return Some(format!("the arguments of a function in FROM are constants: {instead}"));
    }
    if let Some((name, data_type)) =
        message.strip_prefix("[return_type] ").and_then(|m| m.split_once(" not supported for "))
    {
        return Some(format!("function `{}` does not accept {}", name.to_lowercase(), in_sql_words(data_type)));
    }
    if let Some(number) = between(message, "Array overflow on abs(", ")") {
        return Some(format!(
            "integer overflow: abs({number}) does not fit its type; CAST the operand to DECIMAL(38, 0)"
        ));
    }
    message.starts_with("MINUS ").then(|| "MINUS is not supported: write EXCEPT".to_owned())
}

/// A message that ends with a dump of the part.
fn dump(message: &str) -> Option<String> {
    const DUMPS: [&str; 7] =
        ["Ident {", "ValueWithSpan {", "Span(", "quote_style", "ObjectName(", "Function {", "Location("];
    let dump = DUMPS.iter().filter_map(|dump| message.find(dump)).min()?;
    Some(match message[..dump].split_once(": ") {
        Some((what, _)) if !what.starts_with("Unsupported ast node") => what.to_owned(),
        _ => "this expression is not supported".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn parts_are_described_with_what_to_write() {
        for (text, expected) in [
            ("Unsupported Value 'SingleQuotedByteStringLiteral(\"101\")'", "a string of bytes is written as X'6162'"),
            (
                "Unsupported Value 'TripleSingleQuotedString(\"x\")'",
                "this kind of constant is not supported: write a string as 'abc'",
            ),
            ("Invalid HexStringLiteral 'abc'", "`X'abc'` needs an even number of hexadecimal digits"),
            (
                "variable [\"@x\"] has no type information",
                "there are no variables such as `@x`: bind a parameter, such as `$1`",
            ),
            (
                "Dot access not supported for non-string expr: Identifier(Ident { value: \"agent\" })",
                "a dot follows only names: write `(…)['field']` for a field of an expression",
            ),
            (
                "could not parse compound identifier from [\"n_name\", \"foo\"]",
                "`n_name.foo` is neither a column nor a field of one",
            ),
            (
                "Cannot access field at argument 1: type Utf8View is not Struct, Map, or NULL",
                "VARCHAR has no fields: for JSON in a string, write `document ->> 'name'`",
            ),
            (
                "Cannot access field at argument 1: type List(Int64) is not Struct, Map, or NULL",
                "BIGINT[] has no fields: only structs and maps have fields with names",
            ),
            ("The window w is not defined!", "there is no window `w`: define it with WINDOW w AS (…)"),
            (
                "FILTER clause can only be used with aggregate window functions. Found in 'lag(t.a) FILTER (WHERE …)'",
                "`lag` is no aggregate function: it takes no FILTER",
            ),
            (
                "Physical plan does not support logical expression WindowFunction(WindowFunction { fun: …",
                "a window function cannot be in WHERE, HAVING or a condition of a join: write QUALIFY, or compute it in a \
                 subquery in FROM",
            ),
            (
                "Calling ARRAY_AGG: LIMIT not supported in function arguments: 2",
                "`array_agg` takes no LIMIT in its brackets",
            ),
            ("[IGNORE | RESPECT] NULLS are not permitted for sum", "`sum` takes no IGNORE NULLS and no RESPECT NULLS"),
            (
                "Argument #2 must be an INTEGER or NULL, got Column(Column { relation: None, name: \"a\" })",
                "the arguments of a function in FROM are constants: write `unnest(generate_series(…))` in the SELECT list \
                 for those of columns",
            ),
            ("[return_type] SUM not supported for Null", "function `sum` does not accept NULL"),
            (
                "Int64Array overflow on abs(-9223372036854775808)",
                "integer overflow: abs(-9223372036854775808) does not fit its type; CAST the operand to DECIMAL(38, 0)",
            ),
            ("MINUS  not implemented", "MINUS is not supported: write EXCEPT"),
            (
                "Unsupported SQL unary operator: x: Identifier(Ident { value: \"agent\", quote_style: None })",
                "Unsupported SQL unary operator",
            ),
            (
                "Unsupported ast node in sqltorel: Convert { is_try: false, expr: Identifier(Ident { value: \"a\" }) }",
                "this expression is not supported",
            ),
        ] {
            assert_eq!(message(text).unwrap().text, expected);
        }
        assert!(message("anything else").is_none());
    }
}
