//! Opens the ports that a test reads. One that cannot be opened does not keep the others from being tested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::future::join_all;
use portolan_catalog::rules::RuleKind;
use portolan_catalog::{Diagnostics, DomainCatalog, MeshSnapshot, Port, PortRef, Reference};
use portolan_connectors::{LocalDomain, OpenOptions, Sources, open_domain_with};

/// The number of ports that are opened at the same time.
const OPENINGS: usize = 8;

/// The ports that a test reads.
pub(super) struct Opened {
    /// The ports that are open.
    pub(super) domain: LocalDomain,
    /// The errors of the others.
    pub(super) errors: BTreeMap<PortRef, Diagnostics>,
}

/// Opens the tested ports, and those of the domain that they refer to.
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
                    errors.insert(port.name.clone(), error);
                }
            }
        }
    }
    Opened { domain: LocalDomain::new(DomainCatalog::new(domain, entries), ports), errors }
}

/// Returns the tested ports, and those of the domain that they refer to, in the order of their names.
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
    declared
        .domains
        .values()
        .flat_map(|entry| entry.catalog.ports())
        .filter(|port| names.contains(&port.name))
        .collect()
}
