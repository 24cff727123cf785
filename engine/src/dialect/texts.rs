//! `format(pattern, …)`: with `{}` as in DuckDB, or with `%s` as in PostgreSQL. The first becomes `printf`, and the second
//! `concat`: both are one call, however many places the pattern has.

use portolan_catalog::sql_string;

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
    if places != arguments {
        return Err(format!(
            "the pattern `{pattern}` of `format` needs an argument for each place: expected {places}, got {arguments}"
        ));
    }
    let place = |number: usize| format!("CAST(${number} AS VARCHAR)");
    // With `printf` the result is NULL if an argument is, and `concat` ignores NULLs.
    if of_duckdb {
        let arguments = [sql_string(&pieces.join("%s"))].into_iter().chain((1..=places).map(place));
        return Ok(format!("printf({})", arguments.collect::<Vec<_>>().join(", ")));
    }
    let mut parts = vec![];
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            parts.push(place(number));
        }
        parts.push(sql_string(piece));
    }
    Ok(format!("concat({})", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::template;

    #[test]
    fn patterns_become_one_call() {
        for (pattern, arguments, expected) in [
            ("{} is {}", 2, "printf('%s is %s', CAST($1 AS VARCHAR), CAST($2 AS VARCHAR))"),
            ("it's {}", 1, "printf('it''s %s', CAST($1 AS VARCHAR))"),
            ("Hello %s, it's %s", 2, "concat('Hello ', CAST($1 AS VARCHAR), ', it''s ', CAST($2 AS VARCHAR), '')"),
            ("plain", 0, "concat('plain')"),
        ] {
            assert_eq!(template(pattern, arguments).unwrap(), expected);
        }
        assert!(template(&"{}".repeat(1_000), 1_000).unwrap().starts_with("printf('%s%s"));
        for (pattern, arguments, says) in [
            ("{} %s", 2, "both"),
            ("{:.2f}", 1, "printf"),
            ("{0}", 1, "printf"),
            ("%d", 1, "printf"),
            ("100% of {}", 1, "printf"),
            ("{} {}", 1, "expected 2, got 1"),
            ("%s", 0, "expected 1, got 0"),
        ] {
            let error = template(pattern, arguments).unwrap_err();
            assert!(error.contains(says) && error.contains(pattern), "{pattern}: {error}");
        }
    }
}
