//! The new connections of a listener. TLS handshakes run concurrently, with a timeout and a bound on their number, so a
//! slow handshake delays no other connection.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::{Connection, Connections};
use super::tls::Tls;

/// The timeout of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The largest number of concurrent handshakes. One more aborts the oldest.
const MAX_HANDSHAKES: usize = 256;
/// The pause of the listener if it cannot accept connections, for example if the process has no file handles left.
const REST: Duration = Duration::from_millis(100);

/// Returns the connections without TLS.
pub(crate) fn plain(
    listener: TcpListener,
    connections: Arc<Connections>,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold((listener, connections), |(listener, connections)| async move {
        Some((Ok(accept(&listener, &connections).await), (listener, connections)))
    })
}

/// Returns the connections whose handshakes succeeded.
pub(crate) fn encrypted(
    listener: TcpListener,
    connections: Arc<Connections>,
    tls: Tls,
) -> impl Stream<Item = io::Result<TlsStream<Connection>>> {
    let handshakes = Handshakes { listener, connections, tls, running: JoinSet::new(), by_age: VecDeque::new() };
    stream::unfold(handshakes, |mut handshakes| async move { Some((Ok(handshakes.next().await), handshakes)) })
}

async fn accept(listener: &TcpListener, connections: &Arc<Connections>) -> Connection {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // If the connection is already closed, a later read reports it.
                let _ = stream.set_nodelay(true);
                if let Some(connection) = connections.admit(stream, address.ip()) {
                    return connection;
                }
            }
            Err(e) if is_of_one_connection(&e) => tracing::debug!("cannot accept a connection: {e}"),
            Err(e) => {
                tracing::warn!("cannot accept connections: {e}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | Interrupted | TimedOut | WouldBlock)
}

/// The running handshakes. Dropping this value aborts them.
struct Handshakes {
    listener: TcpListener,
    connections: Arc<Connections>,
    tls: Tls,
    running: JoinSet<Option<TlsStream<Connection>>>,
    by_age: VecDeque<AbortHandle>,
}

impl Handshakes {
    async fn next(&mut self) -> TlsStream<Connection> {
        loop {
            tokio::select! {
                connection = accept(&self.listener, &self.connections) => self.start(connection),
                Some(ended) = self.running.join_next() => {
                    if let Ok(Some(connection)) = ended {
                        return connection;
                    }
                }
            }
        }
    }

    fn start(&mut self, connection: Connection) {
        self.by_age.retain(|handshake| !handshake.is_finished());
        if self.by_age.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
        }
        let acceptor = TlsAcceptor::from(self.tls.config());
        self.by_age.push_back(self.running.spawn(shake_hands(acceptor, connection)));
    }
}

async fn shake_hands(acceptor: TlsAcceptor, connection: Connection) -> Option<TlsStream<Connection>> {
    let address = connection.address();
    match timeout(HANDSHAKE, acceptor.accept(connection).into_fallible()).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err((e, mut connection))) => {
            tracing::debug!(%address, "a TLS handshake failed: {e}");
            // The client can then read the alert, which says that TLS is the cause.
            let _ = connection.shutdown().await;
            None
        }
        Err(_) => {
            tracing::debug!(%address, "a TLS handshake timed out");
            None
        }
    }
}
