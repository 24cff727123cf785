//! Opens a domain: all its ports, and the statistics of their data. One rule holds at the start of a node, when it
//! reloads, and while it runs: a port that cannot be opened is closed, or keeps its last good version, and the other
//! ports are not affected. The next attempt that succeeds opens the port.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::future::join_all;
use portolan_catalog::{Diagnostic, Diagnostics, DomainCatalog, Port, PortRef};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::closed::{closed, is_open, marked};
use crate::panics::caught_async;
use crate::source::{LocalDomain, OPENINGS, OpenError, OpenedPort, SourceOpener};
use crate::statistics;

mod again;

pub use again::{RetriedPort, open_again, ports_with_errors};

/// The time after which a port that is being opened no longer counts towards [`OPENINGS`].
const PATIENCE: Duration = Duration::from_secs(5);

/// How a domain is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The time limit for opening a port. Default: one minute.
    pub timeout: Duration,
    /// True if a port that cannot be opened is an error. Otherwise, the port is closed: queries on it fail, until
    /// [`open_again`] opens it. Default: true.
    pub requires_all: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), requires_all: true }
    }
}

/// Opens every port of a domain. Adds the columns' actual types and the data's statistics to the domain's catalog. The
/// engine opens the derived ports, which are queries over these.
///
/// # Errors
/// Every problem of any port, in the order of the ports' names.
pub async fn open_domain(
    catalog: DomainCatalog,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> Result<LocalDomain, Diagnostics> {
    open_domain_with(catalog, opener, runtime, OpenOptions::default()).await
}

/// Opens a domain as [`open_domain`] does, with these options.
///
/// # Errors
/// As [`open_domain`], if all ports are required; none otherwise.
pub async fn open_domain_with(
    catalog: DomainCatalog,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    options: OpenOptions,
) -> Result<LocalDomain, Diagnostics> {
    let results = open_all(&over_data(&catalog), opener, runtime, options.timeout).await;
    let errors = results.iter().filter_map(|result| result.as_ref().err());
    let wrong: Vec<Diagnostic> = errors.flat_map(|error| error.diagnostics().0.clone()).collect();
    if options.requires_all && !wrong.is_empty() {
        return Err(Diagnostics(wrong));
    }
    Ok(logged(domain_of(catalog, results, |_| None, opener, runtime).await))
}

/// Opens a domain as [`open_domain_with`] does, for a report: returns the reasons why ports are closed, and logs none of
/// them.
pub async fn open_domain_in_part(
    catalog: DomainCatalog,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    timeout: Duration,
) -> (LocalDomain, BTreeMap<PortRef, OpenError>) {
    let results = open_all(&over_data(&catalog), opener, runtime, timeout).await;
    domain_of(catalog, results, |_| None, opener, runtime).await
}

/// Opens a domain whose descriptors or sources were loaded again. A port that cannot be opened, but is open in `before`,
/// keeps its last good version if `may_stay` permits it. Otherwise it is closed.
pub async fn reopen_domain(
    catalog: DomainCatalog,
    before: &LocalDomain,
    may_stay: impl Fn(&Port) -> bool,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    timeout: Duration,
) -> LocalDomain {
    let results = open_all(&over_data(&catalog), opener, runtime, timeout).await;
    let last_good = |port: &Port| {
        let served = before.catalog.port(&port.name.product, &port.name.port).filter(|served| may_stay(served))?;
        let opened = before.ports.iter().find(|opened| opened.name == port.name && is_open(opened))?;
        Some((served.clone(), opened.clone()))
    };
    logged(domain_of(catalog, results, last_good, opener, runtime).await)
}

/// Logs why ports are closed, and returns the domain.
fn logged((domain, closed): (LocalDomain, BTreeMap<PortRef, OpenError>)) -> LocalDomain {
    for (port, error) in closed {
        tracing::error!(%port, "the port is closed until it can be opened: {}", error.one_line());
    }
    domain
}

/// Returns the ports of a domain that are not derived.
fn over_data(catalog: &DomainCatalog) -> Vec<&Port> {
    catalog.ports().filter(|port| !port.is_derived()).collect()
}

/// Returns a domain with these ports. `results` has one result for each port over data, in the order of the catalog. `last_good`
/// returns the version of a port that is used if the present one cannot be opened. Also returns the ports that are closed,
/// with the reasons.
async fn domain_of(
    mut catalog: DomainCatalog,
    results: Vec<Result<OpenedPort, OpenError>>,
    last_good: impl Fn(&Port) -> Option<(Port, OpenedPort)>,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> (LocalDomain, BTreeMap<PortRef, OpenError>) {
    let declared: Vec<Port> = over_data(&catalog).into_iter().cloned().collect();
    let (mut ports, mut opened, mut reasons) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (port, result) in declared.iter().zip(results) {
        let error = match result {
            Ok(now) => {
                opened.push(now.clone());
                ports.push(now);
                continue;
            }
            Err(error) => error,
        };
        match last_good(port) {
            Some((served, last)) => {
                tracing::error!(port = %port.name, "the last good version of the port stays in use: {}", error.one_line());
                replace(&mut catalog, marked(&served, port, &error));
                ports.push(last);
            }
            None => {
                let (entry, table) = closed(port, &error);
                replace(&mut catalog, entry);
                ports.push(table);
                reasons.insert(port.name.clone(), error);
            }
        }
    }
    (LocalDomain { catalog: with_data(catalog, &opened, opener, runtime).await, ports, policies: None }, reasons)
}

fn replace(catalog: &mut DomainCatalog, port: Port) {
    if let Some(product) = catalog.products.get_mut(&port.name.product) {
        product.ports.insert(port.name.port.clone(), port);
    }
}

/// Adds the types and the statistics of the ports to the catalog.
async fn with_data(
    catalog: DomainCatalog,
    ports: &[OpenedPort],
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> Arc<DomainCatalog> {
    let statistics = statistics::of_domain(&catalog, ports, opener, runtime).await;
    let schema_of = |name: &PortRef| ports.iter().find(|p| p.name == *name).map(|p| p.schema.clone());
    Arc::new(catalog.with_statistics(&statistics).with_schemas(schema_of))
}

/// Opens ports, at most [`OPENINGS`] at once. The results have the order of the ports.
async fn open_all(
    ports: &[&Port],
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    timeout: Duration,
) -> Vec<Result<OpenedPort, OpenError>> {
    let slots = Slots { free: Semaphore::new(OPENINGS), patience: PATIENCE };
    let openings: Vec<_> = ports.iter().map(|port| open_in_slot(port, opener, runtime, &slots, timeout)).collect();
    join_all(openings).await
}

/// The slots in which ports are opened.
struct Slots {
    free: Semaphore,
    /// The time after which a port leaves its slot to another port.
    patience: Duration,
}

/// Opens one port within a time limit, which begins when a slot is free.
async fn open_in_slot(
    port: &Port,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    slots: &Slots,
    limit: Duration,
) -> Result<OpenedPort, OpenError> {
    let slot = slots.free.acquire().await;
    let mut opening = pin!(open(port, opener, runtime));
    let patience = slots.patience.min(limit);
    if let Ok(opened) = timeout(patience, &mut opening).await {
        return opened;
    }
    drop(slot);
    match timeout(limit - patience, opening).await {
        Ok(opened) => opened,
        Err(_) => {
            let message = format!("port {}: its source did not respond within {limit:?}", port.name);
            Err(OpenError::Unavailable(at_source(port, message)))
        }
    }
}

/// Opens one port. A panic of a reader is reported like any other fault of the port.
async fn open(port: &Port, opener: &dyn SourceOpener, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
    caught_async(opener.open(port, runtime))
        .await
        .unwrap_or_else(|panic| Err(at_source(port, format!("port {} cannot be opened: {panic}", port.name)).into()))
}

fn at_source(port: &Port, message: String) -> Diagnostics {
    let place = port.source.as_ref().map(|source| source.place.clone()).unwrap_or_default();
    Diagnostics::one(place, message)
}

#[cfg(test)]
mod tests;
