//! Liveness and readiness. A server that answers at all is live. It is ready if it accepts statements, and if the threads
//! that run them have responded lately: a check that hangs makes the server not ready.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portolan_connectors::lock;
use portolan_engine::{Engine, server};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The name of readiness in gRPC's health protocol. The empty name is liveness.
const READINESS: &str = "readiness";
/// The interval between two checks of the engine, and between two reports.
const INTERVAL: Duration = Duration::from_secs(1);
/// The age of the engine's last response beyond which the server is not ready.
const STALE: Duration = Duration::from_secs(30);

/// The readiness of a server. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Phase>>);

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Starting,
    Serving {
        /// The time of the engine's last response.
        responded: Instant,
    },
    Stopping,
}

impl Readiness {
    /// Returns `Ok` if the server is ready.
    ///
    /// # Errors
    /// The reason why the server is not ready.
    pub fn check(&self) -> Result<(), String> {
        self.check_at(Instant::now())
    }

    fn check_at(&self, now: Instant) -> Result<(), String> {
        match *lock(&self.0) {
            Phase::Starting => Err("the node is starting".to_owned()),
            Phase::Stopping => Err("the node is stopping".to_owned()),
            Phase::Serving { responded } => match now.saturating_duration_since(responded) {
                age if age > STALE => {
                    Err(format!("the threads that run queries have not responded for {} s", age.as_secs()))
                }
                _ => Ok(()),
            },
        }
    }

    /// Records that the server accepts statements, and that the engine responded at this time.
    pub(crate) fn responded(&self, at: Instant) {
        let mut phase = lock(&self.0);
        if !matches!(*phase, Phase::Stopping) {
            *phase = Phase::Serving { responded: at };
        }
    }

    /// Records that the server accepts no more statements.
    pub(crate) fn stop(&self) {
        *lock(&self.0) = Phase::Stopping;
    }
}

/// Checks the engine at intervals, until the task is dropped.
pub(crate) async fn check_engine(engine: Engine, readiness: Readiness) {
    loop {
        match server::respond(&engine).await {
            Ok(()) => readiness.responded(Instant::now()),
            Err(e) => tracing::error!("the engine does not respond: {}", e.chain()),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Reports readiness in gRPC's health protocol, both under its own name and under the name of a service.
pub(crate) struct Reporter {
    health: HealthReporter,
    service: &'static str,
    readiness: Readiness,
    /// The readiness that was reported last.
    reported: tokio::sync::Mutex<Option<bool>>,
}

impl Reporter {
    pub(crate) fn new(health: HealthReporter, service: &'static str, readiness: Readiness) -> Self {
        Self { health, service, readiness, reported: tokio::sync::Mutex::new(None) }
    }

    /// Reports the present readiness if it has changed.
    pub(crate) async fn report(&self) {
        // Concurrent reports take turns, so that an older state never replaces a newer one.
        let mut reported = self.reported.lock().await;
        let ready = self.readiness.check().is_ok();
        if *reported == Some(ready) {
            return;
        }
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in [READINESS, self.service] {
            self.health.set_service_status(name, status).await;
        }
        *reported = Some(ready);
    }

    /// Reports readiness at intervals, until the task is dropped.
    pub(crate) async fn keep_reporting(self: Arc<Self>) {
        loop {
            self.report().await;
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_while_its_engine_responds() {
        let (readiness, now) = (Readiness::default(), Instant::now());
        assert_eq!(readiness.check_at(now), Err("the node is starting".to_owned()));
        readiness.responded(now);
        assert_eq!(readiness.check_at(now + STALE), Ok(()));
        let late = now + STALE + Duration::from_secs(1);
        assert_eq!(
            readiness.check_at(late),
            Err("the threads that run queries have not responded for 31 s".to_owned())
        );
        readiness.responded(late);
        assert_eq!(readiness.check_at(late), Ok(()));
        readiness.stop();
        readiness.responded(late);
        assert_eq!(readiness.check_at(late), Err("the node is stopping".to_owned()));
    }
}
