//! Errors about names of types.

use portolan_catalog::nearest::nearest;
use portolan_connectors::Subject;

use super::Message;

/// The names of types that a misspelled one is compared with.
const KNOWN: [&str; 20] = [
    "BIGINT",
    "BOOLEAN",
    "BYTEA",
    "CHAR",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "NUMERIC",
    "REAL",
    "SMALLINT",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TINYINT",
    "VARCHAR",
];

/// Types of other databases, with what to write instead.
const INSTEAD: &[(&str, &str)] = &[
    ("BIGDECIMAL", "DECIMAL(38,9)"),
    ("BIGNUMERIC", "DECIMAL(38,9)"),
    ("BIGSERIAL", "BIGINT"),
    ("BIT", "BOOLEAN"),
    ("BLOB", "BYTEA"),
    ("DATETIME2", "TIMESTAMP"),
    ("DATETIMEOFFSET", "TIMESTAMP"),
    ("DEC", "DECIMAL(15,2)"),
    ("HUGEINT", "DECIMAL(38,0)"),
    ("IMAGE", "BYTEA"),
    ("JSON", "VARCHAR"),
    ("JSONB", "VARCHAR"),
    ("MEDIUMINT", "INT"),
    ("MONEY", "DECIMAL(19,4)"),
    ("NCHAR", "VARCHAR"),
    ("NTEXT", "VARCHAR"),
    ("NUMBER", "DECIMAL(15,2)"),
    ("NVARCHAR2", "VARCHAR"),
    ("ROW", "STRUCT<a BIGINT, b VARCHAR>"),
    ("SERIAL", "BIGINT"),
    ("SMALLDATETIME", "TIMESTAMP"),
    ("SMALLMONEY", "DECIMAL(10,4)"),
    ("TIMESTAMP", "TIMESTAMP, or TIMESTAMP(0), (3), (6) or (9)"),
    ("TIMETZ", "TIME"),
    ("UINTEGER", "INT UNSIGNED"),
    ("UNIQUEIDENTIFIER", "VARCHAR"),
    ("UUID", "VARCHAR"),
    ("VARCHAR2", "VARCHAR"),
];

/// Describes the name of a type that does not exist; `None` for other messages.
pub(super) fn message(message: &str) -> Option<Message> {
    let name = message.strip_prefix("Unsupported SQL type ")?;
    let first = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(name);
    let upper = first.to_uppercase();
    let text = format!("there is no type `{name}`");
    let message = if let Some((_, instead)) = INSTEAD.iter().find(|(other, _)| *other == upper) {
        Message::new(format!("{text}: write {instead}"))
    } else if let Some(near) = nearest(&upper, KNOWN) {
        Message::new(format!("{text}; did you mean `{near}`?")).suggesting(Some(near.to_owned()))
    } else {
        Message::new(format!("{text}; types are BIGINT, DOUBLE, DECIMAL(15,2), VARCHAR, DATE, …"))
    };
    Some(message.about(Subject::Name(first.to_lowercase())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_type_that_does_not_exist_has_another_one() {
        assert!(INSTEAD.is_sorted() && KNOWN.is_sorted());
        for (name, expected, subject) in [
            ("MONEY", "there is no type `MONEY`: write DECIMAL(19,4)", "money"),
            ("ROW(a, INT)", "there is no type `ROW(a, INT)`: write STRUCT<a BIGINT, b VARCHAR>", "row"),
            (
                "TIMESTAMP(4)",
                "there is no type `TIMESTAMP(4)`: write TIMESTAMP, or TIMESTAMP(0), (3), (6) or (9)",
                "timestamp",
            ),
            ("VARCAHR", "there is no type `VARCAHR`; did you mean `VARCHAR`?", "varcahr"),
            ("INTT", "there is no type `INTT`; did you mean `INT`?", "intt"),
            (
                "Geometry",
                "there is no type `Geometry`; types are BIGINT, DOUBLE, DECIMAL(15,2), VARCHAR, DATE, …",
                "geometry",
            ),
        ] {
            let said = message(&format!("Unsupported SQL type {name}")).unwrap();
            assert_eq!(said.text, expected);
            assert_eq!(said.subject, Some(Subject::Name(subject.to_owned())));
        }
        assert_eq!(message("Unsupported SQL type INTT").unwrap().suggestion.as_deref(), Some("INT"));
        assert!(message("anything else").is_none());
    }
}
