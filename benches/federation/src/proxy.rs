//! A TCP proxy that counts the bytes that its server sends. It counts the bytes of every client in the same way,
//! including framing and schemas.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BUFFER_BYTES: usize = 64 << 10;

/// A running proxy. It stops on drop.
pub struct Proxy {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    // Dropping it ends every connection.
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of loopback, for the server at `target`, which need not be running yet.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let sent = Arc::new(AtomicU64::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, sent.clone()));
        Ok(Self { address, sent, _accepting: accepting })
    }

    /// Returns the address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the bytes that the server has sent to all clients so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, sent: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let sent = sent.clone();
                // If a connection breaks, the client reports the error.
                connections.spawn(async move { pass_on(client, target, &sent).await.ok(); });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(client: TcpStream, target: SocketAddr, sent: &AtomicU64) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 {
                return to_client.shutdown().await;
            }
            sent.fetch_add(read as u64, Ordering::Relaxed);
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    tokio::try_join!(answers, requests)?;
    Ok(())
}
