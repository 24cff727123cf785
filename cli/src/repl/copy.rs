//! `\copy`: copies rows from a file of this machine into a table of the session or a port, or from a query into a file.

use std::path::Path;

use futures::StreamExt;
use portolan_engine::server::files_of;
use portolan_engine::{IngestMode, IngestTarget};
use portolan_node::{Error, Result};

use super::commands::expanded;
use crate::connection::Connection;
use crate::lexer::{self, Kind, Position, Token, content_tokens, literal, tokens};
use crate::output::{Format, Output};
use crate::place::draw;
use crate::render::View;
use crate::units::show_number;

/// The text about the arguments, for errors.
const USAGE: &str = "`\\copy` expects `TABLE from 'FILE'`, `TABLE to 'FILE'` or `(QUERY) to 'FILE'`, and then options such as \
                     `(header false, delim ';')`";

/// The formats of the files. A function such as `read_csv` reads each of them.
const FORMATS: [Format; 4] = [Format::Csv, Format::Json, Format::Arrow, Format::Parquet];

/// The parsed arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arguments {
    source: Source,
    direction: Direction,
    file: String,
    /// The options, each with its value as SQL.
    options: Vec<(String, String)>,
}

/// The rows on the side of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The table with this name, as SQL.
    Table(String),
    Query(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    From,
    To,
}

/// Copies rows as the arguments of `\copy` say, and returns a message about what was copied.
///
/// # Errors
/// Arguments that are not valid, a file that cannot be read or written, or the node's error.
pub async fn copy(connection: &Connection, arguments: &str) -> Result<String> {
    let Arguments { source, direction, file, options } = parse(arguments)?;
    match (source, direction) {
        (Source::Table(table), Direction::From) => from(connection, &table, &file, &options).await,
        (Source::Table(table), Direction::To) => {
            to(connection, &format!("SELECT * FROM {table}"), Path::new(&file), &options).await
        }
        (Source::Query(query), Direction::To) => to(connection, &query, Path::new(&file), &options).await,
        (Source::Query(_), Direction::From) => Err(Error::failed(format!("rows are copied into a table; {USAGE}"))),
    }
}

async fn from(connection: &Connection, table: &str, file: &str, options: &[(String, String)]) -> Result<String> {
    let failed = |e: portolan_engine::Error| Error::failed(e.owner_chain());
    let (target, mode) = target(table)?;
    let reference = reference(file, options)?;
    let mut files = files_of(&format!("SELECT * FROM {reference}")).map_err(failed)?;
    let Some(reference) = files.pop() else { return Err(Error::failed(USAGE)) };
    let rows = connection.files().read(&reference).await.map_err(failed)?;
    let rows = connection.ingest(&target, mode, file, rows).await;
    let rows = rows.map_err(|e| failed(e.within(format!("cannot copy {file} into {table}"))))?;
    Ok(format!("{} copied into {table}", show_number(rows, "row")))
}

async fn to(connection: &Connection, query: &str, file: &Path, options: &[(String, String)]) -> Result<String> {
    let mut format = format_of(file);
    for (name, value) in options {
        match name.as_str() {
            "format" => format = Some(named_format(value)?),
            other => {
                let what = format!("`\\copy … to` has no option `{other}`: it accepts only `format`");
                return Err(Error::failed(what));
            }
        }
    }
    let Some(format) = format else {
        return Err(Error::failed(format!(
            "{}: expected a name that ends in {}, or the option `format` with one of these",
            file.display(),
            FORMATS.map(|format| format!("`.{}`", format.name())).join(", ")
        )));
    };
    let failed = |e: portolan_engine::Error| Error::failed(draw(&e.owner_chain(), query, Position::START));
    let mut running = connection.start(query).await.map_err(failed)?;
    if running.schema.fields().is_empty() {
        return Err(Error::failed("the statement returns no rows to copy"));
    }
    let mut output = Output::file(file, Some(format), format)?;
    let mut writer = output.begin(&running.schema, View::default())?;
    while let Some(batch) = running.rows.next().await {
        writer.write(&batch.map_err(failed)?)?;
    }
    let rows = writer.finish(None)?;
    output.finish()?;
    Ok(format!("{} copied to {}", show_number(rows as u64, "row"), file.display()))
}

/// Returns the table or the port with this name, and how rows are stored in it.
fn target(name: &str) -> Result<(IngestTarget, IngestMode)> {
    let wrong = || {
        Error::failed(format!(
            "expected a table of the session, or a port as `domain.product.port`, got `{name}`: the columns of the file \
             are matched by name"
        ))
    };
    let all: Vec<Token> = content_tokens(name).collect();
    let (mut parts, count): (Vec<String>, _) = (vec![], all.len());
    for (place, token) in all.into_iter().enumerate() {
        let text = &name[token.range];
        match token.kind {
            Kind::QuotedName if place % 2 == 0 => parts.push(lexer::unquoted(text)),
            Kind::Word if place % 2 == 0 => parts.push(text.to_ascii_lowercase()),
            _ if place % 2 == 1 && text == "." && place + 1 < count => {}
            _ => return Err(wrong()),
        }
    }
    match parts.as_slice() {
        [table] => Ok((IngestTarget { table: table.clone(), ..IngestTarget::default() }, IngestMode::CreateAppend)),
        [catalog, schema, table] => {
            let (catalog, schema) = (Some(catalog.clone()), Some(schema.clone()));
            let target = IngestTarget { catalog, schema, table: table.clone() };
            let mode = if target.is_of_session() { IngestMode::CreateAppend } else { IngestMode::Append };
            Ok((target, mode))
        }
        _ => Err(wrong()),
    }
}

/// Returns the file with its options as a table in SQL.
fn reference(file: &str, options: &[(String, String)]) -> Result<String> {
    let literal = literal(file);
    if options.is_empty() {
        return Ok(literal);
    }
    let (mut format, mut others) = (format_of(Path::new(file)), String::new());
    for (name, value) in options {
        match name.as_str() {
            "format" => format = Some(named_format(value)?),
            _ => others.push_str(&format!(", {name} => {value}")),
        }
    }
    // Options such as a delimiter belong to CSV.
    let name = format.unwrap_or(Format::Csv).name();
    Ok(format!("read_{name}({literal}{others})"))
}

fn format_of(file: &Path) -> Option<Format> {
    known_format(&file.extension()?.to_string_lossy())
}

fn known_format(ending: &str) -> Option<Format> {
    Format::of_ending(ending).filter(|format| FORMATS.contains(format))
}

/// Returns the format that the value of the option `format` names.
fn named_format(value: &str) -> Result<Format> {
    let name = unquoted(value);
    known_format(name).ok_or_else(|| {
        Error::failed(format!("there is no format `{name}`: use {}", FORMATS.map(Format::name).join(", ")))
    })
}

fn parse(text: &str) -> Result<Arguments> {
    let wrong = || Error::failed(USAGE);
    let all: Vec<Token> = content_tokens(text).collect();
    let word = |token: &Token| match token.kind {
        Kind::Word => Some(text[token.range.clone()].to_ascii_lowercase()),
        _ => None,
    };
    // The source ends before the first `from` or `to` outside brackets.
    let (mut depth, mut found) = (0_usize, None);
    for (at, token) in all.iter().enumerate() {
        match (&text[token.range.clone()], word(token).as_deref()) {
            ("(", _) => depth += 1,
            (")", _) => depth = depth.saturating_sub(1),
            (_, Some("from")) if depth == 0 => found = Some((at, Direction::From)),
            (_, Some("to")) if depth == 0 => found = Some((at, Direction::To)),
            _ => {}
        }
        if found.is_some() {
            break;
        }
    }
    let Some((at, direction)) = found.filter(|(at, _)| *at > 0) else { return Err(wrong()) };
    let (first, last) = (&all[0], &all[at - 1]);
    let is_query = &text[first.range.clone()] == "(" && &text[last.range.clone()] == ")";
    let source = match is_query {
        true => Source::Query(text[first.range.end..last.range.start].trim().to_owned()),
        false => Source::Table(text[first.range.start..last.range.end].to_owned()),
    };
    let Some(start) = all.get(at + 1).map(|token| token.range.start) else { return Err(wrong()) };
    let (file, end) = file(text, start).ok_or_else(wrong)?;
    Ok(Arguments { source, direction, file, options: options(&text[end..])? })
}

/// Returns the name of a file that begins at `start`, in quotes or up to a space, and its end.
fn file(text: &str, start: usize) -> Option<(String, usize)> {
    let rest = &text[start..];
    let shown = |path: &str| expanded(path).display().to_string();
    if !rest.starts_with('\'') {
        let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
        return Some((shown(&rest[..length]), start + length));
    }
    let token = tokens(rest).into_iter().next().filter(|token| token.closed)?;
    Some((shown(&unquoted(&rest[token.range.clone()]).replace("''", "'")), start + token.range.end))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value)
}

/// Parses options such as `with (format csv, header, delimiter ';')`. A name without a value is a switch.
fn options(text: &str) -> Result<Vec<(String, String)>> {
    let text = text.trim();
    let without_with = text.get(..4).filter(|start| start.eq_ignore_ascii_case("with")).map(|_| text[4..].trim());
    let text = without_with.unwrap_or(text);
    if text.is_empty() {
        return Ok(vec![]);
    }
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let Some(inner) = inner else { return Err(Error::failed(format!("`{text}` is no list of options; {USAGE}"))) };
    let all: Vec<Token> = content_tokens(inner).collect();
    let of = |token: &Token| &inner[token.range.clone()];
    let mut options = vec![];
    for option in all.split(|token| of(token) == ",") {
        // The signs of `name = value` and `name => value`.
        let parts: Vec<&str> = option.iter().map(of).filter(|part| !matches!(*part, "=" | ">" | ":")).collect();
        let (name, value) = match parts.as_slice() {
            [name] => (*name, "true".to_owned()),
            [name, value] if option.last().is_some_and(|token| token.kind == Kind::Word) => (*name, worded(value)),
            [name, value] => (*name, (*value).to_owned()),
            _ => return Err(Error::failed(format!("`{inner}` is no list of options; {USAGE}"))),
        };
        options.push((name.to_ascii_lowercase(), value));
    }
    Ok(options)
}

/// Returns a word as SQL: a switch as it is, and any other word as a string.
fn worded(word: &str) -> String {
    match word.to_ascii_lowercase().as_str() {
        "true" | "on" => "true".to_owned(),
        "false" | "off" => "false".to_owned(),
        _ => format!("'{word}'"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parsed(text: &str) -> (Source, Direction, String, String) {
        let Arguments { source, direction, file, options } = parse(text).unwrap();
        let options: Vec<_> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (source, direction, file, options.join(" "))
    }

    #[test]
    fn arguments_are_understood() {
        let table = |name: &str| Source::Table(name.to_owned());
        for (text, source, direction, file, options) in [
            ("t from 'a b.csv'", table("t"), Direction::From, "a b.csv", ""),
            ("t FROM a.csv", table("t"), Direction::From, "a.csv", ""),
            ("\"T\" to 'o''x.parquet'", table("\"T\""), Direction::To, "o'x.parquet", ""),
            ("d.p.t to 'a.csv'", table("d.p.t"), Direction::To, "a.csv", ""),
            (
                "(SELECT a FROM t WHERE s = 'to') to 'a.json'",
                Source::Query("SELECT a FROM t WHERE s = 'to'".to_owned()),
                Direction::To,
                "a.json",
                "",
            ),
            (
                "t from 'a' with (FORMAT csv, header, delimiter ';')",
                table("t"),
                Direction::From,
                "a",
                "format='csv' header=true delimiter=';'",
            ),
            ("t from 'a.csv' (sep => ';', header = off)", table("t"), Direction::From, "a.csv", "sep=';' header=false"),
        ] {
            assert_eq!(parsed(text), (source, direction, file.to_owned(), options.to_owned()), "{text}");
        }
        for wrong in ["", "t", "from 'a.csv'", "t from", "t from 'a.csv", "t from 'a.csv' csv header", "t 'a.csv'"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_choose_the_reader() {
        let made = |file: &str, options: &[(&str, &str)]| {
            let options: Vec<_> = options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            reference(file, &options).map_err(|e| e.to_string())
        };
        assert_eq!(made("o'x.csv", &[]).unwrap(), "'o''x.csv'");
        assert_eq!(made("a.csv", &[("header", "false")]).unwrap(), "read_csv('a.csv', header => false)");
        assert_eq!(made("a.log", &[("format", "'JSON'")]).unwrap(), "read_json('a.log')");
        assert_eq!(made("a", &[("delim", "';'")]).unwrap(), "read_csv('a', delim => ';')");
        assert!(made("a", &[("format", "'xml'")]).unwrap_err().contains("csv, json, arrow, parquet"));
    }

    #[test]
    fn a_target_is_a_table_of_the_session_or_a_port() {
        let (target_of, mode) = target("Orders").unwrap();
        assert_eq!((target_of.table.as_str(), mode), ("orders", IngestMode::CreateAppend));
        let (port, mode) = target("sales.orders.\"Events\"").unwrap();
        assert_eq!((port.catalog.as_deref(), port.table.as_str(), mode), (Some("sales"), "Events", IngestMode::Append));
        let (own, mode) = target("portolan.session.t").unwrap();
        assert_eq!((own.is_of_session(), mode), (true, IngestMode::CreateAppend));
        for wrong in
            ["orders.events", "t(a, b)", "sales orders events", "sales.orders.events e", "a..b", ".t", "t.", "1"]
        {
            let error = target(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("got `{wrong}`")), "{error}");
        }
    }
}
