//! The values that an `enum` type or a `CHECK` permits.

use crate::sql::in_quotes;

/// Returns the values of a type such as `enum('a','b')`; none for other types.
pub(super) fn of_type(native_type: &str) -> Vec<String> {
    labels("enum", native_type)
}

/// True if a column of this type holds exactly this text. The server compares with the labels without case, takes text of
/// digits for the number of a label, and sorts the labels of a set.
pub(super) fn is_value(native_type: &str, text: &str) -> bool {
    if native_type.starts_with("enum") {
        return of_type(native_type).iter().any(|label| label == text);
    }
    let labels = labels("set", native_type);
    let mut following = labels.iter();
    text.is_empty() || text.split(',').all(|part| following.any(|label| label == part))
}

fn labels(kind: &str, native_type: &str) -> Vec<String> {
    let list = native_type.strip_prefix(kind).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
    list.and_then(|list| strings(list, false)).unwrap_or_default()
}

/// Returns the column and the values of a condition such as `` `c` in ('a','b') ``; `None` for other conditions.
pub(super) fn of_check(condition: &str) -> Option<(String, Vec<String>)> {
    let mut condition = condition.trim();
    while let Some(inner) = condition.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        condition = inner.trim();
    }
    // The quotes of names follow the mode of the session.
    let quote = condition.chars().next().filter(|c| ['`', '"'].contains(c))?;
    let (column, rest) = condition[1..].split_once(quote)?;
    let list = rest.trim_start().strip_prefix("in")?.trim_start().strip_prefix('(')?.strip_suffix(')')?;
    // MySQL writes the quotes of the strings with backslashes.
    let values = strings(&list.replace("\\'", "'"), true)?;
    Some((column.to_owned(), values))
}

/// Returns the strings of a list. Strings may have a character set before them, such as `_utf8mb4'a'`.
fn strings(list: &str, has_charsets: bool) -> Option<Vec<String>> {
    let mut values = vec![];
    let mut rest = list.trim();
    loop {
        if has_charsets && rest.starts_with('_') {
            rest = &rest[rest.find('\'')?..];
        }
        let (value, after) = in_quotes(rest.strip_prefix('\'')?)?;
        values.push(value);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return rest.is_empty().then_some(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_list_their_values() {
        assert_eq!(of_type("enum('happy','it''s','a,b')"), ["happy", "it's", "a,b"]);
        assert_eq!(of_type("varchar(10)"), Vec::<String>::new());
        assert_eq!(of_type("set('a','b')"), Vec::<String>::new(), "a set has combinations");
    }

    #[test]
    fn only_a_label_is_a_value() {
        for (native_type, text, expected) in [
            ("enum('x','2')", "x", true),
            ("enum('x','2')", "X", false),
            ("enum('x','2')", "1", false),
            ("enum('x','2')", "", false),
            ("set('a','b','c')", "a,c", true),
            ("set('a','b','c')", "c,a", false),
            ("set('a','b','c')", "a,a", false),
            ("set('a','b','c')", "4", false),
            ("set('a','b','c')", "", true),
        ] {
            assert_eq!(is_value(native_type, text), expected, "{native_type} {text}");
        }
    }

    #[test]
    fn checks_of_a_list_have_values() {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        for (condition, expected) in [
            ("`st` in ('a','b')", Some(("st".to_owned(), values(&["a", "b"])))),
            (r"(`st` in (_utf8mb4\'a\',_utf8mb4\'b\'))", Some(("st".to_owned(), values(&["a", "b"])))),
            ("`st` in ('a','b') and `n` > 1", None),
            (r#""st" in ('it''s')"#, Some(("st".to_owned(), values(&["it's"])))),
            ("`n` in (1,2)", None),
            ("json_valid(`j`)", None),
            ("`st` <> 'a'", None),
        ] {
            assert_eq!(of_check(condition), expected, "{condition}");
        }
    }
}
