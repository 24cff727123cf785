//! Free addresses on loopback. Nodes that know one another need the others' addresses before they start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use portolan_node::{Error, Result};

/// The ports. They are below the range that systems assign to connections, so that no connection takes the port of a
/// node that is down.
const FIRST_PORT: u32 = 12_000;
const PORTS: u32 = 20_000;

/// Returns distinct addresses on loopback that were free a moment ago. This process gets no address again before it has
/// tried all ports.
///
/// # Errors
/// Too few free ports.
pub fn free_addresses(count: usize) -> Result<Vec<String>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another process probably starts with another port.
    let start = std::process::id().wrapping_mul(97);
    let next = || FIRST_PORT + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
    let addresses = std::iter::repeat_with(next).take(PORTS as usize).map(|port| format!("127.0.0.1:{port}"));
    let free: Vec<_> = addresses.filter(|address| TcpListener::bind(address).is_ok()).take(count).collect();
    if free.len() < count {
        return Err(Error::failed("cannot find free ports on 127.0.0.1"));
    }
    Ok(free)
}
