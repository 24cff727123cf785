//! A TCP proxy in front of a node that records what the node receives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The bytes from the callers to the node.
type Received = Arc<Mutex<Vec<u8>>>;

/// The proxy. It ends when this value is dropped.
#[derive(Debug)]
pub struct RecordingProxy {
    url: String,
    received: Received,
    _serving: JoinSet<()>,
}

impl RecordingProxy {
    /// Starts a proxy in front of the node at `url`, which has no TLS.
    pub async fn in_front_of(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("grpc://{}", listener.local_addr().unwrap());
        let received = Received::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, url.replace("grpc://", ""), received.clone()));
        Self { url: own, received, _serving: serving }
    }

    /// Returns the URL of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns what the node has received since the last call.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

async fn serve(listener: TcpListener, target: String, received: Received) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        connections.spawn(connect(near, target.clone(), received.clone()));
    }
}

async fn connect(near: TcpStream, target: String, received: Received) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let to_node = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = near_read.read(&mut bytes).await {
            received.lock().unwrap().extend_from_slice(&bytes[..count]);
            if far_write.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    // The end of one direction ends the connection.
    tokio::select! {
        () = to_node => {}
        _ = copy(&mut far_read, &mut near_write) => {}
    }
}
