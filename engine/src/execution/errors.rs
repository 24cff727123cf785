//! Converts DataFusion's errors to ours. The kind determines what the caller can do, and the text contains the place.
//! The error of a cancelled query is here too, so that all code that runs a query returns the same one.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError, Span};
use datafusion::error::DataFusionError;
use portolan_catalog::names_location;
use portolan_catalog::nearest::nearest;

use super::budget;
use super::disk::disk_error;
use crate::{Error, ErrorKind};

/// Converts an error of DataFusion to ours. One of our errors that travelled through DataFusion comes out unchanged.
pub(crate) fn from_datafusion(error: &DataFusionError) -> Error {
    if let Some(ours) = find_ours(error) {
        return ours.flat();
    }
    if let Some(disk) = disk_error(error) {
        return disk;
    }
    let (kind, message) = match regex_message(error.find_root()).and_then(|message| regex_fault(&message)) {
        Some(message) => (ErrorKind::InvalidQuery, message),
        None => (kind(error), text(error)),
    };
    let message = match error.diagnostic().and_then(|d| d.span) {
        Some(span) => format!("{message} ({})", place(span)),
        None => message,
    };
    match kind {
        // Readers and stores name the locations of files.
        kind @ ErrorKind::SiteUnavailable if names_location(&message) => {
            Error::new(kind, "a file of the node cannot be read").for_owner(message)
        }
        kind => Error::new(kind, message),
    }
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

/// Describes a place in a statement.
pub(crate) fn place(span: Span) -> String {
    format!("line {}, column {}", span.start.line, span.start.column)
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

/// Describes the fault of a regular expression, if an error is about one. The libraries report it in many kinds of
/// errors.
fn regex_fault(message: &str) -> Option<String> {
    const NOT_COMPILED: &str = "Regular expression did not compile";
    if message.contains("Compiled regex exceeds size limit") || message.contains("CompiledTooBig") {
        return Some("a regular expression is too large: write a shorter one, or repeat less of it".to_owned());
    }
    if message.contains("regex parse error") {
        // The message draws the place in several lines, and ends with the fault.
        let fault = message.rsplit_once("error: ").map_or("", |(_, fault)| fault.lines().next().unwrap_or_default());
        return Some(format!("a regular expression is not valid: {fault}"));
    }
    message.contains(NOT_COMPILED).then(|| "a regular expression is not valid".to_owned())
}

/// Returns the message of an error if a regular expression may be its cause.
fn regex_message(root: &DataFusionError) -> Option<String> {
    match root {
        DataFusionError::Internal(message) | DataFusionError::Execution(message) => Some(message.clone()),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ComputeError(message) => Some(message.clone()),
            _ => None,
        },
        DataFusionError::External(inner) => Some(inner.to_string()),
        _ => None,
    }
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
            | ArrowError::ParquetError(_) => ErrorKind::SiteUnavailable,
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

/// Returns the message without DataFusion's prefixes and backtraces.
fn text(error: &DataFusionError) -> String {
    match error {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => no_such_column(field, valid_fields),
            other => lower_first(&other.to_string()),
        },
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ArithmeticOverflow(what) => {
                format!("arithmetic overflow: {}; CAST an operand to a wider type, or to DOUBLE", lower_first(what))
            }
            other => lower_first(&other.to_string()),
        },
        DataFusionError::Diagnostic(_, inner) => text(inner),
        DataFusionError::Shared(inner) => text(inner),
        DataFusionError::Collection(errors) => errors.first().map_or_else(|| error.strip_backtrace(), text),
        DataFusionError::ResourcesExhausted(message) => exhausted(without_backtrace(message)),
        // The context of a memory error names settings of DataFusion, not ours.
        DataFusionError::Context(_, inner) if matches!(inner.find_root(), DataFusionError::ResourcesExhausted(_)) => {
            text(inner)
        }
        // The client has no use for the name of the optimizer rule that found the error.
        DataFusionError::Context(context, inner) if context.contains(" rule '") => text(inner),
        DataFusionError::Context(context, inner) => format!("{context}: {}", text(inner)),
        DataFusionError::Plan(message) if message.contains(NO_SUCH_FUNCTION) => {
            let from = message.find(NO_SUCH_FUNCTION).unwrap_or_default();
            lower_first(&one_line(without_backtrace(&message[from..])))
        }
        // The message continues with a dump of the expression.
        DataFusionError::NotImplemented(message) if message.contains(NO_SUBQUERY) => {
            "a subquery is not supported at this place: write it as a join, or in the select list of a subquery in FROM"
                .into()
        }
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => lower_first(without_backtrace(message)),
        // DataFusion adds where to report a fault, but its users cannot know whose fault it is.
        DataFusionError::Internal(message) => format!("DataFusion failed: {}", one_line(without_backtrace(message))),
        _ => one_line(&error.strip_backtrace()),
    }
}

/// The start of DataFusion's message about a subquery, or a column of the outer query, that no rule turned into a join.
const NO_SUBQUERY: &str = "Physical plan does not support logical expression";

/// The start of the useful part of DataFusion's message if a function does not accept its arguments.
const NO_SUCH_FUNCTION: &str = "No function matches the given name and argument types";

/// Describes a lack of memory, with the limit of ours that was reached.
fn exhausted(message: &str) -> String {
    if message.contains(budget::REFUSED) {
        return message.to_owned();
    }
    let what = one_line(message);
    let what = what.split(" Please try increasing").next().unwrap_or_default();
    format!("the query reached its memory limit (limits.query_memory): {}", lower_first(what))
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The largest number of columns that an error lists if no name is similar.
const COLUMNS_LISTED: usize = 8;

fn no_such_column(field: &Column, valid: &[Column]) -> String {
    let wanted = field.flat_name();
    let names = || valid.iter().map(|c| c.name.as_str());
    let hint = match nearest(&field.name, names()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if valid.is_empty() => String::new(),
        None => {
            let listed: Vec<_> = names().take(COLUMNS_LISTED).collect();
            let more = if valid.len() > COLUMNS_LISTED { ", …" } else { "" };
            // Only double quotes keep capitals and spaces in a name, and some users write strings with them.
            let kept = |c: char| c.is_ascii_uppercase() || c == ' ';
            let text = match field.relation.is_none() && field.name.contains(kept) && !field.name.contains('(') {
                true => format!("; for a string, write '{}'", field.name.replace('\'', "''")),
                false => String::new(),
            };
            format!("; valid columns are {}{more}{text}", listed.join(", "))
        }
    };
    format!("there is no column `{wanted}`{hint}")
}

/// Changes the capital at the start of DataFusion's messages to lower case, as in our messages. A word in capitals
/// stays.
fn lower_first(message: &str) -> String {
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
mod tests {
    use std::sync::Arc;

    use datafusion::parquet::errors::ParquetError;

    use super::*;

    #[test]
    fn one_of_ours_comes_out_as_it_went_in() {
        let error = into_datafusion(Error::new(ErrorKind::SiteUnavailable, "sales is down"));
        let error = DataFusionError::Shared(Arc::new(error.context("while joining")));
        let error = DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(error))), None);
        let ours = from_datafusion(&error);
        assert_eq!((ours.kind(), ours.context()), (ErrorKind::SiteUnavailable, "sales is down"));
    }

    #[test]
    fn kinds_follow_the_root() {
        let error = DataFusionError::ResourcesExhausted("2 GiB".into()).context("sort");
        assert_eq!(from_datafusion(&error).kind(), ErrorKind::ResourceExhausted);
        assert_eq!(from_datafusion(&DataFusionError::Plan("x".into())).kind(), ErrorKind::InvalidQuery);
        let csv = DataFusionError::ArrowError(Box::new(ArrowError::CsvError("a record of 3 fields".into())), None);
        assert_eq!(from_datafusion(&csv).kind(), ErrorKind::SiteUnavailable);
    }

    #[test]
    fn only_the_owner_sees_where_files_are_stored() {
        let error = DataFusionError::ParquetError(Box::new(ParquetError::General("EOF in /srv/a.parquet".into())));
        let error = from_datafusion(&error.context("reading"));
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        assert!(!error.chain().contains("/srv") && error.owner_chain().contains("/srv/a.parquet"), "{error}");
        let inner = Error::new(ErrorKind::SiteUnavailable, "file a is gone").for_owner("file /srv/a is gone");
        let error = from_datafusion(&into_datafusion(inner).context("reading"));
        assert_eq!((error.chain(), error.owner_chain()), ("file a is gone".into(), "file /srv/a is gone".into()));
    }

    #[test]
    fn a_regular_expression_is_the_fault_of_the_query() {
        for (error, expected) in [
            (DataFusionError::Internal("failed to call it Compute error: CompiledTooBig(10)".into()), "too large"),
            (DataFusionError::Execution("Regular expression did not compile: CompiledTooBig(10)".into()), "too large"),
            (
                DataFusionError::External("regex parse error:\n    (\n    ^\nerror: unclosed group".into()),
                "unclosed group",
            ),
        ] {
            let error = from_datafusion(&error);
            assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{error}");
            assert!(error.context().contains(expected), "{error}");
            assert!(!error.context().contains('\n'), "{error}");
        }
        let error = from_datafusion(&DataFusionError::Internal("no such thing".into()));
        assert_eq!((error.kind(), error.context()), (ErrorKind::Internal, "DataFusion failed: no such thing"));
    }
}
