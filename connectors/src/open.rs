//! Opens a domain: all its ports, and the statistics of their data. A source that does not respond does not hold up the
//! others.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::future::join_all;
use portolan_catalog::{Diagnostic, Diagnostics, DomainCatalog, Port, PortRef};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::closed::{ClosedReason, closed_port, is_open, mark_closed, reason};
use crate::panics::caught_async;
use crate::source::{LocalDomain, OPENINGS, OpenError, OpenedPort, SourceOpener};
use crate::statistics;

/// The time after which a port that is being opened no longer counts towards [`OPENINGS`].
const PATIENCE: Duration = Duration::from_secs(5);

/// How a domain is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The time limit for opening a port. Default: one minute.
    pub timeout: Duration,
    /// True if a source that does not respond is an error. Otherwise, its port stays closed: queries on the port fail,
    /// until [`open_again`] opens it. Default: true.
    pub requires_all: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), requires_all: true }
    }
}

/// Opens every port of a domain. Adds the columns' actual types and the data's statistics to the domain's catalog.
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
/// As [`open_domain`].
pub async fn open_domain_with(
    mut catalog: DomainCatalog,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    options: OpenOptions,
) -> Result<LocalDomain, Diagnostics> {
    let declared: Vec<&Port> = catalog.ports().collect();
    let results = open_all(&declared, opener, runtime, options.timeout).await;
    let mut ports = Vec::new();
    let mut wrong = Vec::new();
    for (port, result) in declared.into_iter().zip(results) {
        match result {
            Ok(opened) => ports.push(opened),
            Err(OpenError::Unavailable(problems)) if !options.requires_all => {
                tracing::error!(port = %port.name, "the port stays closed until its source responds: {problems}");
                ports.push(closed_port(port, ClosedReason::NoResponse));
            }
            Err(error) => wrong.extend(error.into_diagnostics().0),
        }
    }
    if !wrong.is_empty() {
        return Err(Diagnostics(wrong));
    }
    mark_closed(&mut catalog, &[], &ports);
    let opened: Vec<OpenedPort> = ports.iter().filter(|port| is_open(port)).cloned().collect();
    Ok(LocalDomain { catalog: with_data(catalog, &opened, opener, runtime).await, ports })
}

/// Tries to open the closed ports of a domain. Returns the domain with those that opened, or `None` if nothing changed.
pub async fn open_again(
    domain: &LocalDomain,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
    timeout: Duration,
) -> Option<LocalDomain> {
    let is_closed = |name: &PortRef| domain.ports.iter().any(|port| port.name == *name && !is_open(port));
    let closed: Vec<&Port> = domain.catalog.ports().filter(|port| is_closed(&port.name)).collect();
    let results = open_all(&closed, opener, runtime, timeout).await;
    let (mut ports, mut opened) = (domain.ports.clone(), Vec::new());
    let mut is_changed = false;
    for (port, result) in closed.into_iter().zip(results) {
        let Some(place) = ports.iter_mut().find(|place| place.name == port.name) else { continue };
        match result {
            Ok(now) => {
                tracing::info!(port = %port.name, "the port is open");
                opened.push(now.clone());
                *place = now;
                is_changed = true;
            }
            Err(OpenError::Unavailable(problems)) => {
                tracing::debug!(port = %port.name, "the port stays closed: {problems}");
            }
            // The source responds by now, and somebody must fix it.
            Err(OpenError::Faulty(problems)) if reason(place) != Some(ClosedReason::Faults) => {
                tracing::error!(port = %port.name, "the port stays closed: {problems}");
                *place = closed_port(port, ClosedReason::Faults);
                is_changed = true;
            }
            Err(OpenError::Faulty(_)) => {}
        }
    }
    if !is_changed {
        return None;
    }
    let mut catalog = (*domain.catalog).clone();
    mark_closed(&mut catalog, &domain.ports, &ports);
    Some(LocalDomain { catalog: with_data(catalog, &opened, opener, runtime).await, ports })
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
    Diagnostics(vec![Diagnostic { place, message, suggestion: None }])
}

#[cfg(test)]
mod tests;
