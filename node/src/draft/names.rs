//! Names of ports and columns that SQL accepts without quotes, and names in SQL.

use std::collections::BTreeSet;

/// Returns `text` as a name without capitals, spaces and symbols. `CustomerID` becomes `customer_id`. Empty if the text
/// has no letter and no digit.
pub fn identifier(text: &str) -> String {
    if is_identifier(text) {
        return text.to_owned();
    }
    let mut name = String::new();
    let mut previous = ' ';
    for c in text.chars() {
        if c.is_alphanumeric() {
            let begins_word = c.is_uppercase() && (previous.is_lowercase() || previous.is_numeric());
            if begins_word && !name.ends_with('_') {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        previous = c;
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        Some(c) if !c.is_alphabetic() => format!("_{name}"),
        _ => name.to_owned(),
    }
}

/// True if SQL accepts the name without quotes, and reads it as it is.
fn is_identifier(text: &str) -> bool {
    let is_letter = |c: char| c == '_' || (c.is_alphabetic() && !c.is_uppercase());
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_numeric())
}

/// Returns `name`, with a number at its end if it is taken already. The result is taken then.
pub(super) fn distinct(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}_{number}");
        number += 1;
    }
    candidate
}

/// Returns a name between the quotes of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_need_no_quotes() {
        for (text, expected) in [
            ("customer_id", "customer_id"),
            ("_id", "_id"),
            ("größe", "größe"),
            ("Customer ID", "customer_id"),
            ("CustomerID", "customer_id"),
            ("customerId", "customer_id"),
            ("E-Mail", "e_mail"),
            ("  Umsatz (EUR) ", "umsatz_eur"),
            ("Straße", "straße"),
            ("2024", "_2024"),
            ("q1Sales", "q1_sales"),
            ("??", ""),
        ] {
            assert_eq!(identifier(text), expected, "{text}");
        }
    }

    #[test]
    fn equal_names_get_numbers() {
        let mut taken = BTreeSet::new();
        let names: Vec<_> = ["a", "a", "b", "a"].iter().map(|name| distinct(name, &mut taken)).collect();
        assert_eq!(names, ["a", "a_2", "b", "a_3"]);
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
