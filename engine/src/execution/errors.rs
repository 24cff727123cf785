//! Converts DataFusion's errors to ours. The kind determines what the caller can do, and the text contains the place.
//! The error of a cancelled query is here too, so that all code that runs a query returns the same one.

mod arguments;
mod columns;
mod conversions;
mod operators;
mod parts;
mod patterns;
mod phrases;
mod sql_words;
mod type_names;

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use portolan_catalog::names_location;
use portolan_connectors::Subject;
use sqlparser::tokenizer::Span;

use super::disk::disk_error;
use super::{budget, memory};
use crate::{Error, ErrorKind, Position};

pub(crate) use conversions::not_converted;

/// The text of an error, with what it refers to.
#[derive(Debug)]
struct Message {
    text: String,
    subject: Option<Subject>,
    /// The valid name that the user may have meant. The text has it already.
    suggestion: Option<String>,
}

impl Message {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), subject: None, suggestion: None }
    }

    fn about(self, subject: Subject) -> Self {
        Self { subject: Some(subject), ..self }
    }

    fn suggesting(self, suggestion: Option<String>) -> Self {
        Self { suggestion, ..self }
    }
}

/// Converts an error of DataFusion to ours. One of our errors that travelled through DataFusion comes out unchanged.
pub(crate) fn from_datafusion(error: &DataFusionError) -> Error {
    if let Some(ours) = find_ours(error) {
        return ours.flat();
    }
    if let Some(disk) = disk_error(error) {
        return disk;
    }
    let (kind, message) = match patterns::message(error.find_root()) {
        Some(message) => (ErrorKind::InvalidQuery, message),
        None => (kind(error), described(error)),
    };
    // Readers and stores name the locations of files.
    match kind {
        ErrorKind::SiteUnavailable if names_location(&message.text) => {
            return Error::new(kind, "a file of the node cannot be read").for_owner(message.text);
        }
        ErrorKind::Internal if names_file(&message.text) => {
            return Error::new(kind, "DataFusion failed: the log of the node has the reason").for_owner(message.text);
        }
        _ => {}
    }
    let Message { text, subject, suggestion } = message;
    Error::new(kind, text).about(subject).with_suggestion(suggestion).at(position_of(error))
}

/// True if a text has a URL, or the path of a file from the root. A slash alone may be an operator.
fn names_file(text: &str) -> bool {
    let is_path =
        |word: &str| word.trim_start_matches(['\'', '"', '`', '(']).strip_prefix('/').is_some_and(|p| p.len() > 1);
    text.contains("://") || text.split_whitespace().any(is_path)
}

/// Describes an error of Arrow in one line.
pub(crate) fn arrow_text(error: &ArrowError) -> String {
    of_arrow(error).text
}

/// Wraps one of our errors so that it can travel through DataFusion.
pub(crate) fn into_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Returns the error of a cancelled query.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the query was cancelled")
}

/// Returns the error of a query that ran out of time, with a description of what it waited for.
pub(crate) fn timed_out(waiting: &str) -> Error {
    let what = format!("the query exceeded its timeout{waiting}; raise `portolan.query_timeout`");
    Error::new(ErrorKind::DeadlineExceeded, what)
}

/// Returns the error of a statement whose planning took too long.
pub(crate) fn planning_timed_out() -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        "planning exceeded the query's timeout (`portolan.query_timeout`, at most `limits.query_timeout`): simplify the \
         statement, or raise the timeout",
    )
}

/// Returns the position in the statement that an error of DataFusion has.
pub(crate) fn position_of(error: &DataFusionError) -> Option<Position> {
    let of_column = || match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } => field.spans().first(),
            _ => None,
        },
        _ => None,
    };
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).or_else(of_column)?;
    position(span.start.line, span.start.column)
}

/// Returns a position; `None` for the line 0, which stands for an unknown position.
pub(crate) fn position(line: u64, column: u64) -> Option<Position> {
    (line > 0).then_some(Position { line, column })
}

/// Returns the position where a part of a statement starts.
pub(crate) fn start_of(part: Span) -> Option<Position> {
    position(part.start.line, part.start.column)
}

/// Returns the first of our errors in the chain of causes.
fn find_ours<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            return Some(ours);
        }
        next = match cause.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            _ => cause.source(),
        };
    }
    None
}

fn kind(error: &DataFusionError) -> ErrorKind {
    match error.find_root() {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_) => ErrorKind::InvalidQuery,
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            // No expression reads these formats, but sources and spilled data have them.
            ArrowError::CsvError(_)
            | ArrowError::JsonError(_)
            | ArrowError::AvroError(_)
            | ArrowError::IpcError(_)
            | ArrowError::ParquetError(_)
            | ArrowError::ExternalError(_) => ErrorKind::SiteUnavailable,
            _ => ErrorKind::InvalidQuery,
        },
        DataFusionError::NotImplemented(_) | DataFusionError::Substrait(_) => ErrorKind::Unsupported,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::ResourceExhausted,
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            ErrorKind::SiteUnavailable
        }
        DataFusionError::Collection(errors) => errors.first().map_or(ErrorKind::Internal, kind),
        _ => ErrorKind::Internal,
    }
}

/// Describes an error in one line, in words of SQL, without DataFusion's prefixes and backtraces.
fn described(error: &DataFusionError) -> Message {
    match error {
        DataFusionError::SchemaError(schema, _) => polished(columns::message(schema, &[])),
        DataFusionError::ArrowError(inner, _) => of_arrow(inner),
        DataFusionError::Diagnostic(diagnostic, inner) => match inner.as_ref() {
            DataFusionError::SchemaError(schema, _) => {
                let notes: Vec<&str> = diagnostic.notes.iter().map(|note| note.message.as_str()).collect();
                polished(columns::message(schema, &notes))
            }
            _ => described(inner),
        },
        DataFusionError::Shared(inner) => described(inner),
        DataFusionError::Collection(errors) => {
            errors.first().map_or_else(|| of_text(&error.strip_backtrace()), described)
        }
        DataFusionError::ResourcesExhausted(message) => Message::new(exhausted(without_backtrace(message))),
        // The context of a memory error names settings of DataFusion, not ours.
        DataFusionError::Context(_, inner) if matches!(inner.find_root(), DataFusionError::ResourcesExhausted(_)) => {
            described(inner)
        }
        // The client has no use for the name of the rule that found the error.
        DataFusionError::Context(context, inner) if names_rule(context) => described(inner),
        DataFusionError::Context(context, inner) => {
            let Message { text, subject, suggestion } = described(inner);
            Message { text: format!("{}: {text}", of_text(context).text), subject, suggestion }
        }
        // The message continues with a dump of the expression.
        DataFusionError::NotImplemented(message) if message.contains(NO_SUBQUERY) && !message.contains(NO_WINDOW) => {
            Message::new(
                "a subquery is not supported at this place: write it as a join, or in the select list of a subquery in FROM",
            )
        }
        DataFusionError::Plan(message) | DataFusionError::Execution(message) => of_text(without_backtrace(message)),
        DataFusionError::NotImplemented(message) => not_implemented(without_backtrace(message)),
        DataFusionError::External(inner) => of_text(&inner.to_string()),
        // DataFusion adds where to report a fault, but its users cannot know whose fault it is.
        DataFusionError::Internal(message) => {
            Message::new(format!("DataFusion failed: {}", polished_text(without_backtrace(message))))
        }
        _ => of_text(&error.strip_backtrace()),
    }
}

fn of_arrow(error: &ArrowError) -> Message {
    match error {
        ArrowError::ArithmeticOverflow(what) => Message::new(format!(
            "arithmetic overflow: {}; CAST an operand to a wider type, or to DOUBLE",
            polished_text(what)
        )),
        ArrowError::DivideByZero => Message::new(DIVISION_BY_ZERO),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => described(inner),
            None => of_text(&inner.to_string()),
        },
        other => of_text(&other.to_string()),
    }
}

/// Describes an error by its text: in our words, if there are some for it.
fn of_text(text: &str) -> Message {
    polished(phrases::ours(&without_prefixes(text)).unwrap_or_else(|| Message::new(polished_text(text))))
}

/// Describes something that DataFusion does not implement. Some of its messages are only the name of it.
fn not_implemented(text: &str) -> Message {
    if let Some(ours) = phrases::ours(&without_prefixes(text)) {
        return polished(ours);
    }
    let text = polished_text(text);
    let is_sentence = ["support", "implement", "available", "permitted", "must", "cannot"];
    Message::new(match is_sentence.iter().any(|word| text.contains(word)) {
        true => text,
        false => format!("{text} is not supported"),
    })
}

/// Returns a message that begins in lower case and has one line.
fn polished(message: Message) -> Message {
    Message { text: lower_first(&one_line(&message.text)), ..message }
}

/// Returns a text of DataFusion or Arrow in one line, in words of SQL, without prefixes and a final period.
fn polished_text(text: &str) -> String {
    let text = text.split("This issue was likely caused by a bug").next().unwrap_or(text);
    let text = sql_words::in_sql_words(&one_line(&without_prefixes(text)));
    lower_first(text.trim_end_matches(['.', '!', ' ']))
}

/// Our message about a division by zero. It has no values.
pub(crate) const DIVISION_BY_ZERO: &str = "division by zero";

/// What DataFusion and Arrow write before the message of an error. One error may be within another.
const PREFIXES: [&str; 20] = [
    "Arrow error: ",
    "Cast error: ",
    "Compute error: ",
    "DataFusion error: ",
    "Error during planning: ",
    "Execution error: ",
    "External error: ",
    "Internal error: ",
    "Invalid argument error: ",
    "Io error: ",
    "IO error: ",
    "Not yet implemented: ",
    "Object Store error: ",
    "Parquet argument error: ",
    "Parquet error: ",
    "Parser error: ",
    "Schema error: ",
    "SQL error: ",
    "Substrait error: ",
    "This feature is not implemented: ",
];

fn without_prefixes(text: &str) -> String {
    PREFIXES.iter().fold(text.to_owned(), |text, prefix| text.replace(prefix, ""))
}

/// True for the context of a rule of the analyzer or the optimizer: its name, or a sentence about it.
fn names_rule(context: &str) -> bool {
    context.contains(" rule '") || context.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The start of DataFusion's message about a subquery, or a column of the outer query, that no rule turned into a join.
const NO_SUBQUERY: &str = "Physical plan does not support logical expression";
/// The same message about a window function.
const NO_WINDOW: &str = "Physical plan does not support logical expression WindowFunction";

/// Describes a lack of memory, with the limit of ours that was reached.
fn exhausted(message: &str) -> String {
    if message.contains(budget::REFUSED) {
        return message.to_owned();
    }
    if message.contains(memory::WITHOUT_OPERATORS) {
        return memory::WITHOUT_OPERATORS.to_owned();
    }
    let what = one_line(message);
    let what = what.split(" Please try increasing").next().unwrap_or_default();
    format!("the query reached its memory limit (limits.query_memory): {}", lower_first(what.trim_end_matches('.')))
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Changes the capital at the start of DataFusion's messages to lower case, as in our messages. A word in capitals
/// stays.
pub(crate) fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(message.chars().skip(1)).collect()
        }
        _ => message.to_owned(),
    }
}

fn without_backtrace(message: &str) -> &str {
    message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(message).trim_end()
}

#[cfg(test)]
mod tests;
