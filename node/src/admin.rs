//! The listener for operators: metrics, liveness and readiness over HTTP, without a login.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, render};
use crate::status::NodeStatus;
use crate::{Error, Result};

/// The largest number of open connections. The listener closes further ones.
const MAX_CONNECTIONS: usize = 32;
/// The time for a request and its response. A connection carries one of each.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest size of the head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// The pause if the listener cannot accept connections, for example if the process has no file handles left.
const REST: Duration = Duration::from_millis(100);
/// The content type of short answers.
const TEXT: &str = "text/plain; charset=utf-8";

/// The listener for operators. It is closed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

impl Admin {
    /// Starts to answer at this address.
    ///
    /// # Errors
    /// An address that is in use.
    pub(crate) async fn start(listen: &str, status: Arc<NodeStatus>) -> Result<Self> {
        let failed =
            |e: std::io::Error| Error::failed(format!("the admin listener cannot listen on `{listen}`")).with_source(e);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!("metrics and health at http://{address}");
        Ok(Self { address, _server: AbortOnDropHandle::new(tokio::spawn(serve(listener, status))) })
    }

    /// Returns the URL of the listener.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Answers requests until the task is dropped.
async fn serve(listener: TcpListener, status: Arc<NodeStatus>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(answer(stream, status.clone()));
                }
                Ok(_) => tracing::debug!("the admin listener has {MAX_CONNECTIONS} connections, and closed another"),
                Err(e) => {
                    tracing::warn!("the admin listener cannot accept connections: {e}");
                    tokio::time::sleep(REST).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the request of one connection.
async fn answer(stream: TcpStream, status: Arc<NodeStatus>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(&status, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(MAX_HEAD);
    match tokio::time::timeout(TIMEOUT, http.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!("a request to the admin listener failed: {e}"),
        Err(_) => tracing::debug!("a request to the admin listener timed out"),
    }
}

/// Returns the response to a request.
fn respond(status: &NodeStatus, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if *method != Method::GET && *method != Method::HEAD {
        return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "expected GET or HEAD\n".to_owned());
    }
    match path {
        "/livez" => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => match status.check() {
            Ok(()) => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
            Err(reason) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        },
        "/metrics" => match render(status.snapshot()) {
            Ok(text) => response(StatusCode::OK, METRICS_TYPE, text),
            Err(e) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("metrics cannot be written: {e}\n")),
        },
        _ => response(StatusCode::NOT_FOUND, TEXT, "expected /metrics, /livez or /readyz\n".to_owned()),
    }
}

fn response(code: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http_body_util::BodyExt;
    use portolan_connectors::SourceCounters;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn starting() -> Arc<NodeStatus> {
        Arc::new(NodeStatus::new(Some("sales"), None, SourceCounters::default()))
    }

    async fn responded(method: &Method, path: &str) -> (u16, String) {
        let response = respond(&starting(), method, path);
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_starting_node_is_live_and_not_ready() {
        assert_eq!(responded(&Method::GET, "/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(responded(&Method::GET, "/readyz").await, (503, "the node is starting\n".to_owned()));
        let (code, metrics) = responded(&Method::GET, "/metrics").await;
        assert_eq!(code, 200);
        assert!(metrics.contains("portolan_ready 0.0\n"), "{metrics}");
        assert_eq!(responded(&Method::GET, "/").await.0, 404);
        assert_eq!(responded(&Method::POST, "/metrics").await.0, 405);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn connections_are_bounded_and_idle_ones_do_not_keep_others_out_for_long() {
        let admin = Admin::start("127.0.0.1:0", starting()).await.unwrap();
        let connect = async || TcpStream::connect(admin.address).await.unwrap();
        let mut idle = vec![];
        for _ in 0..MAX_CONNECTIONS {
            idle.push(connect().await);
        }
        let mut further = connect().await;
        let mut text = String::new();
        // The listener closes the connection, which a client may also see as a reset.
        let _ = further.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let _ = further.read_to_string(&mut text).await;
        assert_eq!(text, "");
        drop(idle.pop());
        // The listener may not have seen yet that a connection has ended.
        let answered = async {
            let mut text = String::new();
            while text.is_empty() {
                let mut stream = connect().await;
                let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
                let _ = stream.read_to_string(&mut text).await;
            }
            text
        };
        let text = tokio::time::timeout(6 * TIMEOUT, answered).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok\n"), "{text}");
    }
}
