//! A web server that records each request, and answers all requests in one way. It shows which credentials a node sends,
//! and to whom.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The largest request that is recorded, in bytes.
const MAX_REQUEST: usize = 64 << 10;

/// The answer to every request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A file with this content.
    File(&'static str),
    /// There is no such file.
    NotFound,
    /// The file is at this URL.
    Redirect(String),
    /// None.
    Silence,
}

/// A web server on a free port of loopback. It ends when this value is dropped.
pub struct RecordingServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Answer>>,
    _serving: JoinSet<()>,
}

impl RecordingServer {
    /// Starts a server. Its tasks run on the current runtime.
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, answer) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(answer)));
        let (recorded, answers) = (requests.clone(), answer.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, recorded.clone(), answers.clone()));
            }
        });
        Self { address, requests, answer, _serving: serving }
    }

    /// Returns the host and the port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns the URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the heads of the requests so far. The names of headers are in lower case.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Answers later requests in this way.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

async fn serve(mut stream: TcpStream, requests: Arc<Mutex<Vec<String>>>, answer: Arc<Mutex<Answer>>) {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_REQUEST {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let has_body = !head.starts_with("HEAD ");
    requests.lock().unwrap().push(head);
    let answer = answer.lock().unwrap().clone();
    let text = match answer {
        Answer::Silence => return std::future::pending().await,
        Answer::NotFound => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        Answer::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Answer::File(content) => format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nlast-modified: Sun, 01 Nov 2026 00:00:00 GMT\r\nconnection: close\
             \r\n\r\n{}",
            content.len(),
            if has_body { content } else { "" }
        ),
    };
    // A client that hangs up is none of our business.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}
