//! Errors about the names of columns, and of the tables before them.

use std::borrow::Cow;

use datafusion::common::utils::quote_identifier;
use datafusion::common::{Column, SchemaError};
use portolan_catalog::nearest::nearest;
use portolan_catalog::sql_string;
use portolan_connectors::Subject;

use super::Message;

/// The largest number of columns that an error lists if no name is similar.
const COLUMNS_LISTED: usize = 8;
/// The start of DataFusion's name for the items of a list in FROM.
const UNNEST: &str = "UNNEST(";

/// Describes an error about names. `notes` are DataFusion's notes to it.
pub(super) fn message(error: &SchemaError, notes: &[&str]) -> Message {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => not_found(field, valid_fields),
        SchemaError::AmbiguousReference { field } if field.relation.is_none() => ambiguous(&field.name, notes),
        // The resolve pass reads these words, and gives columns other names.
        SchemaError::AmbiguousReference { .. } => Message::new(error.to_string()),
        SchemaError::DuplicateQualifiedField { qualifier, name } => twice(&format!("{qualifier}.{name}"), name),
        SchemaError::DuplicateUnqualifiedField { name } => twice(name, name),
    }
}

fn twice(shown: &str, name: &str) -> Message {
    let instead = "give each table in FROM, and each column of a subquery, its own name with AS";
    Message::new(format!("two columns are named `{shown}`: {instead}")).about(Subject::Name(name.to_owned()))
}

fn ambiguous(name: &str, notes: &[&str]) -> Message {
    let possible: Vec<String> = notes
        .iter()
        .filter_map(|note| note.strip_prefix("possible column "))
        .filter(|column| column.rsplit('.').next() == Some(name))
        .map(|column| format!("`{column}`"))
        .collect();
    let instead = if possible.is_empty() { "its table before it".to_owned() } else { possible.join(" or ") };
    Message::new(format!("column `{name}` is in several tables: write {instead}")).about(Subject::Name(name.to_owned()))
}

fn not_found(field: &Column, valid: &[Column]) -> Message {
    let typed = field.relation.as_ref().map(ToString::to_string);
    let reads_items = field.relation.is_none() && valid.iter().any(|column| column.name.starts_with(UNNEST));
    let valid: Vec<&Column> = valid.iter().filter(|column| is_nameable(column)).collect();
    let is_own = |column: &Column| match (&field.relation, &column.relation) {
        (Some(typed), Some(own)) => typed.resolved_eq(own),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let (own, others): (Vec<&Column>, Vec<&Column>) = valid.into_iter().partition(|column| is_own(column));
    let place = typed.as_deref().filter(|_| own.is_empty() && !others.is_empty());
    let place = place.map(|table| format!(": FROM has no table `{table}`")).unwrap_or_default();
    let hint = hint(typed.as_deref(), &field.name, &own).or_else(|| elsewhere(&field.name, &others));
    let (hint, suggestion) = hint.unwrap_or_else(|| match reads_items {
        true => {
            (format!("; to name the items of a list, write `UNNEST(…) AS t({})`", quote_identifier(&field.name)), None)
        }
        false => (listed(field, &own), None),
    });
    let what = typed.map_or_else(|| field.name.clone(), |table| format!("{table}.{}", field.name));
    Message::new(format!("there is no column `{what}`{place}{hint}"))
        .about(Subject::Name(field.name.clone()))
        .suggesting(suggestion)
}

/// True if a statement can name a column. Results of expressions, such as `count(*)`, have names that users did not
/// choose.
fn is_nameable(column: &Column) -> bool {
    let is_ours = column.name.starts_with('#') || column.name.starts_with(UNNEST);
    !is_ours && (column.relation.is_some() || !column.name.contains('('))
}

/// Returns what to write instead of the name of a column in these tables, as text and as a name.
fn hint(table: Option<&str>, name: &str, columns: &[&Column]) -> Option<(String, Option<String>)> {
    let names = || columns.iter().map(|column| column.name.as_str());
    let written = |name: &str| match table {
        Some(table) => format!("{table}.{}", quote_identifier(name)),
        None => quote_identifier(name).into_owned(),
    };
    let needs_quotes = |name: &&str| matches!(quote_identifier(name), Cow::Owned(_));
    let lower = name.to_lowercase();
    if let Some(same) = names().filter(needs_quotes).find(|valid| *valid != name && valid.to_lowercase() == lower) {
        let same = written(same);
        let hint = format!("; write `{same}` in double quotes: without them, a name is read in lower case");
        return Some((hint, Some(same)));
    }
    // Without quotes, `E-Mail` is a difference, and `Customer ID` is a column with an alias.
    let begins = |valid: &str| {
        let rest = valid.to_lowercase().strip_prefix(&lower).map(str::to_owned);
        rest.and_then(|rest| rest.chars().next()).is_some_and(|next| !next.is_alphanumeric() && next != '_')
    };
    if let Some(longer) = names().filter(needs_quotes).find(|valid| begins(valid)) {
        let longer = written(longer);
        return Some((format!("; write `{longer}` in double quotes"), Some(longer)));
    }
    let near = written(nearest(name, names())?);
    Some((format!("; did you mean `{near}`?"), Some(near)))
}

/// Returns the column with this name in another table, if there is one alone.
fn elsewhere(name: &str, others: &[&Column]) -> Option<(String, Option<String>)> {
    let mut found = others.iter().filter(|column| column.name == name);
    let (Some(only), None) = (found.next(), found.next()) else { return None };
    let table = only.relation.as_ref()?;
    let near = format!("{table}.{}", quote_identifier(name));
    Some((format!("; did you mean `{near}`?"), Some(near)))
}

/// Lists the columns, and how to write a string: some users write strings in double quotes.
fn listed(field: &Column, columns: &[&Column]) -> String {
    let mut names: Vec<Cow<'_, str>> = vec![];
    for column in columns {
        let name = quote_identifier(&column.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = if names.len() > COLUMNS_LISTED { ", …" } else { "" };
    names.truncate(COLUMNS_LISTED);
    let valid =
        if names.is_empty() { String::new() } else { format!("; valid columns are {}{more}", names.join(", ")) };
    // Only double quotes keep capitals and spaces in a name.
    let is_quoted = field.name.contains(|c: char| c.is_ascii_uppercase() || c == ' ') && !field.name.contains('(');
    let text = match field.relation.is_none() && (is_quoted || names.is_empty()) {
        true => format!("; for a string, write {}", sql_string(&field.name)),
        false => String::new(),
    };
    format!("{valid}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(table: &str, names: &[&str]) -> Vec<Column> {
        names.iter().map(|name| Column::new(Some(table), *name)).collect()
    }

    fn said(field: Column, valid_fields: Vec<Column>) -> (String, Option<String>) {
        let error = SchemaError::FieldNotFound { field: Box::new(field), valid_fields };
        let message = message(&error, &[]);
        (message.text, message.suggestion)
    }

    #[test]
    fn a_name_with_capitals_needs_double_quotes() {
        let people = || columns("people", &["City", "Customer ID", "E-Mail"]);
        for (typed, expected) in [
            ("city", "write `\"City\"` in double quotes: without them, a name is read in lower case"),
            ("customer", "write `\"Customer ID\"` in double quotes"),
            ("customer_id", "did you mean `\"Customer ID\"`?"),
            ("e", "write `\"E-Mail\"` in double quotes"),
            ("phone", "valid columns are \"City\", \"Customer ID\", \"E-Mail\""),
        ] {
            let (text, _) = said(Column::new_unqualified(typed), people());
            assert_eq!(text, format!("there is no column `{typed}`; {expected}"));
        }
        let (text, suggestion) = said(Column::new(Some("people"), "city"), people());
        assert!(text.starts_with("there is no column `people.city`; write `people.\"City\"` in double"), "{text}");
        assert_eq!(suggestion.as_deref(), Some("people.\"City\""));
        let (text, _) = said(Column::new_unqualified("CITY"), columns("t", &["city"]));
        assert_eq!(text, "there is no column `CITY`; did you mean `city`?");
    }

    #[test]
    fn columns_of_the_named_table_come_first() {
        let both = || [columns("r", &["r_regionkey", "r_name"]), columns("n", &["n_regionkey", "n_name"])].concat();
        for (table, name, expected) in [
            ("n", "regionkey", "there is no column `n.regionkey`; did you mean `n.n_regionkey`?"),
            ("r", "regionkey", "there is no column `r.regionkey`; did you mean `r.r_regionkey`?"),
            ("r", "n_regionkey", "there is no column `r.n_regionkey`; did you mean `r.r_regionkey`?"),
            ("x", "n_name", "there is no column `x.n_name`: FROM has no table `x`; did you mean `n.n_name`?"),
            ("x", "y", "there is no column `x.y`: FROM has no table `x`"),
            ("n", "population", "there is no column `n.population`; valid columns are n_regionkey, n_name"),
        ] {
            assert_eq!(said(Column::new(Some(table), name), both()).0, expected);
        }
        let full = Column::new(Some("geo.places.nation"), "n_name");
        let (text, _) = said(Column::new(Some("nation"), "n_nam"), vec![full]);
        assert_eq!(text, "there is no column `nation.n_nam`; did you mean `nation.n_name`?");
    }

    #[test]
    fn a_string_in_double_quotes_is_recognised() {
        let valid = || [columns("n", &["n_name"]), vec![Column::new_unqualified("count(Int64(1))")]].concat();
        let (text, _) = said(Column::new_unqualified("FRANCE"), valid());
        assert_eq!(text, "there is no column `FRANCE`; valid columns are n_name; for a string, write 'FRANCE'");
        assert_eq!(
            said(Column::new_unqualified("cnt"), valid()).0,
            "there is no column `cnt`; valid columns are n_name"
        );
        let (text, _) = said(Column::new_unqualified("hello"), vec![]);
        assert_eq!(text, "there is no column `hello`; for a string, write 'hello'");
        let (text, _) = said(Column::new_unqualified("x"), columns("x", &["UNNEST(make_array(Int64(1)))"]));
        assert_eq!(text, "there is no column `x`; to name the items of a list, write `UNNEST(…) AS t(x)`");
        let many: Vec<String> = (1..=9).map(|i| format!("column{i}0000")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (text, _) = said(Column::new_unqualified("x"), columns("t", &many));
        assert!(text.ends_with("column80000, …"), "{text}");
    }

    #[test]
    fn an_ambiguous_name_lists_its_tables() {
        let error = SchemaError::AmbiguousReference { field: Box::new(Column::new_unqualified("id")) };
        let notes = ["possible column a.id", "possible column b.id", "possible column b.idx"];
        assert_eq!(message(&error, &notes).text, "column `id` is in several tables: write `a.id` or `b.id`");
        assert_eq!(message(&error, &[]).text, "column `id` is in several tables: write its table before it");
    }
}
