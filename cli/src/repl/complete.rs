//! Completes keywords, functions, and the names of domains, products, ports, columns and files.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portolan_catalog::is_printable;
use portolan_engine::SETTINGS;
use reedline::{Completer, CompletionResult, Span, Suggestion};
use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS};

use self::files::{FilePlace, files};
use super::commands::COMMANDS;
use super::names::{Columns, Names};
use crate::lexer::{Kind, Token, content_tokens, tokens, unquoted};

/// The largest number of suggestions.
const MAX_SUGGESTIONS: usize = 200;
/// The words before the name of a table.
const BEFORE_TABLES: [&str; 6] = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE"];
/// The functions that return tables.
const TABLE_FUNCTIONS: [&str; 7] =
    ["generate_series", "range", "read_arrow", "read_csv", "read_json", "read_parquet", "unnest"];

/// A name as it is written in SQL, and what it is.
type Found = (String, Option<String>);

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
    if let Some(open) = before_tokens.last().filter(|t| !t.closed && matches!(t.kind, Kind::Text | Kind::Comment)) {
        let (typed, start) = (&before[open.range.clone()], open.range.start);
        if !typed.starts_with('\'') || !is_before_file(&before_tokens, before, start) {
            return vec![];
        }
        let names = files(typed, FilePlace::Statement, text[pos..].starts_with('\''));
        return names.into_iter().map(|name| suggestion(name, None, Span::new(start, pos))).collect();
    }
    if let Some(typed) = setting_before(&before_tokens, before) {
        let span = Span::new(pos - typed.len(), pos);
        let fitting = SETTINGS.iter().filter(|name| name.starts_with(&typed.to_lowercase()));
        return fitting.map(|name| suggestion((*name).into(), Some("setting"), span)).collect();
    }
    let (path, prefix, start) = path_before(&before_tokens, before, pos);
    let span = Span::new(start, pos);
    let is_table = path.is_empty() && is_before_table(&before_tokens, before, start);
    let found = match path.as_slice() {
        [] if is_in_setting(&before_tokens, before) => places(names),
        [] if is_table => tables(names),
        [] => words(names, &relations(names, text), &prefix),
        path => below(names, &relations(names, text), path),
    };
    let mut full = vec![];
    if is_table && !prefix.is_empty() {
        let ports = names.ports_called(&prefix.to_lowercase()).into_iter();
        full.extend(ports.map(|port| (port.map(written).join("."), Some("port".to_owned()))));
    }
    suggestions(found, full, &prefix, span)
}

/// Returns the domains, and the products and schemas that need no domain.
fn places(names: &Names) -> Vec<Found> {
    let domains = names.domains().map(|domain| (written(domain), Some("domain".to_owned())));
    domains.chain(names.schemas().map(|schema| (written(schema), Some("schema".to_owned())))).collect()
}

/// Returns what can stand after `FROM`.
fn tables(names: &Names) -> Vec<Found> {
    let tables = names.tables(&[]).into_iter().flat_map(BTreeMap::keys);
    let tables = tables.map(|table| (written(table), Some("table".to_owned())));
    let functions = TABLE_FUNCTIONS.iter().map(|function| (format!("{function}("), Some("function".to_owned())));
    tables.chain(places(names)).chain(functions).collect()
}

/// Returns what can stand elsewhere: columns, aliases, tables, functions and keywords.
fn words(names: &Names, relations: &BTreeMap<String, Columns>, prefix: &str) -> Vec<Found> {
    let mut found: Vec<Found> = vec![];
    let columns = relations.values().flatten();
    found.extend(columns.map(|(column, kind)| (written(column), Some(kind.clone()))));
    found.extend(relations.keys().map(|name| (written(name), None)));
    let tables = names.tables(&[]).into_iter().flat_map(BTreeMap::keys);
    found.extend(tables.map(|table| (written(table), Some("table".into()))));
    found.extend(places(names));
    found.extend(names.functions.iter().map(|function| (format!("{function}("), Some("function".into()))));
    let upper = prefix.to_uppercase();
    let keywords = ALL_KEYWORDS.iter().filter(|word| !upper.is_empty() && word.starts_with(&upper));
    let lower = prefix.chars().all(char::is_lowercase);
    found.extend(keywords.map(|word| (if lower { word.to_lowercase() } else { (*word).into() }, None)));
    found
}

/// Returns what can stand after a dotted name: the columns of a table, the products of a domain, the tables of a product.
fn below(names: &Names, relations: &BTreeMap<String, Columns>, path: &[String]) -> Vec<Found> {
    let mut found: Vec<Found> = vec![];
    if let [one] = path {
        let columns = relations.get(one).into_iter().flatten();
        found.extend(columns.map(|(column, kind)| (written(column), Some(kind.clone()))));
        found.extend(names.schemas_of(one).map(|schema| (written(schema), Some("schema".into()))));
    }
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    let tables = names.tables(&path).into_iter().flat_map(BTreeMap::keys);
    found.extend(tables.map(|table| (written(table), Some("table".into()))));
    let columns = (path.len() > 1).then(|| names.columns(&path)).flatten().into_iter().flatten();
    found.extend(columns.map(|(column, kind)| (written(column), Some(kind.clone()))));
    found
}

/// Returns the suggestions that begin with `prefix`, without those that are there twice, after the ones of `full`.
fn suggestions(mut found: Vec<Found>, full: Vec<Found>, prefix: &str, span: Span) -> Vec<Suggestion> {
    let wanted = prefix.to_lowercase();
    found.retain(|(name, _)| name.trim_start_matches('"').to_lowercase().starts_with(&wanted));
    let mut all: Vec<_> = full.into_iter().chain(found).collect();
    // Names that cannot be typed are not suggested, and what cannot be seen must not reach the terminal.
    all.retain(|(name, about)| is_printable(name) && about.as_deref().is_none_or(is_printable));
    let mut seen = BTreeSet::new();
    all.retain(|(name, _)| seen.insert(name.clone()));
    all.into_iter().map(|(name, about)| suggestion(name, about.as_deref(), span)).collect()
}

/// True if the name that starts at `start` belongs to a table.
fn is_before_table(before: &[Token], text: &str, start: usize) -> bool {
    let is_word = |token: &&Token| token.range.end <= start && !matches!(token.kind, Kind::Space | Kind::Comment);
    let last = before.iter().rev().find(is_word).map(|token| text[token.range.clone()].to_uppercase());
    last.is_some_and(|word| BEFORE_TABLES.contains(&word.as_str()))
}

/// True if the string that starts at `start` names a file.
fn is_before_file(before: &[Token], text: &str, start: usize) -> bool {
    let is_word = |token: &&Token| token.range.end <= start && !matches!(token.kind, Kind::Space | Kind::Comment);
    let mut words = before.iter().rev().filter(is_word).map(|token| &text[token.range.clone()]);
    let is_argument =
        words.next() == Some("(") && words.next().is_some_and(|word| word.to_lowercase().starts_with("read_"));
    is_argument || is_before_table(before, text, start)
}

/// Returns the typed part of the name of a file in the arguments of `\copy`, if the cursor is in the name.
fn file_of_copy(arguments: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for token in tokens(arguments) {
        match &arguments[token.range.clone()] {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            word if depth == 0 && (word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("to")) => {
                let typed = &arguments[token.range.end..];
                let name = typed.trim_start();
                let is_open = match name.starts_with('\'') {
                    true => tokens(name).first().is_some_and(|token| !token.closed),
                    false => !name.contains(char::is_whitespace),
                };
                return (typed.len() > name.len() && is_open).then_some(name);
            }
            _ => {}
        }
    }
    None
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
            let mut found = suggest(names, &format!("TABLE {rest}"), "TABLE ".len() + rest.len());
            found.retain(|s| matches!(s.description.as_deref(), Some("port" | "table" | "domain" | "schema")));
            found
        }
        "\\i" | "\\include" | "\\o" | "\\g" | "\\gx" => file_suggestions(rest.trim_start(), FilePlace::Command, after),
        "\\copy" => file_of_copy(rest).map_or_else(Vec::new, |typed| file_suggestions(typed, FilePlace::Copy, after)),
        _ => vec![],
    };
    for suggestion in &mut found {
        // The typed part of a name ends at the cursor.
        let typed = suggestion.span.end - suggestion.span.start;
        suggestion.span = Span::new(pos - typed, pos);
    }
    found
}

/// Returns the files for the typed part of a name, of which `after` is the rest of the line.
fn file_suggestions(typed: &str, place: FilePlace, after: &str) -> Vec<Suggestion> {
    let names = files(typed, place, after.starts_with('\'')).into_iter();
    names.map(|name| suggestion(name, None, Span::new(0, typed.len()))).collect()
}

fn suggestion(value: String, description: Option<&str>, span: Span) -> Suggestion {
    Suggestion { value, description: description.map(Into::into), span, ..Suggestion::default() }
}

/// Returns the typed part of a setting's name, if the cursor is where the name of a setting belongs.
fn setting_before<'a>(before: &[Token], text: &'a str) -> Option<&'a str> {
    let rest = after_first(&["SET", "RESET", "SHOW"], before, text)?;
    let typed = rest.trim_start();
    let is_name = typed.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    (is_name && rest.len() > typed.len()).then_some(typed)
}

/// True if the cursor is behind the name of a setting that gets a value.
fn is_in_setting(before: &[Token], text: &str) -> bool {
    after_first(&["SET"], before, text).is_some_and(|rest| rest.trim_start().contains([' ', '=']))
}

/// Returns the text behind the first word of the last statement, if it is one of `words`.
fn after_first<'a>(words: &[&str], before: &[Token], text: &'a str) -> Option<&'a str> {
    let start = before.iter().rposition(|t| &text[t.range.clone()] == ";").map_or(0, |semicolon| semicolon + 1);
    let first = before.get(start..)?.iter().find(|t| !text[t.range.clone()].trim().is_empty())?;
    let is_one = words.iter().any(|word| text[first.range.clone()].eq_ignore_ascii_case(word));
    text.get(first.range.end..).filter(|_| is_one)
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
    let tokens: Vec<_> = content_tokens(text).collect();
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
mod tests;
