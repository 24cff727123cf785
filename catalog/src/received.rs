//! Checks the catalogs that another node sends, by the rules for a folder of descriptors.

use std::collections::{BTreeSet, HashSet};

use crate::load::{RESERVED_PRODUCTS, check_domain_name, is_reserved};
use crate::model::{DomainCatalog, Port, Product};
use crate::names::{DomainName, PortRef, ProductName, check_name};
use crate::printable::printable;

/// The largest number of domains that a node may claim.
pub const MAX_DOMAINS: usize = 256;
/// The largest number of faults that are described.
const MAX_FAULTS: usize = 8;
/// The largest number of ports that a derived port may read.
pub const MAX_INPUTS: usize = 256;
/// The largest number of characters of a name that a fault shows.
const MAX_SHOWN: usize = 80;

/// The faults of a node's catalogs. A catalog can have any number of faults, and only the first ones are described.
#[derive(Debug, Default)]
struct Faults {
    described: Vec<String>,
    more: usize,
}

impl Faults {
    fn add(&mut self, fault: String) {
        if self.described.len() < MAX_FAULTS { self.described.push(fault) } else { self.more += 1 }
    }

    fn into_described(mut self) -> Vec<String> {
        if self.more > 0 {
            self.described.push(format!("{} more entries are not valid", self.more));
        }
        self.described
    }
}

/// Returns the valid entries of the catalogs that a node sends, and the faults of the others. A fault names the entry
/// and the reason, and is safe to print.
///
/// A domain with a name that no domain can have, or that the node sends twice, is not valid as a whole. Otherwise, only
/// the products and ports with faults are left out.
pub fn check_received(catalogs: Vec<DomainCatalog>) -> (Vec<DomainCatalog>, Vec<String>) {
    let mut faults = Faults::default();
    let twice = repeated(&catalogs);
    let mut valid = vec![];
    for mut catalog in catalogs {
        let shown = shown(catalog.domain.as_str());
        if let Err(reason) = check_domain_name(&catalog.domain) {
            faults.add(format!("domain `{shown}`: {reason}"));
        } else if twice.contains(&catalog.domain) {
            faults.add(format!("domain `{shown}`: the node sends two catalogs of it"));
        } else if valid.len() == MAX_DOMAINS {
            faults.add(format!("domain `{shown}`: a node can own at most {MAX_DOMAINS} domains"));
        } else {
            let domain = catalog.domain.clone();
            catalog.products.retain(|name, product| match check_product(name, product) {
                Ok(()) => {
                    keep_valid_ports(&domain, product, &mut faults);
                    true
                }
                Err(reason) => {
                    faults.add(format!("product {} of domain `{shown}`: {reason}", quoted(name.as_str())));
                    false
                }
            });
            valid.push(catalog);
        }
    }
    (valid, faults.into_described())
}

/// Returns the domains with more than one catalog.
fn repeated(catalogs: &[DomainCatalog]) -> BTreeSet<DomainName> {
    let mut seen = HashSet::new();
    catalogs.iter().map(|c| &c.domain).filter(|domain| !seen.insert(*domain)).cloned().collect()
}

fn check_product(name: &ProductName, product: &Product) -> Result<(), String> {
    check_name(name.as_str())?;
    if is_reserved(name.as_str(), &RESERVED_PRODUCTS) {
        return Err("every domain has a schema of that name".into());
    }
    if product.name != *name {
        return Err(format!("it also has the name {}", quoted(product.name.as_str())));
    }
    Ok(())
}

fn keep_valid_ports(domain: &DomainName, product: &mut Product, faults: &mut Faults) {
    let place = |port: &str| PortRef::new(domain.as_str(), product.name.as_str(), port);
    let mut refused = vec![];
    for (name, port) in &product.ports {
        if let Err(reason) = check_name(name.as_str()).and_then(|()| check_port(port, &place(name.as_str()))) {
            refused.push(name.clone());
            let of = quoted(product.name.as_str());
            faults.add(format!("port {} of product {of} of domain `{domain}`: {reason}", quoted(name.as_str())));
        }
    }
    for name in refused {
        product.ports.remove(&name);
    }
}

/// Checks a port against `place`, its full name by its place in the catalog.
fn check_port(port: &Port, place: &PortRef) -> Result<(), String> {
    if port.name != *place {
        let PortRef { domain, product, port } = &port.name;
        let said = format!("{domain}.{product}.{port}");
        return Err(format!("it has the full name {}", quoted(&said)));
    }
    let mut seen = HashSet::new();
    for column in &port.columns {
        if column.name.is_empty() {
            return Err("a column has no name".into());
        }
        if !seen.insert(&column.name) {
            return Err(format!("it has two columns {}", quoted(&column.name)));
        }
    }
    check_inputs(port)
}

/// Checks the ports that a derived port reads.
fn check_inputs(port: &Port) -> Result<(), String> {
    if port.derived_from.len() > MAX_INPUTS {
        return Err(format!("it is derived from more than {MAX_INPUTS} ports"));
    }
    for input in &port.derived_from {
        if input.domain != port.name.domain {
            return Err(format!("it is derived from a port of the domain {}", quoted(input.domain.as_str())));
        }
        check_name(input.product.as_str()).and_then(|()| check_name(input.port.as_str()))?;
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("`{}`", shown(name))
}

/// Returns a name as it is safe to print.
fn shown(name: &str) -> String {
    let mut characters = name.chars();
    let start: String = characters.by_ref().take(MAX_SHOWN).collect();
    let rest = if characters.next().is_some() { "…" } else { "" };
    format!("{}{rest}", printable(&start))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Column;
    use crate::names::PortName;

    fn catalog(domain: &str, ports: &[&str]) -> DomainCatalog {
        let mut product = Product::new("p");
        for port in ports {
            product.ports.insert(PortName::new(*port), Port::new(PortRef::new(domain, "p", *port)));
        }
        let products = BTreeMap::from([(product.name.clone(), product)]);
        DomainCatalog { domain: DomainName::new(domain), version: "1".into(), products, policies: None }
    }

    fn product(catalog: &mut DomainCatalog) -> &mut Product {
        catalog.products.get_mut(&ProductName::new("p")).unwrap()
    }

    #[test]
    fn a_valid_catalog_stays_as_it_is() {
        let sent = vec![catalog("sales", &["a", "Größe 1"]), catalog("geo", &[])];
        assert_eq!(check_received(sent.clone()), (sent, vec![]));
    }

    #[test]
    fn a_domain_that_no_folder_could_have_is_left_out() {
        let names = ["", "portolan", "PORTOLAN", "a.b", "a\nb", "\x1b]0;x\x07", "a\u{200b}", "\u{202e}a"];
        let long = "x".repeat(1000);
        for name in names.into_iter().chain([long.as_str()]) {
            let (valid, faults) = check_received(vec![catalog(name, &["a"]), catalog("sales", &["a"])]);
            assert_eq!(valid, [catalog("sales", &["a"])], "{name:?}");
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with("domain `"), "{faults:?}");
            assert!(!faults[0].chars().any(char::is_control) && !faults[0].contains('\u{202e}'), "{faults:?}");
            assert!(faults[0].chars().count() < 250, "{faults:?}");
        }
    }

    #[test]
    fn a_domain_that_comes_twice_is_left_out() {
        let (valid, faults) = check_received(vec![catalog("geo", &["a"]), catalog("sales", &[]), catalog("geo", &[])]);
        assert_eq!(valid, [catalog("sales", &[])]);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("two catalogs"), "{faults:?}");
    }

    #[test]
    fn a_port_of_another_domain_is_left_out() {
        let mut sent = catalog("sales", &["a", "planted", "b.c", "twice", "nameless"]);
        let ports = &mut product(&mut sent).ports;
        let column = |name: &str| Column::new(name);
        ports.get_mut(&PortName::new("planted")).unwrap().name = PortRef::new("people", "customers", "planted");
        ports.get_mut(&PortName::new("twice")).unwrap().columns = vec![column("x"), column("x")];
        ports.get_mut(&PortName::new("nameless")).unwrap().columns = vec![column("")];
        let (valid, faults) = check_received(vec![sent]);
        assert_eq!(valid, [catalog("sales", &["a"])]);
        assert_eq!(faults.len(), 4, "{faults:?}");
        let planted =
            "port `planted` of product `p` of domain `sales`: it has the full name `people.customers.planted`";
        assert!(faults.contains(&planted.to_owned()), "{faults:?}");
    }

    #[test]
    fn a_port_that_is_derived_from_other_domains_or_too_many_ports_is_left_out() {
        let mut sent = catalog("sales", &["a", "good", "foreign", "many", "named"]);
        let ports = &mut product(&mut sent).ports;
        let mut derive = |name: &str, inputs: Vec<PortRef>| {
            ports.get_mut(&PortName::new(name)).unwrap().derived_from = inputs;
        };
        derive("good", vec![PortRef::new("sales", "p", "a")]);
        derive("foreign", vec![PortRef::new("people", "p", "a")]);
        derive("many", vec![PortRef::new("sales", "p", "a"); MAX_INPUTS + 1]);
        derive("named", vec![PortRef::new("sales", "p", "a\u{202e}b")]);
        let (valid, faults) = check_received(vec![sent]);
        let names: Vec<_> = valid[0].ports().map(|port| port.name.port.as_str()).collect();
        assert_eq!(names, ["a", "good"]);
        assert_eq!(faults.len(), 3, "{faults:?}");
        let foreign =
            "port `foreign` of product `p` of domain `sales`: it is derived from a port of the domain `people`";
        assert!(faults.contains(&foreign.to_owned()), "{faults:?}");
    }

    #[test]
    fn a_product_with_a_reserved_or_another_name_is_left_out() {
        for (key, name) in [("mesh", "mesh"), ("information_schema", "information_schema"), ("q", "r"), ("", "")] {
            let mut sent = catalog("sales", &["a"]);
            sent.products.insert(ProductName::new(key), Product::new(name));
            let (valid, faults) = check_received(vec![sent]);
            assert_eq!(valid, [catalog("sales", &["a"])], "{key}");
            assert!(faults[0].starts_with("product "), "{faults:?}");
        }
    }

    #[test]
    fn the_faults_and_the_domains_are_bounded() {
        let many = |count: usize| (0..count).map(|i| catalog(&format!("d{i}"), &[])).collect::<Vec<_>>();
        assert_eq!(check_received(many(MAX_DOMAINS)).1, Vec::<String>::new());
        let (valid, faults) = check_received(many(MAX_DOMAINS + 100));
        assert_eq!(valid.len(), MAX_DOMAINS);
        assert_eq!(faults.len(), MAX_FAULTS + 1);
        assert_eq!(faults[MAX_FAULTS], "92 more entries are not valid");
    }
}
