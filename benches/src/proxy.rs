//! Slow links: TCP proxies between nodes that delay bytes by a latency and limit the bandwidth in each direction. The
//! bytes in a proxy are bounded, so that a sender experiences a full link.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portolan_connectors::lock;
use portolan_node::{Error, Result};
use portolan_testbed::mesh::Way;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const CHUNK_BYTES: usize = 16 << 10;
/// The largest number of chunks of one connection in flight: more than a link of 1 Gbit/s and 50 ms holds.
const CHUNKS_UNDER_WAY: usize = 512;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay of a timer that is compensated. Timers wake a little late. If a link was free for at most this time, it
/// counts as never free, so that the link reaches its bandwidth.
const MADE_UP: Duration = Duration::from_millis(5);

/// The properties of a link.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The time from one end to the other and back.
    pub round_trip: Duration,
    /// The bandwidth in each direction. All connections share it.
    pub bytes_per_second: f64,
}

impl Link {
    /// Sets latency and bandwidth in the config of a peer. This does not slow the link down.
    pub fn configure(self, peer: &mut Value) {
        peer["latency"] = format!("{}us", self.round_trip.as_micros()).into();
        peer["bandwidth"] = (self.bytes_per_second.round() as u64).into();
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (round_trip, bits) = (self.round_trip.as_millis(), self.bytes_per_second * 8e-6);
        write!(f, "{round_trip} ms round trip and {bits:.0} Mbit/s")
    }
}

/// One direction of a link, and the time when it is free again.
#[derive(Debug)]
struct Direction {
    link: Link,
    free_at: Mutex<Instant>,
}

impl Direction {
    fn new(link: Link, now: Instant) -> Arc<Self> {
        Arc::new(Self { link, free_at: Mutex::new(now) })
    }

    /// Reserves the time that `bytes` need. Returns the time when the last byte has left, at the earliest `now`.
    fn take(&self, bytes: usize, now: Instant) -> Instant {
        let mut free_at = lock(&self.free_at);
        let since = if *free_at + MADE_UP < now { now } else { *free_at };
        *free_at = since + Duration::from_secs_f64(bytes as f64 / self.link.bytes_per_second);
        (*free_at).max(now)
    }
}

/// The proxies, one for each connection from one node to another. They end on drop.
#[derive(Debug)]
pub struct Proxies {
    link: Link,
    /// The directions, by the source and the target of the bytes. Two nodes share one link, no matter which of them
    /// connects.
    directions: BTreeMap<(Option<&'static str>, Option<&'static str>), Arc<Direction>>,
    serving: JoinSet<()>,
}

impl Proxies {
    /// Returns an empty set of proxies.
    pub fn new(link: Link) -> Self {
        Self { link, directions: BTreeMap::new(), serving: JoinSet::new() }
    }

    /// Starts a proxy between two nodes, and returns its address. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// There is no free port.
    pub fn between(&mut self, way: Way<'_>) -> Result<String> {
        let failed = |e| Error::failed("cannot listen for a slow link").with_source(e);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let own = listener.local_addr().map_err(failed)?.to_string();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let ends = (way.from, Some(way.to));
        let (there, back) = (self.direction(ends), self.direction((ends.1, ends.0)));
        self.serving.spawn(serve(listener, way.address.to_owned(), there, back));
        Ok(own)
    }

    fn direction(&mut self, ends: (Option<&'static str>, Option<&'static str>)) -> Arc<Direction> {
        let link = self.link;
        self.directions.entry(ends).or_insert_with(|| Direction::new(link, Instant::now())).clone()
    }
}

async fn serve(listener: TcpListener, target: String, there: Arc<Direction>, back: Arc<Direction>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client whose connection cannot be accepted tries again.
                let Ok((near, _)) = accepted else { continue };
                connections.spawn(connect(near, target.clone(), there.clone(), back.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(near: TcpStream, target: String, there: Arc<Direction>, back: Arc<Direction>) {
    let Ok(Ok(far)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await else { return };
    // Without `nodelay`, the connections would be even slower.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(carry(near_read, far_write, there), carry(far_read, near_write, back));
}

/// Carries bytes in one direction until an end closes. If the sender closes, the proxy closes the receiver after all
/// bytes have arrived. If the receiver accepts no more bytes, the proxy stops reading from the sender.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: Arc<Direction>) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let left = way.take(count, Instant::now());
            // The next bytes are read after these have left, so the sender waits.
            sleep_until(left).await;
            if sender.send((left + way.link.round_trip / 2, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((arrives, bytes)) = receiver.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // An error means that the receiver is already closed.
        let _ = to.shutdown().await;
    };
    tokio::pin!(read, write);
    tokio::select! {
        () = &mut write => {}
        () = &mut read => write.await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const FAST: Link = Link { round_trip: Duration::ZERO, bytes_per_second: 1e9 };

    /// Starts a server behind a proxy. It answers with the received bytes in reverse, after the client has sent all of
    /// them.
    async fn behind_a_proxy() -> (Proxies, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut proxies = Proxies::new(FAST);
        proxies.serving.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut sent = vec![];
                client.read_to_end(&mut sent).await.unwrap();
                sent.reverse();
                client.write_all(&sent).await.unwrap();
            }
        });
        let own = proxies.between(Way { from: None, to: "sales", address: &address }).unwrap();
        (proxies, own)
    }

    #[tokio::test]
    async fn bytes_pass_unchanged_and_an_end_is_passed_on() {
        let (_proxies, address) = behind_a_proxy().await;
        for size in [0, 1, CHUNK_BYTES, 5 * CHUNK_BYTES + 17] {
            let mut bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut client = TcpStream::connect(&address).await.unwrap();
            client.write_all(&bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let mut back = vec![];
            client.read_to_end(&mut back).await.unwrap();
            bytes.reverse();
            assert!(back == bytes, "{size} bytes");
        }
    }

    #[tokio::test]
    async fn nobody_behind_it_is_an_end() {
        let mut proxies = Proxies::new(FAST);
        // Nothing listens on port 1 of loopback.
        let address = proxies.between(Way { from: None, to: "sales", address: "127.0.0.1:1" }).unwrap();
        let mut client = TcpStream::connect(&address).await.unwrap();
        assert!(matches!(client.read(&mut [0]).await, Ok(0) | Err(_)));
    }

    #[test]
    fn bytes_take_turns_on_a_link() {
        let link = Link { round_trip: Duration::ZERO, bytes_per_second: 1000.0 };
        let start = Instant::now() + Duration::from_secs(1);
        let direction = Direction::new(link, start);
        let second = Duration::from_secs(1);
        assert_eq!(direction.take(1000, start), start + second);
        assert_eq!(direction.take(500, start), start + second + second / 2, "bytes leave in order");
        let free = start + second + second / 2;
        assert_eq!(direction.take(1000, free + MADE_UP), free + second, "a timer's delay is compensated");
        let idle = free + second * 5;
        assert_eq!(direction.take(1000, idle), idle + second, "idle time is not compensated");
        assert_eq!(direction.take(1, idle + second + MADE_UP), idle + second + MADE_UP, "nothing leaves before now");
    }

    #[tokio::test]
    async fn two_nodes_share_one_link() {
        let mut proxies = Proxies::new(FAST);
        let way = |from, to| Way { from: Some(from), to, address: "127.0.0.1:1" };
        for way in [way("sales", "geo"), way("geo", "sales"), Way { from: None, ..way("", "geo") }] {
            proxies.between(way).unwrap();
        }
        assert_eq!(proxies.directions.len(), 4);
    }
}
