//! Errors of the server and of the connection, as errors of the query path.
//!
//! Everybody sees what happened. The server's own words can have values of rows, so only the owner sees those of a value
//! that cannot be read, and the URL.

use std::time::{Duration, Instant};

use tokio_postgres::error::{DbError, SqlState};

use crate::databases::Origin;
use crate::error::{Error, ErrorKind, with_causes};

/// The work in which an error arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Connecting and authenticating.
    Connect,
    /// Reading what the database knows of its tables, or planning a query of a contract.
    Describe,
    /// Running a query.
    Read,
    /// Adding rows.
    Append,
}

/// The time before the deadline at which the server's own limit may end a query.
const TOLERANCE: Duration = Duration::from_millis(50);

/// Returns an error of tokio-postgres as an error of the query path. The work must be done by `until`.
pub(super) fn error(origin: &Origin, work: Work, until: Instant, cause: tokio_postgres::Error) -> Error {
    if let Some(failure) = cause.as_db_error() {
        return of_server(origin, work, until, failure);
    }
    let what = match work {
        Work::Connect => "does not accept connections, or has no TLS certificate that this node trusts",
        _ if cause.is_closed() || is_io(&cause) => "ended the connection",
        _ => "sent an answer that cannot be read",
    };
    let what = format!("{} {what}", origin.shown);
    let details = with_causes(&format!("{what} ({})", origin.url), &cause);
    // A fault of TLS names the host.
    let public = if work == Work::Connect { what } else { with_causes(&what, &cause) };
    Error::new(ErrorKind::SiteUnavailable, public).for_owner(details)
}

fn is_io(cause: &tokio_postgres::Error) -> bool {
    std::error::Error::source(cause).is_some_and(|source| source.is::<std::io::Error>())
}

fn of_server(origin: &Origin, work: Work, until: Instant, failure: &DbError) -> Error {
    let code = failure.code();
    if *code == SqlState::QUERY_CANCELED && until.saturating_duration_since(Instant::now()) <= TOLERANCE {
        return origin.late();
    }
    let (kind, what) = meaning(code, work);
    let shown = &origin.shown;
    let message = failure.message();
    let all = match failure.detail() {
        Some(detail) => format!("{message} ({detail})"),
        None => message.to_owned(),
    };
    // The message of a failed login names the account, and the one of a value repeats the value.
    let is_hidden = matches!(work, Work::Connect | Work::Read);
    let place = failure.where_().filter(|_| work == Work::Append).and_then(column_of_copy);
    let place = place.map(|column| format!("column `{column}`: ")).unwrap_or_default();
    let public = match is_hidden {
        true => format!("{shown}: {what} (SQLSTATE {})", code.code()),
        false => format!("{shown}: {what}: {place}{message}"),
    };
    let owner = format!("{shown} ({}): {what}: {place}{all} (SQLSTATE {})", origin.url, code.code());
    Error::new(kind, public).for_owner(owner)
}

/// Returns the kind of the error with an SQLSTATE, and what it means.
fn meaning(code: &SqlState, work: Work) -> (ErrorKind, &'static str) {
    let reads = work != Work::Append;
    match (code.code().get(..2).unwrap_or_default(), code.code()) {
        ("28", _) => (ErrorKind::SiteUnavailable, "the database does not accept the account in the node's config"),
        (_, "3D000") => (ErrorKind::SiteUnavailable, "the server does not have the database"),
        (_, "42501") if reads => (ErrorKind::PermissionDenied, "the account in the node's config may not read it"),
        (_, "42501") => (ErrorKind::PermissionDenied, "the account in the node's config may not add rows"),
        (_, "57014") => (ErrorKind::Cancelled, "an operator of the database cancelled the query"),
        ("57" | "08", _) => (ErrorKind::SiteUnavailable, "the database ended the connection"),
        ("53" | "54", _) => (ErrorKind::ResourceExhausted, "a limit of the database was reached"),
        (_, "25006") => (ErrorKind::Unsupported, "the database only permits reading"),
        ("22", _) if reads => (ErrorKind::InvalidData, "the database cannot return a value as the contract has it"),
        (_, "23505") => (ErrorKind::InvalidQuery, "the rows have a key that the table or another row has"),
        ("22" | "23" | "44", _) => (ErrorKind::InvalidQuery, "the table does not accept a value"),
        // Sessions have no search path, so a table without its schema is never found.
        (_, "42P01") if work == Work::Describe => (
            ErrorKind::NotFound,
            "the query of the port names a table that the database does not have; write each table with its schema, as in \
             `schema.table`",
        ),
        (_, "42703" | "3F000") if work == Work::Describe => {
            (ErrorKind::NotFound, "the query of the port names something that the database does not have")
        }
        (_, "42883" | "42704") if work == Work::Describe => (
            ErrorKind::InvalidQuery,
            "the query of the port uses a function, an operator or a type that the database does not have; write one of \
             another schema than `pg_catalog` with its schema, as in `schema.function`",
        ),
        ("42" | "0A", _) if work == Work::Describe => {
            (ErrorKind::InvalidQuery, "expected a single `SELECT` as the port's query")
        }
        (_, "42601") => (ErrorKind::Internal, "the database does not accept the SQL of the node"),
        ("0A", _) | (_, "42809") => (ErrorKind::Unsupported, "the database does not support it"),
        ("42" | "3F", _) => (ErrorKind::InvalidData, "the tables have changed since the port was opened"),
        _ => (ErrorKind::SiteUnavailable, "the database failed"),
    }
}

/// Returns the column that the context of a failed COPY names: `COPY orders, line 3, column price: "x"`.
fn column_of_copy(context: &str) -> Option<&str> {
    let (_, rest) = context.strip_prefix("COPY ")?.split_once(", column ")?;
    let end = rest.find(": \"").or_else(|| rest.find('\n')).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches(": null input"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_of_a_failed_copy_is_found() {
        let cases = [
            ("COPY orders, line 3, column price: \"x\"", Some("price")),
            ("COPY orders, line 3, column \"a: b\": \"x, column y\"", Some("\"a: b\"")),
            ("COPY orders, line 3, column price: null input", Some("price")),
            ("COPY orders, line 3: \"1\\t2\"", None),
            ("SQL function \"f\" statement 1", None),
        ];
        for (context, expected) in cases {
            assert_eq!(column_of_copy(context), expected, "{context}");
        }
    }

    #[test]
    fn a_query_with_an_unknown_name_needs_its_schema() {
        for (code, expected) in
            [(SqlState::UNDEFINED_TABLE, "`schema.table`"), (SqlState::UNDEFINED_FUNCTION, "`schema.function`")]
        {
            assert!(meaning(&code, Work::Describe).1.contains(expected), "{code:?}");
            // Other queries are written by the node.
            assert!(!meaning(&code, Work::Read).1.contains("schema"), "{code:?}");
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_kind_of_error() {
        let cases = [
            (SqlState::INVALID_PASSWORD, Work::Connect, ErrorKind::SiteUnavailable),
            (SqlState::INVALID_CATALOG_NAME, Work::Connect, ErrorKind::SiteUnavailable),
            (SqlState::TOO_MANY_CONNECTIONS, Work::Connect, ErrorKind::ResourceExhausted),
            (SqlState::INSUFFICIENT_PRIVILEGE, Work::Read, ErrorKind::PermissionDenied),
            (SqlState::ADMIN_SHUTDOWN, Work::Read, ErrorKind::SiteUnavailable),
            (SqlState::QUERY_CANCELED, Work::Read, ErrorKind::Cancelled),
            (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, Work::Read, ErrorKind::InvalidData),
            (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, Work::Append, ErrorKind::InvalidQuery),
            (SqlState::UNIQUE_VIOLATION, Work::Append, ErrorKind::InvalidQuery),
            (SqlState::READ_ONLY_SQL_TRANSACTION, Work::Append, ErrorKind::Unsupported),
            (SqlState::UNDEFINED_COLUMN, Work::Read, ErrorKind::InvalidData),
            (SqlState::UNDEFINED_TABLE, Work::Describe, ErrorKind::NotFound),
            (SqlState::UNDEFINED_FUNCTION, Work::Describe, ErrorKind::InvalidQuery),
            (SqlState::FEATURE_NOT_SUPPORTED, Work::Describe, ErrorKind::InvalidQuery),
            (SqlState::FEATURE_NOT_SUPPORTED, Work::Append, ErrorKind::Unsupported),
            (SqlState::SYNTAX_ERROR, Work::Describe, ErrorKind::InvalidQuery),
            (SqlState::SYNTAX_ERROR, Work::Read, ErrorKind::Internal),
            (SqlState::IO_ERROR, Work::Read, ErrorKind::SiteUnavailable),
        ];
        for (code, work, expected) in cases {
            assert_eq!(meaning(&code, work).0, expected, "{code:?} {work:?}");
        }
    }
}
