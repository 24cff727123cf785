//! Free addresses on loopback. Nodes that know one another need the others' addresses before they start.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use portolan_node::{Error, Result};

/// The ports. They are below the range that systems assign to connections, so that no connection takes the port of a
/// node that is down.
const FIRST_PORT: u32 = 12_000;
const PORTS: u32 = 20_000;
/// The distance between the first ports of two processes with neighbouring ids: the golden section of the ports, with
/// which those of the next processes are far apart, too.
const PROCESS_DISTANCE: u32 = 12_361;

/// Returns distinct addresses on loopback that were free a moment ago. This process gets no address again before it has
/// tried all ports.
///
/// # Errors
/// Too few free ports.
pub fn free_addresses(count: usize) -> Result<Vec<String>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = start(std::process::id());
    let next = || FIRST_PORT + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
    let addresses = std::iter::repeat_with(next).take(PORTS as usize).map(|port| format!("127.0.0.1:{port}"));
    let free: Vec<_> = addresses.filter(|address| TcpListener::bind(address).is_ok()).take(count).collect();
    if free.len() < count {
        return Err(Error::failed("cannot find free ports on 127.0.0.1"));
    }
    Ok(free)
}

/// Checks that a node can listen on this port of loopback.
///
/// # Errors
/// A port on which another process listens, or that this user may not use.
pub fn check_port(port: u16) -> Result<()> {
    let address = loopback(port);
    match TcpListener::bind(&address) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AddrInUse => Err(Error::config(format!(
            "another process listens on {address}: stop that process, or choose another port"
        ))),
        Err(e) => Err(Error::config(format!("cannot listen on {address}")).with_source(e)),
    }
}

/// Returns the address of a port on loopback.
pub(super) fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Returns the place of a process's first port among the ports. Another process probably starts far from it.
fn start(process: u32) -> u32 {
    process % PORTS * PROCESS_DISTANCE % PORTS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_port_is_free_unless_a_process_listens_there() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = check_port(address.port()).unwrap_err();
        let expected = format!("another process listens on {address}: stop that process, or choose another port");
        assert_eq!(error.to_string(), expected);
        drop(taken);
        assert!(check_port(address.port()).is_ok());
    }

    #[test]
    fn processes_start_far_from_one_another() {
        let starts: Vec<u32> = (4_000_000..4_000_020).map(start).collect();
        for (i, one) in starts.iter().enumerate() {
            for other in &starts[..i] {
                let distance = one.abs_diff(*other);
                assert!(distance.min(PORTS - distance) > 500, "{starts:?}");
            }
        }
    }
}
