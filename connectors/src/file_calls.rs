//! Calls of the file system that may hang, such as on a network drive that does not respond. A hanging call keeps its
//! thread, so the number of calls is bounded for each port.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use portolan_catalog::PortRef;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::poison::lock;

/// The number of calls for one port that may run at once.
const CALLS: usize = 8;

/// The calls of the file system for the ports of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortCalls(Arc<Mutex<BTreeMap<PortRef, FileCalls>>>);

impl PortCalls {
    /// Returns the calls for a port. A port that is opened again counts the calls that still hang.
    pub(crate) fn of(&self, port: &PortRef) -> FileCalls {
        let mut known = lock(&self.0);
        known.retain(|_, calls| Arc::strong_count(&calls.0) > 1);
        known.entry(port.clone()).or_default().clone()
    }
}

/// The calls of the file system for one port.
#[derive(Clone, Debug)]
pub(crate) struct FileCalls(Arc<Semaphore>);

impl Default for FileCalls {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CALLS)))
    }
}

impl FileCalls {
    /// Runs `call` on a thread for blocking work. The caller may stop waiting: the call counts until it returns.
    ///
    /// # Errors
    /// The call panicked, or the runtime ends.
    pub(crate) async fn run<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let permit = self.0.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        let running = spawn_blocking(move || {
            let value = call();
            drop(permit);
            value
        });
        running.await.map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn calls_that_hang_are_bounded_until_they_return() {
        let ports = PortCalls::default();
        let (orders, items) = (PortRef::new("sales", "orders", "orders"), PortRef::new("sales", "orders", "items"));
        let (release, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        let moment = Duration::from_millis(50);
        for _ in 0..CALLS {
            let hang = hang.clone();
            let hanging = ports.of(&orders);
            assert!(timeout(moment, hanging.run(move || lock(&hang).recv())).await.is_err());
        }
        // The port was dropped, and its calls still hang.
        assert!(timeout(moment, ports.of(&orders).run(|| ())).await.is_err());
        ports.of(&items).run(|| ()).await.unwrap();
        drop(release);
        ports.of(&orders).run(|| ()).await.unwrap();
    }
}
