//! Strings as SQL writes them.

/// Returns a string as a literal of SQL: in single quotes, each quote within it twice.
pub fn sql_string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
