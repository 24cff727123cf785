//! A TCP proxy in front of a node that changes one byte on the way, as a faulty network does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// A direction of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the callers to the node.
    ToNode,
    /// From the node to the callers.
    FromNode,
}

/// The proxy. It ends when this value is dropped.
#[derive(Debug)]
pub struct DamagingProxy {
    url: String,
    traffic: Arc<Mutex<Traffic>>,
    cuts: mpsc::Sender<oneshot::Sender<()>>,
    _serving: JoinSet<()>,
}

/// The bytes that have passed in each direction since they were last counted from zero, and the byte to change.
#[derive(Debug, Default)]
struct Traffic {
    passed: [usize; 2],
    damage: Option<(Direction, usize)>,
}

impl Traffic {
    /// Counts bytes on their way, and changes one of them if its turn has come.
    fn pass(&mut self, direction: Direction, bytes: &mut [u8]) {
        let passed = &mut self.passed[direction as usize];
        let before = *passed;
        *passed += bytes.len();
        let Some((damaged, place)) = self.damage else { return };
        let at = place.checked_sub(before).filter(|_| damaged == direction);
        if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1 << (place % 8);
            self.damage = None;
        }
    }
}

impl DamagingProxy {
    /// Starts a proxy in front of the node at `url`, which has no TLS. The proxy changes nothing yet.
    pub async fn in_front_of(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("grpc://{}", listener.local_addr().unwrap());
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let (cuts, cut) = mpsc::channel(1);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, url.replace("grpc://", ""), traffic.clone(), cut));
        Self { url: own, traffic, cuts, _serving: serving }
    }

    /// Returns the URL of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes nothing from now on, and counts the bytes from zero.
    pub fn watch(&self) {
        *self.traffic.lock().unwrap() = Traffic::default();
    }

    /// Changes the byte at `place` from now on in this direction, once.
    pub fn damage(&self, direction: Direction, place: usize) {
        *self.traffic.lock().unwrap() = Traffic { damage: Some((direction, place)), ..Traffic::default() };
    }

    /// Returns the number of bytes that have passed in this direction since the last call of [`Self::watch`] or
    /// [`Self::damage`].
    pub fn passed(&self, direction: Direction) -> usize {
        self.traffic.lock().unwrap().passed[direction as usize]
    }

    /// Ends all connections. Callers can connect again.
    pub async fn cut(&self) {
        let (done, cut) = oneshot::channel();
        self.cuts.send(done).await.unwrap();
        cut.await.unwrap();
    }
}

async fn serve(
    listener: TcpListener,
    target: String,
    traffic: Arc<Mutex<Traffic>>,
    mut cuts: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (near, _) = accepted.unwrap();
                connections.spawn(connect(near, target.clone(), traffic.clone()));
            }
            Some(done) = cuts.recv() => {
                connections.shutdown().await;
                let _ = done.send(());
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(near: TcpStream, target: String, traffic: Arc<Mutex<Traffic>>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(
        carry(near_read, far_write, Direction::ToNode, &traffic),
        carry(far_read, near_write, Direction::FromNode, &traffic)
    );
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, traffic: &Mutex<Traffic>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        traffic.lock().unwrap().pass(direction, &mut buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The receiver may have closed the connection already.
    let _ = to.shutdown().await;
}
