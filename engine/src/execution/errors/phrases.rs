//! Our words for what DataFusion and Arrow say about statements that many users write. Each function knows a few
//! messages, and returns `None` for all others.

use portolan_connectors::Subject;

use super::sql_words::in_sql_words;
use super::{Message, arguments, conversions, operators, parts, type_names};

/// Returns our words for a message; `None` if the message has none.
pub(super) fn ours(message: &str) -> Option<Message> {
    arguments::message(message)
        .or_else(|| conversions::message(message))
        .or_else(|| grouping(message))
        .or_else(|| operators::message(message))
        .or_else(|| numbers_of_columns(message))
        .or_else(|| places_of_columns(message))
        .or_else(|| names(message))
        .or_else(|| type_names::message(message))
        .or_else(|| parts::message(message))
}

/// Returns the text between two others.
pub(super) fn between<'a>(message: &'a str, before: &str, after: &str) -> Option<&'a str> {
    message.split_once(before)?.1.split_once(after).map(|(between, _)| between)
}

/// Aggregates, and columns beside them.
fn grouping(message: &str) -> Option<Message> {
    if message.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        return Some(Message::new("WHERE cannot contain an aggregate: write the condition in HAVING"));
    }
    if let Some(nested) = message.split_once(" calls cannot be nested: '").map(|(_, nested)| nested) {
        let (inner, outer) = nested.trim_end_matches('\'').split_once("' is nested inside '")?;
        let (inner, outer) = (in_sql_words(inner), in_sql_words(outer));
        let what = "compute it in a subquery in FROM";
        return Some(Message::new(format!("`{inner}` cannot be inside of `{outer}`: {what}")));
    }
    if let Some(expr) = between(message, "HAVING clause references: ", " must appear in the GROUP BY clause") {
        let text = format!("`{}` in HAVING must be in GROUP BY or inside an aggregate", in_sql_words(expr));
        return Some(Message::new(text));
    }
    let clause = between(message, "Column in ", " must be in GROUP BY or an aggregate function")?;
    let column = between(message, ", column \"", "\" must appear in the GROUP BY clause")?;
    let column = short(column);
    let clause = if clause == "SELECT" { String::new() } else { format!(" in {clause}") };
    let text = format!("column `{column}`{clause} must be in GROUP BY or inside an aggregate");
    let name = column.rsplit('.').next().unwrap_or(column).trim_matches('"');
    Some(Message::new(text).about(Subject::Name(name.to_owned())))
}

/// Returns a column without the names of domain and product, which are rarely written.
fn short(column: &str) -> &str {
    let is_plain = column.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    match column.rsplit_once('.') {
        Some((table, name)) if is_plain && table.contains('.') => name,
        _ => column,
    }
}

/// Lists with the wrong number of columns or values.
fn numbers_of_columns(message: &str) -> Option<Message> {
    if let Some(columns) = message.strip_prefix("Too many columns! The subquery should only return one column: ") {
        let number = columns.split(", ").count();
        return Some(Message::new(format!("a subquery in this place must return one column, and not {number}")));
    }
    if let Some((operation, _)) = message.split_once(" queries have different number of columns") {
        let text = format!("the queries of a {operation} must have the same number of columns");
        return Some(Message::new(text));
    }
    if message.starts_with("Column count doesn't match insert query") {
        return Some(Message::new("INSERT must have one value for each column: write the columns after the table"));
    }
    if let Some(got) = between(message, "Inconsistent data length across values list: got ", " values in row ") {
        let row: usize = between(message, " values in row ", " but expected ")?.parse().ok()?;
        let expected = message.rsplit_once(" but expected ")?.1;
        let values = if got == "1" { "value" } else { "values" };
        let text = format!("row {} of VALUES has {got} {values} instead of {expected}", row + 1);
        return Some(Message::new(text));
    }
    message
        .starts_with("SELECT * with no tables specified is not valid")
        .then(|| Message::new("`SELECT *` needs a FROM with a table"))
}

/// Columns that a number refers to.
fn places_of_columns(message: &str) -> Option<Message> {
    let (clause, place, most) = if message == "Order by index starts at 1 for column indexes" {
        ("ORDER BY", "0", None)
    } else if let Some(place) = between(message, "Order by column out of bounds, specified: ", ", max: ") {
        ("ORDER BY", place, message.rsplit_once(", max: "))
    } else {
        let place = between(message, "Cannot find column with position ", " in SELECT clause")?;
        ("GROUP BY", place, message.rsplit_once("Valid columns: 1 to "))
    };
    let most = most.map(|(_, most)| format!(" to {most}")).unwrap_or_default();
    let text = format!("{clause} {place} is not a column: the columns of the SELECT list are numbered from 1{most}");
    Some(Message::new(text).about(Subject::Constant(place.to_owned())))
}

/// Names of functions and tables, and conditions.
fn names(message: &str) -> Option<Message> {
    if let Some(name) = between(message, "Invalid function '", "'") {
        let text = format!("there is no function `{name}`");
        return Some(Message::new(text).about(Subject::Function(name.to_lowercase())));
    }
    if let Some(table) = message.strip_prefix("Invalid qualifier ") {
        let subject = Subject::Name(table.rsplit('.').next().unwrap_or(table).to_owned());
        return Some(Message::new(format!("FROM has no table `{table}`")).about(subject));
    }
    let (predicate, found) =
        message.strip_prefix("Cannot create filter with non-boolean predicate '")?.split_once("' returning ")?;
    let name = short(predicate);
    let (predicate, found) = (in_sql_words(name), in_sql_words(found));
    let text =
        format!("a condition must be true or false, but `{predicate}` is {found}: compare it, as in `{predicate} = …`");
    Some(Message::new(text).about(Subject::Name(name.to_owned())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn said(message: &str) -> String {
        ours(message).unwrap_or_else(|| Message::new(message.to_owned())).text
    }

    #[test]
    fn columns_beside_aggregates_are_named() {
        let text = "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \
                    \"geo.places.nation.n_name\" must appear in the GROUP BY clause or must be part of an aggregate \
                    function, currently only \"geo.places.nation.n_regionkey, count(*)\" appears in the SELECT clause \
                    satisfies this requirement";
        assert_eq!(said(text), "column `n_name` must be in GROUP BY or inside an aggregate");
        assert_eq!(ours(text).unwrap().subject, Some(Subject::Name("n_name".to_owned())));
        let having =
            text.replace("Column in SELECT", "Column in HAVING").replace("geo.places.nation.n_name", "n.n_name");
        assert_eq!(said(&having), "column `n.n_name` in HAVING must be in GROUP BY or inside an aggregate");
        assert_eq!(
            said(
                "HAVING clause references: t.x > Int64(1) must appear in the GROUP BY clause or be used in an aggregate function"
            ),
            "`t.x > 1` in HAVING must be in GROUP BY or inside an aggregate"
        );
        assert_eq!(
            said("Aggregate functions are not allowed in the WHERE clause. Consider using HAVING instead"),
            "WHERE cannot contain an aggregate: write the condition in HAVING"
        );
        assert_eq!(
            said("Aggregate function calls cannot be nested: 'count(t.x)' is nested inside 'sum(count(t.x))'"),
            "`count(t.x)` cannot be inside of `sum(count(t.x))`: compute it in a subquery in FROM"
        );
    }

    #[test]
    fn lists_of_the_wrong_length_are_described() {
        for (message, expected) in [
            (
                "Too many columns! The subquery should only return one column: t.a, t.b",
                "a subquery in this place must return one column, and not 2",
            ),
            (
                "UNION queries have different number of columns",
                "the queries of a UNION must have the same number of columns",
            ),
            (
                "Inconsistent data length across values list: got 1 values in row 1 but expected 2",
                "row 2 of VALUES has 1 value instead of 2",
            ),
            ("SELECT * with no tables specified is not valid", "`SELECT *` needs a FROM with a table"),
            (
                "Order by column out of bounds, specified: 3, max: 1",
                "ORDER BY 3 is not a column: the columns of the SELECT list are numbered from 1 to 1",
            ),
            (
                "Order by index starts at 1 for column indexes",
                "ORDER BY 0 is not a column: the columns of the SELECT list are numbered from 1",
            ),
            (
                "Cannot find column with position 5 in SELECT clause. Valid columns: 1 to 2",
                "GROUP BY 5 is not a column: the columns of the SELECT list are numbered from 1 to 2",
            ),
        ] {
            assert_eq!(said(message), expected);
        }
    }

    #[test]
    fn names_and_conditions_are_described() {
        for (message, expected) in [
            ("Invalid function 'sunm'.\nDid you mean 'sum'?", "there is no function `sunm`"),
            ("Invalid qualifier x", "FROM has no table `x`"),
            (
                "Cannot create filter with non-boolean predicate 'geo.places.nation.n_name' returning Utf8View",
                "a condition must be true or false, but `n_name` is VARCHAR: compare it, as in `n_name = …`",
            ),
            ("anything else", "anything else"),
        ] {
            assert_eq!(said(message), expected);
        }
    }
}
