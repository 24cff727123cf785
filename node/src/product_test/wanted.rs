//! The ports that a test reads.

use std::collections::BTreeSet;

use portolan_catalog::rules::RuleKind;
use portolan_catalog::{DomainCatalog, MeshSnapshot, Port, PortRef, Reference};

/// Returns the domain with the tested ports, and those that they refer to or that their queries read.
pub(super) fn wanted_ports(declared: &MeshSnapshot, tested: &[&Port]) -> DomainCatalog {
    let domain = declared.domains.keys().next().map(ToString::to_string).unwrap_or_default();
    DomainCatalog::new(domain, wanted(declared, tested).into_iter().cloned())
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
