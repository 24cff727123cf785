//! Opens the ports of a domain for a check, which reports the faults of all ports at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{Diagnostics, DomainCatalog, Port, PortRef};
use portolan_connectors::{LocalDomain, OpenError, Sources, close_port, open_domain_in_part};
use portolan_engine::Engine;

use crate::{Error, Result};

/// The ports of a domain. Those with faults are closed.
pub(crate) struct OpenedInPart {
    pub(crate) domain: LocalDomain,
    /// The faults of the closed ports.
    pub(crate) errors: BTreeMap<PortRef, Diagnostics>,
}

/// Opens the ports of a domain, and plans the queries of the derived ones. Logs no faults.
///
/// # Errors
/// The planner panics.
pub(crate) async fn open_in_part(
    catalog: DomainCatalog,
    sources: &Sources,
    runtime: &Arc<RuntimeEnv>,
    timeout: Duration,
) -> Result<OpenedInPart> {
    let (mut domain, closed) = open_domain_in_part(catalog, sources, runtime, timeout).await;
    let errors = closed.into_iter().map(|(port, error)| (port, error.diagnostics().clone()));
    let mut errors: BTreeMap<PortRef, Diagnostics> = errors.collect();
    let opened = domain.clone();
    if let Err(faults) = apart(move || Engine::check_derived_ports(&opened)).await? {
        let of_port = |port: &Port| Some((port.clone(), own_faults(port, &faults)?));
        let derived: Vec<(Port, Diagnostics)> = domain.catalog.ports().filter_map(of_port).collect();
        close_derived(&mut domain, &derived);
        errors.extend(derived.into_iter().map(|(port, faults)| (port.name, faults)));
    }
    Ok(OpenedInPart { domain, errors })
}

/// Runs work that plans queries and may take long. A signal can end the process meanwhile.
///
/// # Errors
/// The work panics.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|e| Error::failed("planning the queries of ports ended abnormally").with_source(e))
}

/// Returns the faults of the query of a derived port, if there are any.
fn own_faults(port: &Port, Diagnostics(faults): &Diagnostics) -> Option<Diagnostics> {
    port.query()?;
    let place = &port.source.as_ref()?.place;
    let own: Vec<_> = faults.iter().filter(|fault| fault.place == *place).cloned().collect();
    (!own.is_empty()).then_some(Diagnostics(own))
}

/// Closes derived ports, and removes their queries: an engine does not plan them again, and does not log their faults.
fn close_derived(domain: &mut LocalDomain, faulty: &[(Port, Diagnostics)]) {
    let catalog = Arc::make_mut(&mut domain.catalog);
    for (port, faults) in faulty {
        let (mut entry, table) = close_port(port, &OpenError::Faulty(faults.clone()));
        entry.source = None;
        entry.derived_from = vec![];
        domain.ports.push(table);
        if let Some(product) = catalog.products.get_mut(&port.name.product) {
            product.ports.insert(port.name.port.clone(), entry);
        }
    }
    domain.ports.sort_by(|a, b| a.name.cmp(&b.name));
}
