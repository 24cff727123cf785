//! Requests that the codec refuses before the service sees them: messages over the size limit, and bytes that are not a
//! message. The codec returns a misleading status for them and does not log them. [`Bounded`] corrects both.

use std::task::{Context, Poll};

use portolan_engine::{Error, ErrorKind};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::failure::refuse_unknown;

/// A service whose requests are bounded in size.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<S> {
    service: S,
    limit: usize,
}

impl<S> Bounded<S> {
    /// Wraps a service. `limit` is the limit of `service` for one request, in bytes.
    pub(crate) fn new(service: S, limit: usize) -> Self {
        Self { service, limit }
    }
}

/// Returns the error for a request over `limit` bytes.
pub(crate) fn too_large(limit: usize) -> Error {
    Error::new(ErrorKind::ResourceExhausted, format!("the request is larger than the limit of {limit} bytes"))
}

/// The prefix of the codec's message for bytes that are not a message.
const UNDECODABLE: &str = "failed to decode Protobuf message";

/// True if the codec refused bytes that are not a message, which it reports as its own error.
pub(crate) fn is_undecodable(status: &Status) -> bool {
    status.code() == Code::Internal && status.message().starts_with(UNDECODABLE)
}

/// Returns the error for bytes that are not a message.
pub(crate) fn undecodable(why: &str) -> Error {
    let why: String = why.chars().take(200).collect();
    Error::new(ErrorKind::InvalidQuery, format!("the request is malformed: {why}"))
}

impl<S, B> Service<http::Request<B>> for Bounded<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let call = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let limit = self.limit;
        let answer = self.service.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
            // Only the codec uses this code, for a message over its limit.
            if code == Some(Code::OutOfRange) {
                return Ok(refuse_unknown(&too_large(limit), &call).into_http());
            }
            match Status::from_header_map(response.headers()) {
                Some(status) if is_undecodable(&status) => {
                    Ok(refuse_unknown(&undecodable(status.message()), &call).into_http())
                }
                _ => Ok(response),
            }
        })
    }
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}
