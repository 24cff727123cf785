//! `format(pattern, …)`: with `{}` as in DuckDB, or with `%s` as in PostgreSQL. Both become a concatenation.

use std::fmt::Write as _;

/// The largest number of places: each one nests the expression one level deeper.
const MOST_PLACES: usize = 100;

/// Returns the template of a call, whose first places are the arguments after the pattern.
///
/// # Errors
/// A pattern with other places, or with another number of places than there are arguments.
pub(super) fn template(pattern: &str, arguments: usize) -> Result<String, String> {
    let (of_duckdb, of_postgres) = (pattern.contains("{}"), pattern.contains("%s"));
    if of_duckdb && of_postgres {
        return Err(format!("the pattern `{pattern}` of `format` has both `{{}}` and `%s`: use one of them"));
    }
    let pieces: Vec<&str> = pattern.split(if of_duckdb { "{}" } else { "%s" }).collect();
    if pieces.iter().any(|piece| piece.contains(['{', '}', '%'])) {
        return Err(format!(
            "the pattern `{pattern}` of `format` has other places than `{{}}` or `%s`: `printf` has widths and digits"
        ));
    }
    let places = pieces.len() - 1;
    if places > MOST_PLACES {
        return Err(format!("the pattern of `format` has {places} places, and the limit is {MOST_PLACES}"));
    }
    if places != arguments {
        return Err(format!("the pattern `{pattern}` of `format` has {places} places for {arguments} arguments"));
    }
    // With `||` the result is NULL if an argument is, and `concat` ignores NULLs.
    let separator = if of_duckdb { " || " } else { ", " };
    let mut template = String::new();
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            // Writing into a string cannot fail.
            let _ = write!(template, "{separator}CAST(${number} AS VARCHAR){separator}");
        }
        let _ = write!(template, "'{}'", piece.replace('\'', "''"));
    }
    Ok(if of_duckdb { format!("({template})") } else { format!("concat({template})") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::template;

    #[test]
    fn patterns_become_concatenations() {
        for (pattern, arguments, expected) in [
            ("{} is {}", 2, "('' || CAST($1 AS VARCHAR) || ' is ' || CAST($2 AS VARCHAR) || '')"),
            ("Hello %s, it's %s", 2, "concat('Hello ', CAST($1 AS VARCHAR), ', it''s ', CAST($2 AS VARCHAR), '')"),
            ("plain", 0, "concat('plain')"),
        ] {
            assert_eq!(template(pattern, arguments).unwrap(), expected);
        }
        for (pattern, arguments, says) in [
            ("{} %s", 2, "both"),
            ("{:.2f}", 1, "printf"),
            ("{0}", 1, "printf"),
            ("%d", 1, "printf"),
            ("100% of {}", 1, "printf"),
            ("{} {}", 1, "2 places for 1 arguments"),
            ("%s", 0, "1 places for 0 arguments"),
        ] {
            let error = template(pattern, arguments).unwrap_err();
            assert!(error.contains(says) && error.contains(pattern), "{pattern}: {error}");
        }
        assert!(template(&"{}".repeat(101), 101).unwrap_err().contains("the limit is 100"));
    }
}
