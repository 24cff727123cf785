//! Opens the ports that a test reads. One that cannot be opened does not keep the others from being tested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::future::join_all;
use portolan_catalog::rules::RuleKind;
use portolan_catalog::{Diagnostics, DomainCatalog, MeshSnapshot, Port, PortRef, Reference};
use portolan_connectors::{LocalDomain, OpenError, OpenOptions, Sources, close_port, open_domain_with};
use portolan_engine::Engine;

/// The number of ports that are opened at the same time.
const OPENINGS: usize = 8;

/// The ports that a test reads.
pub(super) struct Opened {
    /// The ports. Those that cannot be opened are closed.
    pub(super) domain: LocalDomain,
    /// The errors of the ports that cannot be opened.
    pub(super) errors: BTreeMap<PortRef, Diagnostics>,
}

/// Opens the tested ports, and those of the domain that they refer to or that their queries read.
pub(super) async fn open(
    declared: &MeshSnapshot,
    tested: &[&Port],
    sources: &Sources,
    runtime: &Arc<RuntimeEnv>,
    timeout: Duration,
) -> Opened {
    let wanted = wanted(declared, tested);
    let options = OpenOptions { timeout, requires_all: true };
    let alone = |port: &Port| DomainCatalog::new(port.name.domain.as_str(), [port.clone()]);
    let domain = declared.domains.keys().next().map(ToString::to_string).unwrap_or_default();
    let (mut entries, mut ports, mut errors) = (vec![], vec![], BTreeMap::new());
    for group in wanted.chunks(OPENINGS) {
        let openings = group.iter().map(|port| open_domain_with(alone(port), sources, runtime, options));
        for (port, result) in group.iter().zip(join_all(openings).await) {
            match result {
                Ok(opened) => {
                    entries.extend(opened.catalog.ports().cloned());
                    ports.extend(opened.ports);
                }
                Err(error) => {
                    let (entry, closed) = close_port(port, &OpenError::Faulty(error.clone()));
                    entries.push(entry);
                    ports.push(closed);
                    errors.insert(port.name.clone(), error);
                }
            }
        }
    }
    let domain = LocalDomain::new(DomainCatalog::new(domain, entries), ports);
    if let Err(faults) = Engine::check_derived_ports(&domain) {
        errors.extend(tested.iter().filter_map(|port| Some((port.name.clone(), own_faults(port, &faults)?))));
    }
    Opened { domain, errors }
}

/// Returns the faults of the query of a derived port, if there are any.
fn own_faults(port: &Port, Diagnostics(faults): &Diagnostics) -> Option<Diagnostics> {
    port.query()?;
    let place = &port.source.as_ref()?.place;
    let own: Vec<_> = faults.iter().filter(|fault| fault.place == *place).cloned().collect();
    (!own.is_empty()).then_some(Diagnostics(own))
}

/// Returns the tested ports, and those of the domain that they refer to, in the order of their names. If one is a query,
/// returns all ports of the domain.
fn wanted<'a>(declared: &'a MeshSnapshot, tested: &[&Port]) -> Vec<&'a Port> {
    let mut names: BTreeSet<&PortRef> = tested.iter().map(|port| &port.name).collect();
    for port in tested {
        for rule in &port.rules {
            let RuleKind::References { table, columns } = &rule.kind else { continue };
            let reference = Reference {
                name: None,
                columns: rule.columns.clone(),
                table: table.clone(),
                referenced_columns: columns.clone(),
            };
            names.extend(declared.referenced(&port.name, &reference).map(|port| &port.name));
        }
    }
    let all = || declared.domains.values().flat_map(|entry| entry.catalog.ports());
    // Only the engine knows which ports a query reads.
    let has_query = all().any(|port| port.query().is_some() && names.contains(&port.name));
    all().filter(|port| has_query || names.contains(&port.name)).collect()
}
