//! Converts DataFusion's errors to ours. The kind determines what the caller can do, and the text contains the place.
//! The error of a cancelled query is here too, so that all code that runs a query returns the same one.

use std::error::Error as StdError;
use std::io;

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError, Span};
use datafusion::error::DataFusionError;
use portolan_catalog::nearest::nearest;

use super::budget;
use crate::{Error, ErrorKind};

/// Converts an error of DataFusion to ours. One of our errors that travelled through DataFusion comes out unchanged.
pub(crate) fn from_datafusion(error: &DataFusionError) -> Error {
    if let Some(ours) = find_ours(error) {
        return Error::new(ours.kind(), ours.chain()).with_retry_after(ours.retry_after());
    }
    let message = text(error);
    let message = match error.diagnostic().and_then(|d| d.span) {
        Some(span) => format!("{message} ({})", place(span)),
        None => message,
    };
    Error::new(kind(error), message)
}

/// Wraps one of our errors so that it can travel through DataFusion.
pub(crate) fn into_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Returns the error of a cancelled query.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the query was cancelled")
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
            _ => match cause.downcast_ref::<io::Error>() {
                // The source of such an error is that of the inner error.
                Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
                None => cause.source(),
            },
        };
    }
    None
}

/// True if the error is about an invalid regular expression, or one that takes too much memory.
fn is_of_regex(error: &(dyn StdError + 'static)) -> bool {
    let said = error.to_string();
    said.starts_with("regex parse error") || said.starts_with("Compiled regex exceeds size limit")
}

fn kind(error: &DataFusionError) -> ErrorKind {
    // The root is an error of another crate, which does not show the kind.
    if let DataFusionError::Context(context, inner) = error {
        return if context == "Invalid regex" { ErrorKind::InvalidQuery } else { kind(inner) };
    }
    match error.find_root() {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_)
        | DataFusionError::ArrowError(..) => ErrorKind::InvalidQuery,
        // This is the only library below a function whose errors concern the statement.
        DataFusionError::External(inner) if is_of_regex(inner.as_ref()) => ErrorKind::InvalidQuery,
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
            lower_first(without_backtrace(&message[from..]))
        }
        // The message continues with a dump of the expression.
        DataFusionError::NotImplemented(message) if message.contains(NO_SUBQUERY) => {
            "a subquery is not supported at this place: write it as a join, or in the select list of a subquery in FROM"
                .into()
        }
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => lower_first(without_backtrace(message)),
        _ => error.strip_backtrace(),
    }
}

/// The start of DataFusion's message about a subquery, or a column of the outer query, that no rule turned into a join.
const NO_SUBQUERY: &str = "Physical plan does not support logical expression";

/// The start of the useful part of DataFusion's message if a function does not accept its arguments.
const NO_SUCH_FUNCTION: &str = "No function matches the given name and argument types";

/// Describes a lack of memory or disk, with the limit of ours that was reached.
fn exhausted(message: &str) -> String {
    let limit = if message.contains(budget::REFUSED) {
        return message.to_owned();
    } else if message.contains("max_temp_directory_size") {
        "the disk space for spilled data (limits.spill) is used up"
    } else {
        "the query reached its memory limit (limits.query_memory)"
    };
    let what = message.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
    let what = what.split(" Please try increasing").next().unwrap_or_default();
    format!("{limit}: {}", lower_first(what))
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
    }
}
