//! The open connections of a listener. Their number is bounded, in total and for each address. A connection on which
//! nobody authenticates is closed. A connection that the server ends waits until the client closes it too.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use portolan_connectors::lock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tonic::transport::server::{Connected, TlsConnectInfo};
use tonic::{Extensions, Request, Status};

use crate::options::ServerLimits;

/// The shortest time between two lines in the log about connections over the bound.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// The longest time that a connection stays open for the client to read what was sent.
const LINGER: Duration = Duration::from_secs(5);

/// The bounds of a listener's connections, and the number of open ones.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    most_per_address: usize,
    login_timeout: Duration,
    linger: Duration,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    warned: Option<Instant>,
}

/// A connection that counts as open until it is dropped.
pub(crate) struct Connection {
    stream: TcpStream,
    info: ConnectionInfo,
    /// The end of the time to authenticate; `None` once somebody has authenticated.
    timer: Option<Pin<Box<Sleep>>>,
    /// The end of the wait for the client to close a connection that the server has ended.
    linger: Option<Pin<Box<Sleep>>>,
    guard: OpenGuard,
}

/// The facts about a connection that its requests have in their extensions.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionInfo {
    /// The address of the client.
    pub(crate) address: IpAddr,
    use_of: Arc<UseOfConnection>,
}

#[derive(Debug)]
struct UseOfConnection {
    authenticated: AtomicBool,
    /// The time of the newest request that needs no authentication, or else of the connection's start.
    newest: Mutex<Instant>,
}

/// A guard that counts a connection as open until it is dropped.
#[derive(Debug)]
struct OpenGuard {
    connections: Arc<Connections>,
    network: IpAddr,
}

impl Connections {
    /// Returns the bounds in `limits`.
    pub(crate) fn new(limits: &ServerLimits) -> Arc<Self> {
        let most = limits.connections.max(1);
        let most_per_address = limits.connections_per_address.unwrap_or(most - most / 4).max(1);
        let login_timeout = limits.login_timeout;
        Arc::new(Self { most, most_per_address, login_timeout, linger: LINGER, open: Mutex::default() })
    }

    /// Returns the number of open connections, those that are in a TLS handshake included.
    pub fn open(&self) -> usize {
        lock(&self.open).total
    }

    /// Returns an accepted connection as one of the open ones; `None` if there are too many.
    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream, address: IpAddr) -> Option<Connection> {
        let (address, network) = (address.to_canonical(), network(address));
        let mut open = lock(&self.open);
        let of_address = open.by_address.get(&network).copied().unwrap_or_default();
        if open.total >= self.most || of_address >= self.most_per_address {
            let warns = open.warned.is_none_or(|time| time.elapsed() > WARNING_INTERVAL);
            if warns {
                open.warned = Some(Instant::now());
            }
            let total = open.total;
            drop(open);
            if warns {
                tracing::warn!(
                    %address,
                    of_address,
                    total,
                    "too many connections: closing new ones (limits.connections, limits.connections_per_address)"
                );
            }
            return None;
        }
        open.total += 1;
        open.by_address.insert(network, of_address + 1);
        drop(open);
        let use_of = UseOfConnection { authenticated: AtomicBool::new(false), newest: Mutex::new(Instant::now()) };
        Some(Connection {
            stream,
            info: ConnectionInfo { address, use_of: Arc::new(use_of) },
            timer: Some(Box::pin(sleep(self.login_timeout))),
            linger: None,
            guard: OpenGuard { connections: self.clone(), network },
        })
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let mut open = lock(&self.connections.open);
        open.total -= 1;
        if let Some(of_address) = open.by_address.get_mut(&self.network) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.network);
            }
        }
    }
}

impl ConnectionInfo {
    /// Returns the facts that the transport attached to a request.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        let tls = extensions.get::<TlsConnectInfo<Self>>();
        tls.map(TlsConnectInfo::get_ref).or_else(|| extensions.get::<Self>())
    }

    /// Keeps the connection open, because a caller on it is authenticated.
    pub(crate) fn authenticated(&self) {
        self.use_of.authenticated.store(true, Ordering::Relaxed);
    }
}

/// Passes on a request that needs no authentication, such as one about the health of the server. A connection with such
/// requests is not idle.
pub(crate) fn note_request(request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(info) = ConnectionInfo::of(request.extensions()) {
        *lock(&info.use_of.newest) = Instant::now();
    }
    Ok(request)
}

impl Connection {
    /// Returns the address of the client.
    pub(super) fn address(&self) -> IpAddr {
        self.info.address
    }

    /// True if the time to authenticate has passed. The task of `cx` is woken when it passes.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(timer) = &mut self.timer else { return false };
        if self.info.use_of.authenticated.load(Ordering::Relaxed) {
            self.timer = None;
            return false;
        }
        while timer.as_mut().poll(cx).is_ready() {
            let end = *lock(&self.info.use_of.newest) + self.guard.connections.login_timeout;
            if end <= Instant::now() {
                return true;
            }
            timer.as_mut().reset(end.into());
        }
        false
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_overdue(cx) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nobody authenticated in time")));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends the connection, and waits until the client has closed it too, or for [`LINGER`]. Meanwhile it drops what
    /// arrives. Data for a closed socket, such as the window updates of a client that still reads rows, make the
    /// operating system reset the connection, and the client would lose the rows that are still on their way
    /// ([RFC 9112, section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, linger, guard, .. } = &mut *self;
        if linger.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let end = linger.get_or_insert_with(|| Box::pin(sleep(guard.connections.linger)));
        let mut dropped = [0; 4096];
        loop {
            if end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // The client has closed its side, or the connection is lost.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Returns the network of an address. A client with one IPv6 address usually has 2^64 of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn bounds(connections: usize, connections_per_address: Option<usize>, login_timeout: Duration) -> Arc<Connections> {
        let limits = ServerLimits { connections, connections_per_address, login_timeout, ..ServerLimits::default() };
        Connections::new(&limits)
    }

    /// Returns both ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn admitted(connections: &Arc<Connections>, address: &str) -> Option<Connection> {
        connections.admit(pair().await.1, address.parse().unwrap())
    }

    #[tokio::test]
    async fn connections_are_bounded_in_total_and_for_each_address() {
        let connections = bounds(4, None, Duration::from_secs(60));
        let mut open = vec![];
        for _ in 0..3 {
            open.push(admitted(&connections, "192.0.2.1").await.unwrap());
        }
        // A quarter is left to other addresses, and an address of the sixth version is a network.
        assert!(admitted(&connections, "192.0.2.1").await.is_none());
        assert!(admitted(&connections, "::ffff:192.0.2.1").await.is_none());
        open.push(admitted(&connections, "2001:db8::1").await.unwrap());
        assert!(admitted(&connections, "192.0.2.2").await.is_none());
        drop(open.remove(0));
        open.push(admitted(&connections, "2001:db8::2").await.unwrap());
        assert_eq!(connections.open(), 4);
        open.clear();
        assert_eq!(connections.open(), 0);
        assert!(lock(&connections.open).by_address.is_empty());
        assert_eq!(bounds(usize::MAX, Some(7), Duration::MAX).most_per_address, 7);
    }

    #[tokio::test]
    async fn a_connection_on_which_nobody_authenticates_ends() {
        let connections = bounds(9, None, Duration::from_millis(20));
        let (_client, server) = pair().await;
        let mut idle = connections.admit(server, HERE).unwrap();
        let error = idle.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (client, server) = pair().await;
        let mut known = connections.admit(server, HERE).unwrap();
        let mut request = Request::new(());
        request.extensions_mut().insert(known.connect_info());
        let request = note_request(request).unwrap();
        ConnectionInfo::of(request.extensions()).unwrap().authenticated();
        assert!(tokio::time::timeout(Duration::from_millis(200), known.read_u8()).await.is_err(), "it stays open");
        drop(client);
        assert_eq!(known.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_client_that_sends_until_the_end_loses_nothing() {
        const SENT: usize = 1 << 20;
        let connections = bounds(9, None, Duration::from_secs(60));
        let (mut client, server) = pair().await;
        let mut server = connections.admit(server, HERE).unwrap();
        let serving = tokio::spawn(async move {
            server.write_all(&vec![1; SENT]).await.unwrap();
            server.shutdown().await.unwrap();
        });
        let mut received = 0;
        let mut buffer = vec![0; SENT / 64];
        loop {
            client.write_all(&[1]).await.unwrap();
            match client.read(&mut buffer).await.unwrap() {
                0 => break,
                bytes => received += bytes,
            }
        }
        assert_eq!(received, SENT);
        drop(client);
        serving.await.unwrap();
        assert_eq!(connections.open(), 0);
    }

    #[tokio::test]
    async fn the_wait_for_a_client_that_does_not_close_ends() {
        let mut connections = bounds(9, None, Duration::from_secs(60));
        Arc::get_mut(&mut connections).unwrap().linger = Duration::from_millis(50);
        let (mut client, server) = pair().await;
        let mut server = connections.admit(server, HERE).unwrap();
        let sending = async { while client.write_all(&[1; 4096]).await.is_ok() {} };
        let ending = async {
            server.shutdown().await.unwrap();
            drop(server);
        };
        tokio::join!(sending, ending);
        assert_eq!(connections.open(), 0);
    }

    #[test]
    fn an_address_of_the_sixth_version_is_its_network() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff"));
        assert!(parse("2001:db8::1") != parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }
}
