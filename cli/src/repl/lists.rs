//! The statements of the commands that list domains, nodes, ports and functions.

use crate::lexer::literal;

/// Returns the query for every domain.
pub fn domains() -> String {
    "SELECT domain, node, state, products, ports FROM mesh.domains ORDER BY domain".into()
}

/// Returns the query for every node.
pub fn nodes() -> String {
    "SELECT url, here, state, last_seen, domains, refused, error FROM mesh.nodes ORDER BY url".into()
}

/// Returns the query for every port, and for every table and view of the session, or for those whose name fits a pattern.
/// A pattern with a point stands for the name with its product, or with its domain and product.
pub fn ports(pattern: Option<&str>) -> String {
    let fits = |[domain, product, port]: [&str; 3]| match pattern {
        None => "true".to_owned(),
        Some(pattern) if pattern.contains('.') => {
            let of_product = format!("concat_ws('.', {product}, {port})");
            let of_domain = format!("concat_ws('.', {domain}, {product}, {port})");
            format!("({} OR {})", like(&of_product, pattern), like(&of_domain, pattern))
        }
        Some(pattern) => like(port, pattern),
    };
    format!(
        "SELECT domain, product, port, description FROM mesh.ports WHERE {} UNION ALL \
         SELECT table_catalog, table_schema, table_name, \
         CASE table_type WHEN 'VIEW' THEN 'a view of this session' ELSE 'a table of this session' END \
         FROM information_schema.tables WHERE table_catalog = 'portolan' AND table_schema = 'session' AND {} ORDER BY domain, product, port",
        fits(["domain", "product", "port"]),
        fits(["table_catalog", "table_schema", "table_name"])
    )
}

/// Returns the statement that lists the functions, or those whose name fits a pattern.
pub fn functions(pattern: Option<&str>) -> String {
    let filter = pattern.map(|pattern| format!(" ILIKE {}", like_pattern(pattern))).unwrap_or_default();
    format!("SHOW FUNCTIONS{filter}")
}

/// Returns the condition that a value fits a pattern.
fn like(value: &str, pattern: &str) -> String {
    format!("{value} ILIKE {}", like_pattern(pattern))
}

/// Returns a pattern for `ILIKE`: `*` stands for any text, `?` for a character.
fn like_pattern(pattern: &str) -> String {
    let mut escaped = String::new();
    for c in pattern.chars() {
        match c {
            '*' => escaped.push('%'),
            '?' => escaped.push('_'),
            '%' | '_' | '\\' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    literal(&escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_string_of_sql() {
        assert_eq!(like("port", "o'*_?"), "port ILIKE 'o''%\\__'");
    }
}
