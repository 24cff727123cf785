//! The one mapping between the kinds of errors and gRPC statuses, for the serving and the asking side. The exact kind
//! travels in a header of its own, since several kinds could share a code.

use std::error::Error as StdError;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::error::{Error, ErrorKind};
use crate::site::SiteId;

/// The header of a status that carries the exact [`ErrorKind`], as it is serialised.
pub const ERROR_KIND_KEY: &str = "portolan-error-kind";

/// How long a status message may be once it is encoded: clients refuse headers beyond 8 KiB.
const MAX_MESSAGE: usize = 4096;

/// The status that tells a caller of `error`: every cause, in one line.
pub fn to_status(error: &Error) -> Status {
    let (name, code) = wire_form(error.kind());
    let mut status = Status::new(code, shortened(&error.chain()));
    status.metadata_mut().insert(ERROR_KIND_KEY, MetadataValue::from_static(name));
    status
}

/// The error that a node's `status` tells of, with the node named.
pub fn from_status(status: &Status, site: &SiteId) -> Error {
    let told = status.metadata().get(ERROR_KIND_KEY).and_then(|v| v.to_str().ok()).and_then(parse_kind);
    let mut message = status.message().to_owned();
    if told.is_none() {
        // The connection's own failures hide what happened behind a general word.
        let mut next = status.source();
        while let Some(cause) = next {
            let said = cause.to_string();
            if !message.contains(&said) {
                message = if message.is_empty() { said } else { format!("{message}: {said}") };
            }
            next = cause.source();
        }
    }
    if message.is_empty() {
        message = format!("answered {:?}", status.code());
    }
    Error::new(told.unwrap_or_else(|| kind_of(status.code())), format!("node {site}: {message}"))
}

fn wire_form(kind: ErrorKind) -> (&'static str, Code) {
    match kind {
        ErrorKind::InvalidQuery => ("invalid_query", Code::InvalidArgument),
        ErrorKind::NotFound => ("not_found", Code::NotFound),
        ErrorKind::AlreadyExists => ("already_exists", Code::AlreadyExists),
        ErrorKind::Unauthenticated => ("unauthenticated", Code::Unauthenticated),
        ErrorKind::PermissionDenied => ("permission_denied", Code::PermissionDenied),
        ErrorKind::Unsupported => ("unsupported", Code::Unimplemented),
        ErrorKind::SiteUnavailable => ("site_unavailable", Code::Unavailable),
        ErrorKind::DeadlineExceeded => ("deadline_exceeded", Code::DeadlineExceeded),
        ErrorKind::ResourceExhausted => ("resource_exhausted", Code::ResourceExhausted),
        ErrorKind::Cancelled => ("cancelled", Code::Cancelled),
        ErrorKind::Internal => ("internal", Code::Internal),
    }
}

/// The kind of a status that no Portolan node made: the connection did, or something in between.
fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument => ErrorKind::InvalidQuery,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        // The codec answers `OutOfRange` for a message beyond its bound.
        Code::ResourceExhausted | Code::OutOfRange => ErrorKind::ResourceExhausted,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => ErrorKind::SiteUnavailable,
    }
}

fn parse_kind(name: &str) -> Option<ErrorKind> {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    ErrorKind::deserialize(name).ok()
}

/// gRPC percent-encodes whatever is not printable ASCII, so that a character may take twelve bytes.
fn shortened(message: &str) -> String {
    let mut budget = MAX_MESSAGE;
    for (at, c) in message.char_indices() {
        let cost = if c == ' ' || (c.is_ascii_graphic() && c != '%') { 1 } else { 3 * c.len_utf8() };
        if cost > budget {
            return format!("{} …", &message[..at]);
        }
        budget -= cost;
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const KINDS: [ErrorKind; 10] = [
        ErrorKind::InvalidQuery,
        ErrorKind::NotFound,
        ErrorKind::Unauthenticated,
        ErrorKind::PermissionDenied,
        ErrorKind::Unsupported,
        ErrorKind::SiteUnavailable,
        ErrorKind::DeadlineExceeded,
        ErrorKind::ResourceExhausted,
        ErrorKind::Cancelled,
        ErrorKind::Internal,
    ];

    #[test]
    fn every_kind_survives_the_way_there_and_back() {
        let site = SiteId::new("grpc://sales:1");
        for kind in KINDS {
            let status = to_status(&Error::new(kind, "no such port").with_source("the cause"));
            let back = from_status(&status, &site);
            assert_eq!(back.kind(), kind);
            assert_eq!(back.context(), "node grpc://sales:1: no such port: the cause");
            assert_eq!(serde_json::to_value(kind).unwrap(), wire_form(kind).0);
        }
    }

    #[test]
    fn a_broken_connection_is_an_unavailable_site() {
        let site = SiteId::new("grpc://sales:1");
        for code in [Code::Unknown, Code::Internal, Code::Unavailable, Code::Cancelled] {
            assert_eq!(from_status(&Status::new(code, "h2"), &site).kind(), ErrorKind::SiteUnavailable);
        }
        assert_eq!(from_status(&Status::out_of_range("big"), &site).kind(), ErrorKind::ResourceExhausted);
    }

    #[test]
    fn an_unknown_kind_falls_back_to_the_code() {
        let mut status = Status::not_found("gone");
        status.metadata_mut().insert(ERROR_KIND_KEY, MetadataValue::from_static("of_the_future"));
        assert_eq!(from_status(&status, &SiteId::new("grpc://a:1")).kind(), ErrorKind::NotFound);
    }

    #[test]
    fn long_messages_fit_into_a_header() {
        let status = to_status(&Error::new(ErrorKind::Internal, "ü".repeat(10_000)));
        assert!(status.message().len() * 3 <= MAX_MESSAGE + 20);
        assert!(status.message().ends_with('…'));
    }
}
