//! The link to an owner: a TCP proxy that cuts connections, slows them down, or changes bits on the way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portolan_connectors::lock;
use portolan_node::{Error, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const CHUNK_BYTES: usize = 16 << 10;
/// The delay of each chunk on a slow link.
const DELAY: Duration = Duration::from_millis(200);
/// The average number of bytes between two changed bits on a faulty link.
const BYTES_BETWEEN_FAULTS: f64 = 65_536.0;

/// The quality of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Bytes pass.
    Good,
    /// Bytes pass late.
    Slow,
    /// Bytes pass, and some of them change.
    Faulty,
    /// There are no connections.
    Cut,
}

/// A proxy in front of an owner. It ends on drop.
#[derive(Debug)]
pub struct Link {
    url: String,
    state: Arc<Mutex<State>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State {
    quality: Quality,
    random: StdRng,
    /// Ends the open connections when it is cancelled.
    cut: CancellationToken,
}

impl Link {
    /// Starts a proxy in front of the address of an owner. `seed` decides which bits change.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn in_front_of(address: &str, seed: u64) -> Result<Self> {
        let failed = |e| Error::failed("cannot listen for a link").with_source(e);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let url = format!("grpc://{}", listener.local_addr().map_err(failed)?);
        let random = StdRng::seed_from_u64(seed);
        let state = State { quality: Quality::Good, random, cut: CancellationToken::new() };
        let state = Arc::new(Mutex::new(state));
        let serving = tokio::spawn(serve(listener, address.to_owned(), state.clone()));
        Ok(Self { url, state, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Returns the URL of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes the quality. Connections end if the link is cut, and after the link was faulty, because changed bits can
    /// leave a connection in any state.
    pub fn set(&self, quality: Quality) {
        let mut state = lock(&self.state);
        if quality == Quality::Cut || state.quality == Quality::Faulty {
            std::mem::take(&mut state.cut).cancel();
        }
        state.quality = quality;
    }
}

impl State {
    /// Passes bytes on, and returns their delay.
    fn pass(&mut self, bytes: &mut [u8]) -> Duration {
        let chance = (bytes.len() as f64 / BYTES_BETWEEN_FAULTS).min(1.0);
        if self.quality == Quality::Faulty && self.random.random_bool(chance) {
            let bit = self.random.random_range(0..8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if self.quality == Quality::Slow { DELAY } else { Duration::ZERO }
    }
}

async fn serve(listener: TcpListener, address: String, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (quality, cut) = {
                    let state = lock(&state);
                    (state.quality, state.cut.clone())
                };
                // A caller whose connection is not accepted tries again.
                if let Ok((near, _)) = accepted
                    && quality != Quality::Cut
                {
                    let carried = connect(near, address.clone(), state.clone());
                    connections.spawn(async move { cut.run_until_cancelled(carried).await });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(near: TcpStream, address: String, state: Arc<Mutex<State>>) {
    let Ok(far) = TcpStream::connect(address).await else { return };
    // Without `nodelay`, the connections would be slow.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(carry(near_read, far_write, &state), carry(far_read, near_write, &state));
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &Mutex<State>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let delay = lock(state).pass(&mut buffer[..read]);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The receiver may have closed the connection already.
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_faulty_link_changes_bits_and_only_a_slow_one_delays_them() {
        for (quality, delay) in
            [(Quality::Good, Duration::ZERO), (Quality::Slow, DELAY), (Quality::Faulty, Duration::ZERO)]
        {
            let random = StdRng::seed_from_u64(7);
            let mut state = State { quality, random, cut: CancellationToken::new() };
            let mut bytes = [7_u8; 65_536];
            assert_eq!(state.pass(&mut bytes), delay);
            let bits: u32 = bytes.iter().map(|&byte| (byte ^ 7_u8).count_ones()).sum();
            assert_eq!(bits, u32::from(quality == Quality::Faulty));
        }
    }
}
