//! The name of a port's table in a database.

use crate::model::DatabaseRelation;
use crate::odcs::SchemaObject;

/// Returns the table of a schema object: its `physicalName`, such as `orders` or `sales.orders`, or its `name`. `schema` is
/// that of the server. A part between double quotes may contain dots.
///
/// # Errors
/// A `physicalName` that is not the name of a table, as a message.
pub(super) fn table(object: &SchemaObject, schema: Option<&str>) -> Result<DatabaseRelation, String> {
    let schema = schema.filter(|schema| !schema.is_empty()).map(str::to_owned);
    let Some(text) = object.physical_name.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(DatabaseRelation::Table { schema, name: object.name.clone() });
    };
    let parts = parts(text).filter(|parts| parts.iter().all(|part| !part.is_empty() && !part.contains('\0')));
    let expected = || format!("expected the name of a table, such as `orders` or `sales.orders`, got `{text}`");
    let mut parts = parts.ok_or_else(expected)?.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => Ok(DatabaseRelation::Table { schema, name }),
        (Some(schema), Some(name), None) => Ok(DatabaseRelation::Table { schema: Some(schema), name }),
        _ => Err(format!("{}: put a name that contains dots between double quotes", expected())),
    }
}

/// Returns the parts between the dots of a name. `None` if its quotes do not fit together.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![];
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return after.is_empty().then_some(parts),
        }
    }
}

/// Returns the part up to the closing quote, with single quotes for doubled ones, and the text after it.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn table_of(physical_name: Option<&str>, schema: Option<&str>) -> Result<DatabaseRelation, String> {
        let json = serde_json::json!({"name": "orders.v2", "physicalName": physical_name});
        table(&serde_json::from_value(json).unwrap(), schema)
    }

    fn named(schema: Option<&str>, name: &str) -> Result<DatabaseRelation, String> {
        Ok(DatabaseRelation::Table { schema: schema.map(str::to_owned), name: name.to_owned() })
    }

    #[test]
    fn a_table_has_a_physical_name_or_the_name_of_the_object() {
        assert_eq!(table_of(None, None), named(None, "orders.v2"));
        assert_eq!(table_of(Some(""), Some("public")), named(Some("public"), "orders.v2"));
        assert_eq!(table_of(Some("t"), Some("public")), named(Some("public"), "t"));
        assert_eq!(table_of(Some("sales.t"), Some("public")), named(Some("sales"), "t"));
        assert_eq!(table_of(Some("sales.\"a.b\""), None), named(Some("sales"), "a.b"));
        assert_eq!(table_of(Some("\"a \"\"b\"\".c\""), None), named(None, "a \"b\".c"));
    }

    #[test]
    fn other_names_are_refused() {
        for text in [".t", "t.", "a..b", "a.b.c", "\"a", "\"a\"b", "\"\""] {
            assert!(table_of(Some(text), None).is_err(), "{text}");
        }
        assert!(table_of(Some("a.b.c"), None).unwrap_err().contains("between double quotes"));
    }
}
