//! Uploads that the client aborts. The codec reports a client's cancel as a clean end of the request, so half of an
//! upload would pass for the whole. [`WithAbortFlag`] records whether the body of a request ended with an error.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{Service, StdError, http};
use tonic::server::NamedService;

/// A flag in the extensions of a request. [`WithAbortFlag`] sets the flag when the request's body ends with an error.
#[derive(Clone, Debug, Default)]
pub(crate) struct AbortFlag(Arc<AtomicBool>);

impl AbortFlag {
    /// True if the body has ended with an error.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A service whose requests carry an [`AbortFlag`].
#[derive(Clone, Debug)]
pub(crate) struct WithAbortFlag<S>(pub(crate) S);

impl<S, B> Service<http::Request<B>> for WithAbortFlag<S>
where
    S: Service<http::Request<Body>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let aborted = AbortFlag::default();
        let mut request = request.map(|body| Body::new(FlaggedBody { body: Box::pin(body), aborted: aborted.clone() }));
        request.extensions_mut().insert(aborted);
        self.0.call(request)
    }
}

impl<S: NamedService> NamedService for WithAbortFlag<S> {
    const NAME: &'static str = S::NAME;
}

struct FlaggedBody<B> {
    body: Pin<Box<B>>,
    aborted: AbortFlag,
}

impl<B: http_body::Body> http_body::Body for FlaggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        if matches!(frame, Some(Err(_))) {
            self.aborted.0.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
