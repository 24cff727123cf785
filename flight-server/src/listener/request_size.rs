//! Requests that the codec refuses before the service sees them: messages beyond the size limit, and bytes that are no
//! message. The codec refuses them with a misleading status and does not log them. [`Bounded`] corrects both.

use std::task::{Context, Poll};

use portolan_engine::{Error, ErrorKind};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::failure::refuse;

/// A service whose requests are bounded in size.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<S> {
    service: S,
    limit: usize,
}

impl<S> Bounded<S> {
    /// `limit`: the bytes that `service` was told to take at most.
    pub(crate) fn new(service: S, limit: usize) -> Self {
        Self { service, limit }
    }
}

/// The error of a request beyond `limit` bytes.
pub(crate) fn too_large(limit: usize) -> Error {
    Error::new(ErrorKind::ResourceExhausted, format!("the request is larger than the {limit} bytes that are taken"))
}

/// How the codec's message for bytes that are no message begins.
const UNDECODABLE: &str = "failed to decode Protobuf message";

/// Whether the codec refused a message since it is none: it takes the blame for that.
pub(crate) fn is_undecodable(status: &Status) -> bool {
    status.code() == Code::Internal && status.message().starts_with(UNDECODABLE)
}

/// The error of a message that is none.
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
            // Nothing else here answers with this code: it is the codec's for a message beyond its bound.
            if code == Some(Code::OutOfRange) {
                return Ok(refuse(&too_large(limit), &call, "somebody").into_http());
            }
            match Status::from_header_map(response.headers()) {
                Some(status) if is_undecodable(&status) => {
                    Ok(refuse(&undecodable(status.message()), &call, "somebody").into_http())
                }
                _ => Ok(response),
            }
        })
    }
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}
