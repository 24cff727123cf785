//! The values that a `CHECK` permits, if it is a list of values of one column.
//!
//! PostgreSQL prints `CHECK (status IN ('a', 'b'))` as `CHECK ((status = ANY (ARRAY['a'::text, 'b'::text])))`, with casts
//! and brackets that depend on the type of the column.

use crate::sql::in_quotes;

/// Returns the values that a constraint permits in a column; `None` if it is anything but a list of them.
pub(super) fn permitted(definition: &str, column: &str) -> Option<Vec<String>> {
    let condition = definition.strip_prefix("CHECK ")?.trim();
    let condition = without_brackets(condition.strip_suffix("NO INHERIT").unwrap_or(condition).trim());
    let (left, values) = condition.split_once(" = ")?;
    let left = without_brackets(left.strip_suffix("::text").unwrap_or(left));
    let name = left.strip_prefix('"').and_then(|name| name.strip_suffix('"')).map(|name| name.replace("\"\"", "\""));
    if name.as_deref().unwrap_or(left) != column {
        return None;
    }
    match values.strip_prefix("ANY ") {
        Some(list) => {
            // The cast of the whole array, such as `(ARRAY[…])::text[]`, changes no value.
            let list = without_brackets(list);
            let list = without_brackets(list.strip_suffix("::text[]").unwrap_or(list));
            literals(list.strip_prefix("ARRAY[")?.strip_suffix(']')?)
        }
        None => literals(values).filter(|values| values.len() == 1),
    }
}

/// Removes the brackets around the whole text.
fn without_brackets(mut text: &str) -> &str {
    while let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        if !is_balanced(inner) {
            break;
        }
        text = inner;
    }
    text
}

/// True if no bracket closes more than was opened, outside of quotes.
fn is_balanced(text: &str) -> bool {
    let (mut depth, mut quote) = (0_u32, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            (None, _) => {}
        }
    }
    depth == 0 && quote.is_none()
}

/// Returns the values of literals with commas between them; `None` if there is anything else.
fn literals(mut text: &str) -> Option<Vec<String>> {
    let mut values = vec![];
    loop {
        let (value, rest) = literal(text)?;
        values.push(value);
        match rest.strip_prefix(", ") {
            Some(next) => text = next,
            None => return rest.is_empty().then_some(values),
        }
    }
}

/// Returns the value of the literal at the start, and the text behind it and its cast.
fn literal(text: &str) -> Option<(String, &str)> {
    let (mut value, rest) = match text.strip_prefix('\'') {
        Some(quoted) => in_quotes(quoted)?,
        None => {
            let bare = text.strip_prefix('(').unwrap_or(text);
            let end = bare.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(bare.len());
            let (number, rest) = bare.split_at(end);
            let rest = if bare.len() == text.len() { rest } else { rest.strip_prefix(')')? };
            (number.parse::<f64>().is_ok().then(|| number.to_owned())?, rest)
        }
    };
    let Some(cast) = rest.strip_prefix("::") else { return Some((value, rest)) };
    let end = cast.find(',').unwrap_or(cast.len());
    let (type_name, rest) = cast.split_at(end);
    match type_name {
        "bpchar" => value.truncate(value.trim_end_matches(' ').len()),
        "text" | "character varying" | "integer" | "bigint" | "smallint" | "numeric" | "\"char\"" | "name" => {}
        _ => return None,
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_values_are_read() {
        let cases: [(&str, &[&str]); 8] = [
            ("CHECK ((a = ANY (ARRAY['new'::text, 'it''s, done'::text])))", &["new", "it's, done"]),
            (
                "CHECK (((a)::text = ANY ((ARRAY['a'::character varying, '(b)'::character varying])::text[])))",
                &["a", "(b)"],
            ),
            ("CHECK ((a = ANY (ARRAY[1, 2, '-3'::integer])))", &["1", "2", "-3"]),
            ("CHECK ((a = ANY (ARRAY[1, (2)::bigint])))", &["1", "2"]),
            ("CHECK ((a = ANY (ARRAY['a'::bpchar, 'b  '::bpchar])))", &["a", "b"]),
            ("CHECK ((a = 'only'::text))", &["only"]),
            ("CHECK (((a)::text = 'only'::text))", &["only"]),
            ("CHECK ((a = ANY (ARRAY[1.5, 2.25]))) NO INHERIT", &["1.5", "2.25"]),
        ];
        for (definition, expected) in cases {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(permitted(definition, "a"), Some(expected), "{definition}");
        }
        let definition = "CHECK ((\"A \"\"b\"\"\" = ANY (ARRAY['x'::text])))";
        assert_eq!(permitted(definition, "A \"b\""), Some(vec!["x".to_owned()]));
    }

    #[test]
    fn other_conditions_are_not() {
        let cases = [
            "CHECK ((a > 0))",
            "CHECK ((a = b))",
            "CHECK ((b = 'x'::text))",
            "CHECK (((a = 'x'::text) OR (b = 'y'::text)))",
            "CHECK (((a = 'x'::text) AND (b = 'y'::text)))",
            "CHECK ((a <> ALL (ARRAY['x'::text])))",
            "CHECK ((a = ANY (ARRAY['x'::text, lower('Y'::text)])))",
            "CHECK ((lower(a) = ANY (ARRAY['x'::text])))",
            "CHECK ((a = '2020-01-01'::date))",
            "CHECK ((a = E'x\\\\y'::text))",
            "FOREIGN KEY (a) REFERENCES b(id)",
            "",
        ];
        for definition in cases {
            assert_eq!(permitted(definition, "a"), None, "{definition}");
        }
    }
}
