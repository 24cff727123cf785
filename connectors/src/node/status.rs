//! The one mapping between the kinds of errors and gRPC statuses, for the server and the client side. A separate header
//! carries the exact kind, because several kinds could share a code.

use portolan_catalog::printable;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::error::{Error, ErrorKind, with_causes};
use crate::site::SiteId;

/// The header of a status that carries the exact [`ErrorKind`], as serialized.
pub const ERROR_KIND_KEY: &str = "portolan-error-kind";

/// The largest length of an encoded status message, in bytes: clients reject headers above 8 KiB.
const MAX_MESSAGE: usize = 4096;

/// Returns the status for `error`. The message has every cause, in one line that is safe for a terminal and a log.
pub fn to_status(error: &Error) -> Status {
    status(error.kind(), &error.chain())
}

/// Returns the status for `error` as the owner of the data may see it.
pub fn to_owner_status(error: &Error) -> Status {
    status(error.kind(), &error.owner_chain())
}

fn status(kind: ErrorKind, message: &str) -> Status {
    let (name, code) = wire_form(kind);
    let mut status = Status::new(code, shortened(&printable(message)));
    status.metadata_mut().insert(ERROR_KIND_KEY, MetadataValue::from_static(name));
    status
}

/// Returns the error for a node's `status`. The message names the node, and is safe for a terminal and a log, whatever
/// the node sent.
pub fn from_status(status: &Status, site: &SiteId) -> Error {
    let sent = status.metadata().get(ERROR_KIND_KEY).and_then(|v| v.to_str().ok()).and_then(parse_kind);
    let mut message = status.message().to_owned();
    if sent.is_none() {
        // For failures of the connection, the message is general and the causes have the details.
        message = with_causes(&message, status);
    }
    if message.is_empty() {
        message = format!("answered {:?}", status.code());
    }
    Error::new(sent.unwrap_or_else(|| kind_of(status.code())), format!("node {site}: {}", printable(&message)))
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

/// Returns the kind for a status that was not made by a Portolan node, but by the connection or an intermediary.
fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument => ErrorKind::InvalidQuery,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        // The codec returns `OutOfRange` for a message above its size limit.
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

/// Shortens a message to [`MAX_MESSAGE`] encoded bytes. gRPC percent-encodes everything except printable ASCII, so one
/// character may need twelve bytes.
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

    const KINDS: [ErrorKind; 11] = [
        ErrorKind::InvalidQuery,
        ErrorKind::NotFound,
        ErrorKind::AlreadyExists,
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
    fn what_is_sent_and_received_is_safe_to_show() {
        let site = SiteId::new("grpc://sales:1");
        let text = "`a\nb` \u{1b}]0;pwned\u{7} \u{202e}";
        let escaped = r"`a\nb` \u{1b}]0;pwned\u{7} \u{202e}";
        assert_eq!(to_status(&Error::new(ErrorKind::NotFound, text)).message(), escaped);
        let received = from_status(&Status::not_found(text), &site);
        assert_eq!(received.context(), format!("node grpc://sales:1: {escaped}"));
        let error = Error::new(ErrorKind::SiteUnavailable, "file a is gone").for_owner("file /srv/a is gone");
        assert_eq!(to_status(&error).message(), "file a is gone");
        assert_eq!(to_owner_status(&error).message(), "file /srv/a is gone");
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
