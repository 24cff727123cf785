//! Completes keywords, functions, and the names of domains, products, ports and columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_catalog::is_printable;
use portolan_engine::SETTINGS;
use reedline::{Completer, CompletionResult, Span, Suggestion};
use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS};

use super::commands::COMMANDS;
use super::names::{Columns, Names};
use crate::lexer::{Kind, Token, tokens, unquoted};

/// The largest number of suggestions.
const MAX_SUGGESTIONS: usize = 200;

/// A completer for the text before the cursor.
pub struct SqlCompleter<F> {
    names: F,
}

impl<F: Fn() -> Arc<Names>> SqlCompleter<F> {
    /// Returns a completer that reads the names with `names`.
    pub fn new(names: F) -> Self {
        Self { names }
    }
}

impl<F: Fn() -> Arc<Names>> Completer for SqlCompleter<F> {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let names = (self.names)();
        let found = suggest(&names, line, pos);
        CompletionResult::fresh(found.into_iter().take(MAX_SUGGESTIONS).collect::<Vec<_>>())
    }
}

/// Returns the name of a token, without quotes.
fn plain(token: &Token, text: &str) -> String {
    let text = &text[token.range.clone()];
    match token.kind {
        Kind::QuotedName => unquoted(text),
        _ => text.to_string(),
    }
}

/// Returns a name as it must be written in SQL, with quotes if they are needed.
fn written(name: &str) -> String {
    let simple = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if simple && !is_reserved(name) { name.into() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn is_reserved(name: &str) -> bool {
    let upper = name.to_uppercase();
    ALL_KEYWORDS.binary_search(&upper.as_str()).is_ok_and(|at| {
        RESERVED_FOR_TABLE_ALIAS.contains(&ALL_KEYWORDS_INDEX[at])
            || RESERVED_FOR_COLUMN_ALIAS.contains(&ALL_KEYWORDS_INDEX[at])
    })
}

/// Returns the suggestions at `pos` in `text`.
fn suggest(names: &Names, text: &str, pos: usize) -> Vec<Suggestion> {
    let Some(before) = text.get(..pos) else { return vec![] };
    let before_tokens = tokens(before);
    if let Some(command) = before_tokens.last().filter(|token| token.kind == Kind::Command) {
        let after = text[pos..].lines().next().unwrap_or_default();
        return suggest_in_command(names, &before[command.range.clone()], after, pos);
    }
    if before_tokens.last().is_some_and(|t| !t.closed && matches!(t.kind, Kind::Text | Kind::Comment)) {
        return vec![];
    }
    if let Some(typed) = setting_before(&before_tokens, before) {
        let span = Span::new(pos - typed.len(), pos);
        let fitting = SETTINGS.iter().filter(|name| name.starts_with(&typed.to_lowercase()));
        return fitting.map(|name| suggestion((*name).into(), Some("setting"), span)).collect();
    }
    let (path, prefix, start) = path_before(&before_tokens, before, pos);
    let span = Span::new(start, pos);
    let mut found: Vec<(String, Option<String>)> = vec![];
    let relations = relations(names, text);
    match path.as_slice() {
        [] => {
            let columns = relations.values().flatten();
            found.extend(columns.map(|(column, kind)| (written(column), Some(kind.clone()))));
            found.extend(relations.keys().map(|name| (written(name), None)));
            let tables = names.tables(&[]).into_iter().flat_map(BTreeMap::keys);
            found.extend(tables.map(|table| (written(table), Some("table".into()))));
            found.extend(names.domains().map(|domain| (written(domain), Some("domain".into()))));
            found.extend(names.schemas().map(|schema| (written(schema), Some("schema".into()))));
            found.extend(names.functions.iter().map(|function| (format!("{function}("), Some("function".into()))));
            let upper = prefix.to_uppercase();
            let keywords = ALL_KEYWORDS.iter().filter(|word| !upper.is_empty() && word.starts_with(&upper));
            let lower = prefix.chars().all(char::is_lowercase);
            found.extend(keywords.map(|word| (if lower { word.to_lowercase() } else { (*word).into() }, None)));
        }
        [one] => {
            if let Some(columns) = relations.get(one) {
                found.extend(columns.iter().map(|(column, kind)| (written(column), Some(kind.clone()))));
            }
            found.extend(names.schemas_of(one).map(|schema| (written(schema), Some("schema".into()))));
        }
        _ => {}
    }
    if !path.is_empty() {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let tables = names.tables(&path).into_iter().flat_map(BTreeMap::keys);
        found.extend(tables.map(|table| (written(table), Some("table".into()))));
        let columns = (path.len() > 1).then(|| names.columns(&path)).flatten().into_iter().flatten();
        found.extend(columns.map(|(column, kind)| (written(column), Some(kind.clone()))));
    }
    // Names that cannot be typed are not suggested, and what cannot be seen must not reach the terminal.
    found.retain(|(name, about)| is_printable(name) && about.as_deref().is_none_or(is_printable));
    let wanted = prefix.to_lowercase();
    found.retain(|(name, _)| name.trim_start_matches('"').to_lowercase().starts_with(&wanted));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|(name, _)| seen.insert(name.clone()));
    found.into_iter().map(|(name, about)| suggestion(name, about.as_deref(), span)).collect()
}

/// Returns the suggestions in a command, of which `command` is the part before `pos`, and `after` the rest.
fn suggest_in_command(names: &Names, command: &str, after: &str, pos: usize) -> Vec<Suggestion> {
    let Some((name, rest)) = command.split_once(char::is_whitespace) else {
        let span = Span::new(pos - command.len(), pos);
        let fitting = COMMANDS.iter().filter(|(known, _)| known.starts_with(command));
        return fitting.map(|(known, about)| suggestion((*known).into(), Some(*about), span)).collect();
    };
    let mut found = match name {
        "\\plan" => suggest(names, &format!("{rest}{after}"), rest.len()),
        "\\set" => suggest(names, &format!("SET {rest}"), "SET ".len() + rest.len()),
        "\\d" | "\\dt" => {
            let mut found = suggest(names, rest, rest.len());
            found.retain(|s| matches!(s.description.as_deref(), Some("table" | "domain" | "schema")));
            found
        }
        _ => vec![],
    };
    for suggestion in &mut found {
        // The typed part of a name ends at the cursor.
        let typed = suggestion.span.end - suggestion.span.start;
        suggestion.span = Span::new(pos - typed, pos);
    }
    found
}

fn suggestion(value: String, description: Option<&str>, span: Span) -> Suggestion {
    Suggestion { value, description: description.map(Into::into), span, ..Suggestion::default() }
}

/// Returns the typed part of a setting's name, if the cursor is where the name of a setting belongs.
fn setting_before<'a>(before: &[Token], text: &'a str) -> Option<&'a str> {
    let start = before.iter().rposition(|t| &text[t.range.clone()] == ";").map_or(0, |semicolon| semicolon + 1);
    let first = before.get(start..)?.iter().find(|t| !text[t.range.clone()].trim().is_empty())?;
    let names_setting =
        ["SET", "RESET", "SHOW"].iter().any(|word| text[first.range.clone()].eq_ignore_ascii_case(word));
    let rest = text.get(first.range.end..)?;
    let typed = rest.trim_start();
    let is_name = typed.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    (names_setting && is_name && rest.len() > typed.len()).then_some(typed)
}

/// Returns the dotted name before the cursor: its complete parts, the typed part of the last one, and where that
/// starts.
fn path_before(before: &[Token], text: &str, pos: usize) -> (Vec<String>, String, usize) {
    let is_name = |t: &Token| matches!(t.kind, Kind::Word | Kind::QuotedName);
    let is_dot = |t: &Token| t.kind == Kind::Other && &text[t.range.clone()] == ".";
    let mut rest = before;
    let (mut prefix, mut start) = (String::new(), pos);
    if let [head @ .., last] = rest
        && is_name(last)
    {
        (prefix, start, rest) = (plain(last, text), last.range.start, head);
    }
    let mut path = vec![];
    while let [head @ .., name, dot] = rest
        && is_dot(dot)
        && is_name(name)
    {
        path.insert(0, plain(name, text));
        rest = head;
    }
    (path, prefix, start)
}

/// Returns the tables that the text names, by alias and by name, with their columns.
fn relations(names: &Names, text: &str) -> BTreeMap<String, Columns> {
    let tokens: Vec<_> = tokens(text).into_iter().filter(|t| !matches!(t.kind, Kind::Space | Kind::Comment)).collect();
    let is_dot = |t: &Token| &text[t.range.clone()] == ".";
    let is_name = |t: &Token| matches!(t.kind, Kind::Word | Kind::QuotedName);
    let mut relations = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        let first = at;
        at += 1;
        if !is_name(&tokens[first]) {
            continue;
        }
        let mut parts = vec![plain(&tokens[first], text)];
        while let [dot, name, ..] = &tokens[at..]
            && is_dot(dot)
            && is_name(name)
        {
            parts.push(plain(name, text));
            at += 2;
        }
        let path: Vec<_> = parts.iter().map(String::as_str).collect();
        let (Some(columns), Some(table)) = (names.columns(&path), parts.last()) else { continue };
        relations.insert(table.clone(), columns.clone());
        let mut next = tokens[at..].iter().filter(|t| !text[t.range.clone()].eq_ignore_ascii_case("as"));
        if let Some(alias) = next.next().filter(|t| matches!(t.kind, Kind::Word | Kind::QuotedName)) {
            let alias = plain(alias, text);
            if !is_reserved(&alias) {
                relations.insert(alias, columns.clone());
            }
        }
    }
    relations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let columns = |names: &[&str]| names.iter().map(|n| ((*n).to_string(), "Int64".to_string())).collect();
        let orders = BTreeMap::from([
            ("lineitem".to_string(), columns(&["l_orderkey", "l_tax"])),
            ("orders".to_string(), columns(&["o_orderkey", "Odd name"])),
        ]);
        let sales = BTreeMap::from([("orders".to_string(), orders)]);
        let own = BTreeMap::from([
            ("mesh".to_string(), BTreeMap::from([("nodes".to_string(), columns(&["url"]))])),
            ("session".to_string(), BTreeMap::from([("mine".to_string(), columns(&["note"]))])),
        ]);
        Names {
            catalogs: BTreeMap::from([("sales".to_string(), sales), ("portolan".to_string(), own)]),
            functions: ["sum".to_string()].into(),
            current: [None, None],
        }
    }

    fn check(text: &str, expected: &[&str]) {
        check_in(&names(), text, expected);
    }

    fn check_in(names: &Names, text: &str, expected: &[&str]) {
        let pos = text.find('|').unwrap_or(text.len());
        let found = suggest(names, &text.replace('|', ""), pos);
        let values: Vec<_> = found.iter().map(|s| s.value.as_str()).collect();
        for one in expected {
            assert!(values.contains(one), "{text}: {values:?}");
        }
        assert_eq!(values.is_empty(), expected.is_empty(), "{text}: {values:?}");
    }

    #[test]
    fn names_complete_part_by_part() {
        check("SELECT * FROM sal", &["sales"]);
        check("SELECT * FROM sales.", &["orders"]);
        check("SELECT * FROM sales.orders.", &["lineitem", "orders"]);
        check("SELECT * FROM sales.orders.li", &["lineitem"]);
        check("SELECT * FROM supply.", &[]);
    }

    #[test]
    fn names_complete_without_the_parts_that_may_be_missing() {
        check("SELECT * FROM mes", &["mesh"]);
        check("SELECT * FROM mesh.", &["nodes"]);
        check("SELECT * FROM portolan.", &["mesh", "session"]);
        check("SELECT * FROM mi", &["mine"]);
        check("SELECT * FROM session.", &["mine"]);
        check("SELECT no| FROM mine", &["note"]);
        check("SELECT ur| FROM mesh.nodes", &["url"]);
        check("SELECT * FROM orders.", &[]);
        let here = Names { current: [Some("sales".into()), None], ..names() };
        check_in(&here, "SELECT * FROM ord", &["orders"]);
        check_in(&here, "SELECT * FROM orders.", &["lineitem", "orders"]);
        check_in(&here, "SELECT l_| FROM orders.lineitem", &["l_tax"]);
        check_in(&here, "SELECT * FROM nod", &["nodes"]);
        check_in(&here, "SELECT * FROM mesh.", &["nodes"]);
        check_in(&here, "SELECT * FROM session.", &[]);
        let there = Names { current: [Some("sales".into()), Some("orders".into())], ..names() };
        check_in(&there, "SELECT * FROM li", &["lineitem"]);
    }

    #[test]
    fn columns_complete_from_the_ports_that_are_named() {
        check("SELECT l_| FROM sales.orders.lineitem", &["l_orderkey", "l_tax"]);
        check("SELECT x.| FROM sales.orders.lineitem AS x", &["l_orderkey", "l_tax"]);
        check("SELECT lineitem.l_t| FROM sales.orders.lineitem WHERE 1 = 1", &["l_tax"]);
        check("SELECT y.| FROM sales.orders.orders y", &["o_orderkey", "\"Odd name\""]);
    }

    #[test]
    fn names_that_control_a_terminal_are_left_out() {
        let mut names = names();
        let tables = names.catalogs.entry("sales".into()).or_default().entry("orders".into()).or_default();
        tables.insert("line\u{1b}[31m".into(), vec![]);
        tables.insert("lines".into(), vec![("l\u{202e}x".into(), "Int64".into()), ("l_y".into(), "Int64".into())]);
        let found = suggest(&names, "SELECT * FROM sales.orders.line", 31);
        let values: Vec<_> = found.iter().map(|s| s.value.as_str()).collect();
        assert_eq!(values, ["lineitem", "lines"]);
        let found = suggest(&names, "SELECT l FROM sales.orders.lines", 8);
        assert!(found.iter().any(|s| s.value == "l_y") && found.iter().all(|s| is_printable(&s.value)));
    }

    #[test]
    fn keywords_functions_and_commands_complete() {
        check("SEL", &["SELECT"]);
        check("sel", &["select"]);
        check("SELECT su", &["sum("]);
        check("\\ti", &["\\timing"]);
        check("SELECT 1 \\g", &["\\g", "\\gx"]);
    }

    #[test]
    fn the_arguments_of_commands_complete() {
        let found = suggest(&names(), "\\d sal", 6);
        let values: Vec<_> = found.iter().map(|s| (s.value.as_str(), s.span.start, s.span.end)).collect();
        assert_eq!(values, [("sales", 3, 6)]);
        check("\\d sales.orders.li", &["lineitem"]);
        check("\\d sum", &[]);
        check("SELECT 1\n\\plan SELECT l_| FROM sales.orders.lineitem", &["l_tax"]);
        check("\\set portolan.qu", &["portolan.query_timeout"]);
        check("\\o sal", &[]);
    }

    #[test]
    fn settings_complete_where_they_are_named() {
        check("SET portolan.qu", &["portolan.query_timeout"]);
        check("SELECT 1; show ", &["catalog", "portolan.endpoints"]);
        check("RESET portolan.x", &[]);
        check("SET catalog = sal", &["sales"]);
    }

    #[test]
    fn text_and_comments_are_left_alone() {
        check("SELECT 'sal", &[]);
        check("/* sal", &[]);
    }
}
