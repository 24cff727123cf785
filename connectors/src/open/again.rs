//! Tries to open ports again while their domain is served. A port that responds does not wait for one that does not.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use portolan_catalog::{DomainCatalog, Port, PortRef};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::{PATIENCE, Slots, open_in_slot, over_data, replace, with_data};
use crate::closed::{closed, is_open, marked, renew_reason};
use crate::source::{LocalDomain, OPENINGS, OpenError, OpenedPort, SourceOpener};

/// The time for which a port that responds waits for others, so that they change the domain in one step.
const BATCH_TIME: Duration = Duration::from_secs(1);

/// A port that an attempt to open it has changed.
#[derive(Clone, Debug)]
pub struct RetriedPort {
    /// The table before the attempt.
    before: Arc<dyn TableProvider>,
    entry: Port,
    opened: OpenedPort,
}

/// An attempt to open a port, and its outcome.
struct Attempt<'a> {
    port: &'a Port,
    outcome: Result<OpenedPort, OpenError>,
}

/// Returns the ports of a domain that are closed, or in use in their last good version.
pub fn ports_with_errors(domain: &LocalDomain) -> BTreeSet<PortRef> {
    domain.catalog.ports().filter(|port| port.load_error.is_some()).map(|port| port.name.clone()).collect()
}

/// Tries to open ports of a domain again: those in `wanted`, unless they are derived. `declared` has the ports as their
/// newest descriptors describe them. Passes the changed ports to `publish`, those that respond first in the first call.
///
/// An open port whose newest version has faults stays open, and is marked. A source that does not respond changes
/// nothing: queries report it.
pub async fn open_again(
    declared: &DomainCatalog,
    domain: &LocalDomain,
    wanted: &BTreeSet<PortRef>,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    timeout: Duration,
    publish: impl Fn(&[RetriedPort]),
) {
    let slots = Slots { free: Semaphore::new(OPENINGS), patience: PATIENCE };
    let mut attempts = FuturesUnordered::new();
    for port in over_data(declared) {
        if wanted.contains(&port.name) {
            attempts.push(attempt(port, opener, runtime, &slots, timeout));
        }
    }
    while let Some(first) = attempts.next().await {
        let mut batch = vec![first];
        let mut end = pin!(sleep(BATCH_TIME));
        loop {
            tokio::select! {
                next = attempts.next() => match next {
                    Some(attempt) => batch.push(attempt),
                    None => break,
                },
                () = &mut end => break,
            }
        }
        let retried = changed_by(batch, domain, opener, runtime).await;
        if !retried.is_empty() {
            publish(&retried);
        }
    }
}

async fn attempt<'a>(
    port: &'a Port,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    slots: &Slots,
    timeout: Duration,
) -> Attempt<'a> {
    Attempt { port, outcome: open_in_slot(port, opener, runtime, slots, timeout).await }
}

/// Returns the ports that these attempts change.
async fn changed_by(
    attempts: Vec<Attempt<'_>>,
    domain: &LocalDomain,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> Vec<RetriedPort> {
    let mut catalog = (*domain.catalog).clone();
    let (mut changed, mut opened) = (vec![], vec![]);
    for Attempt { port, outcome } in attempts {
        let place = domain.ports.iter().find(|place| place.name == port.name);
        let (Some(place), Some(served)) = (place, served(domain, port)) else { continue };
        let (entry, now) = match outcome {
            Ok(now) => {
                tracing::info!(port = %port.name, "the port is open");
                opened.push(now.clone());
                (port.clone(), now)
            }
            Err(error) => match failed(port, served, place, &error) {
                Some(failed) => failed,
                None => continue,
            },
        };
        replace(&mut catalog, entry);
        changed.push((place.provider.clone(), now));
    }
    if changed.is_empty() {
        return vec![];
    }
    let catalog = with_data(catalog, &opened, opener, runtime).await;
    let retried = changed.into_iter().filter_map(|(before, opened)| {
        let entry = catalog.port(&opened.name.product, &opened.name.port)?.clone();
        Some(RetriedPort { before, entry, opened })
    });
    retried.collect()
}

/// Returns a port that still cannot be opened, if that changes what others see. `place` and `served` are the port as it
/// is served.
fn failed(port: &Port, served: &Port, place: &OpenedPort, error: &OpenError) -> Option<(Port, OpenedPort)> {
    if is_open(place) && error.is_unavailable() {
        return None;
    }
    let has_new_reason = renew_reason(place, error);
    let (entry, table) = match is_open(place) {
        true => (marked(served, port, error), place.clone()),
        false => closed(port, error),
    };
    let is_same = entry.load_error == served.load_error;
    // The reasons of other sources differ each time, such as by the number of a request.
    match is_same && !(has_new_reason && port.has_local_files()) {
        true => tracing::debug!(port = %port.name, "the port still cannot be opened: {}", error.one_line()),
        false => tracing::error!(port = %port.name, "the port cannot be opened: {}", error.one_line()),
    }
    (!is_same).then_some((entry, table))
}

fn served<'a>(domain: &'a LocalDomain, port: &Port) -> Option<&'a Port> {
    domain.catalog.port(&port.name.product, &port.name.port)
}

impl LocalDomain {
    /// Returns the domain with the ports that attempts have changed. A port that something else has opened or closed in
    /// the meantime stays as it is.
    #[must_use]
    pub fn with_retried(&self, retried: &[RetriedPort]) -> Self {
        let (mut catalog, mut ports) = ((*self.catalog).clone(), self.ports.clone());
        for RetriedPort { before, entry, opened } in retried {
            let is_place = |place: &&mut OpenedPort| place.name == opened.name && Arc::ptr_eq(&place.provider, before);
            let Some(place) = ports.iter_mut().find(is_place) else { continue };
            let mut entry = entry.clone();
            // The statistics of an open port that is marked may be newer by now.
            if Arc::ptr_eq(&opened.provider, before)
                && let Some(present) = served(self, &entry)
            {
                entry.statistics = present.statistics.clone();
            }
            *place = opened.clone();
            replace(&mut catalog, entry);
        }
        Self { catalog: Arc::new(catalog.with_statistics(&BTreeMap::new())), ports, policies: self.policies.clone() }
    }
}
