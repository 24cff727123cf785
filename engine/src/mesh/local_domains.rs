//! The domains that an engine owns, as a program adds them.

use std::collections::{BTreeMap, BTreeSet};

use portolan_catalog::{DomainName, PortRef};
use portolan_connectors::LocalDomain;

use crate::{Error, ErrorKind, Result};

/// Returns the domains by their names.
///
/// # Errors
/// `InvalidQuery` if two domains have the same name, or if a domain has other open ports than its catalog.
pub(super) fn by_name(domains: Vec<LocalDomain>) -> Result<BTreeMap<DomainName, LocalDomain>> {
    let mut local = BTreeMap::new();
    for domain in domains {
        check_ports(&domain)?;
        let name = domain.catalog.domain.clone();
        if local.insert(name.clone(), domain).is_some() {
            return Err(invalid(format!("two local domains are named `{name}`: a name belongs to one domain")));
        }
    }
    Ok(local)
}

/// Checks that each port of a catalog is open or closed, and that there are no others. A port without this pair does not
/// exist for statements, although the mesh lists it.
fn check_ports(domain: &LocalDomain) -> Result<()> {
    let opened: BTreeSet<&PortRef> = domain.ports.iter().map(|port| &port.name).collect();
    let described: BTreeSet<&PortRef> = domain.catalog.ports().map(|port| &port.name).collect();
    // The engine itself opens derived ports.
    let mut over_data = domain.catalog.ports().filter(|port| !port.is_derived());
    if let Some(port) = over_data.find(|port| !opened.contains(&port.name)) {
        let name = &port.name;
        return Err(invalid(format!("port `{name}` was not opened: add an `OpenedPort` with this name to its domain")));
    }
    match opened.difference(&described).next() {
        Some(name) => Err(invalid(format!(
            "port `{name}` is not in the catalog of domain `{}`: add a `Port` with this name",
            domain.catalog.domain
        ))),
        None => Ok(()),
    }
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, what)
}
