//! The one mapping between the kinds of errors and gRPC statuses, for the server and the client side. A separate header
//! carries the exact kind, because several kinds could share a code. If the caller can try again, the status also has
//! the time, for gRPC's retries in a header and for programs as `google.rpc.RetryInfo` in the details.

use std::time::Duration;

use arrow_flight::sql::Any;
use bytes::Bytes;
use portolan_catalog::printable;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::diagnosis::likely_cause;
use crate::error::{Error, ErrorKind, with_causes};
use crate::site::SiteId;

/// The header of a status that carries the name of the exact [`ErrorKind`].
pub const ERROR_KIND_KEY: &str = "portolan-error-kind";

/// The header of a status with the time after which the client can try again, in milliseconds. Its name is that of
/// gRPC's server pushback.
pub const RETRY_AFTER_KEY: &str = "grpc-retry-pushback-ms";

/// The largest length of an encoded status message, in bytes: clients reject headers above 8 KiB.
const MAX_MESSAGE: usize = 4096;
/// The largest length of a message that the details of a status repeat, in bytes.
const MAX_DETAILED_MESSAGE: usize = 1024;
/// The largest accepted time of another node's [`RETRY_AFTER_KEY`].
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// `google.rpc.Status`, which is the content of the header `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct DetailedStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    /// Some clients show this message instead of the one in `grpc-message`.
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Returns the status for `error`. The message has every cause, in one line that is safe for a terminal and a log.
pub fn to_status(error: &Error) -> Status {
    status(error, &error.chain())
}

/// Returns the status for `error` as the owner of the data may see it.
pub fn to_owner_status(error: &Error) -> Status {
    status(error, &error.owner_chain())
}

fn status(error: &Error, message: &str) -> Status {
    let (name, code) = (error.kind().name(), code_of(error.kind()));
    let message = shortened(&printable(message));
    let mut status = match error.retry_after() {
        Some(time) if message.len() <= MAX_DETAILED_MESSAGE => {
            let details = retry_details(code, &message, time);
            Status::with_details(code, message, details)
        }
        _ => Status::new(code, message),
    };
    status.metadata_mut().insert(ERROR_KIND_KEY, MetadataValue::from_static(name));
    if let Some(time) = error.retry_after() {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert(RETRY_AFTER_KEY, MetadataValue::from(millis));
    }
    status
}

/// Returns the details of a status, with the time after which the client can try again.
fn retry_details(code: Code, message: &str, time: Duration) -> Bytes {
    let delay = RetryDelay {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or_default(),
    };
    let info = RetryInfo { retry_delay: Some(delay) };
    let info =
        Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec().into() };
    let status = DetailedStatus { code: i32::from(code), message: message.to_owned(), details: vec![info] };
    status.encode_to_vec().into()
}

/// Returns the time after which the sender of a status can be asked again, if the status has it.
fn retry_after(status: &Status) -> Option<Duration> {
    let millis = status.metadata().get(RETRY_AFTER_KEY)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis).min(MAX_RETRY_AFTER))
}

/// Returns the error for a node's `status`. The message names the node, and is safe for a terminal and a log, whatever
/// the node sent.
pub fn from_status(status: &Status, site: &SiteId) -> Error {
    let sent = status.metadata().get(ERROR_KIND_KEY).and_then(|v| v.to_str().ok()).and_then(ErrorKind::parse);
    let mut message = status.message().to_owned();
    let kind = sent.unwrap_or_else(|| kind_of(status.code()));
    if sent.is_none() {
        // For failures of the connection, the message is general and the causes have the details.
        message = with_causes(&message, status);
        if let Some(cause) = likely_cause(site.as_str(), &message) {
            tracing::debug!(node = %site, "cannot connect: {}", printable(&message));
            message = cause;
        }
    }
    if message.is_empty() {
        message = format!("answered {:?}", status.code());
    }
    Error::new(kind, format!("node {site}: {}", printable(&message))).with_retry_after(retry_after(status))
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidQuery => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::SiteUnavailable => Code::Unavailable,
        ErrorKind::InvalidData => Code::DataLoss,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Internal => Code::Internal,
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

    #[test]
    fn every_kind_survives_the_way_there_and_back() {
        let site = SiteId::new("grpc://sales:1");
        for kind in ErrorKind::ALL {
            let status = to_status(&Error::new(kind, "no such port").with_source("the cause"));
            let back = from_status(&status, &site);
            assert_eq!(back.kind(), kind);
            assert_eq!(back.context(), "node grpc://sales:1: no such port: the cause");
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
    fn the_time_to_try_again_survives_the_way_there_and_back() {
        let site = SiteId::new("grpc://sales:1");
        let refused = Error::new(ErrorKind::ResourceExhausted, "no slot").with_retry_after(Duration::from_millis(1500));
        let status = to_status(&refused);
        assert_eq!(status.metadata().get(RETRY_AFTER_KEY).unwrap(), "1500");
        assert_eq!(from_status(&status, &site).retry_after(), refused.retry_after());
        let details = DetailedStatus::decode(status.details()).unwrap();
        assert_eq!((details.code, details.message.as_str()), (8, "no slot"));
        let info = RetryInfo::decode(details.details[0].value.clone()).unwrap();
        assert_eq!(info.retry_delay, Some(RetryDelay { seconds: 1, nanos: 500_000_000 }));

        // The details do not repeat a long message, because all headers together must fit.
        let long =
            to_status(&Error::new(ErrorKind::ResourceExhausted, "x".repeat(2000)).with_retry_after(MAX_RETRY_AFTER));
        assert!(long.details().is_empty() && long.metadata().get(RETRY_AFTER_KEY).is_some());
        let mut lie = to_status(&refused);
        for (sent, accepted) in [(u64::MAX.to_string(), Some(MAX_RETRY_AFTER)), ("-1".to_owned(), None)] {
            lie.metadata_mut().insert(RETRY_AFTER_KEY, sent.parse().unwrap());
            assert_eq!(from_status(&lie, &site).retry_after(), accepted);
        }
        let plain = to_status(&Error::new(ErrorKind::Internal, "a bug"));
        assert!(plain.details().is_empty() && plain.metadata().get(RETRY_AFTER_KEY).is_none());
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
