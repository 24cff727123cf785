//! Ports that some principals may not see: the mark of such ports, and catalogs without them.

use std::collections::BTreeSet;

use super::{DomainCatalog, Port, Reference};
use crate::names::PortRef;

/// The text in the place of an error that may name a hidden port.
const UNTOLD: &str = "the log of the owner's node has the error";

impl DomainCatalog {
    /// Marks the ports that a policy can hide from some principals, and no others.
    #[must_use]
    pub fn with_hidden_from_some(mut self, is_hidden: impl Fn(&PortRef) -> bool) -> Self {
        for port in self.products.values_mut().flat_map(|product| product.ports.values_mut()) {
            port.hidden_from_some = is_hidden(&port.name);
        }
        self.with_version()
    }

    /// Returns the catalog for a principal who may not see these ports: without the ports, without products that have no
    /// other port, and without anything that names the ports.
    #[must_use]
    pub fn without_ports(mut self, hidden: &BTreeSet<PortRef>) -> Self {
        self.products.retain(|_, product| {
            let all = product.ports.len();
            product.ports.retain(|_, port| !hidden.contains(&port.name));
            if product.ports.len() < all && product.load_error.is_some() {
                product.load_error = Some(UNTOLD.to_owned());
            }
            // A product without any port stays as it is.
            all == 0 || !product.ports.is_empty()
        });
        let ports = self.products.values_mut().flat_map(|product| product.ports.values_mut());
        ports.for_each(|port| port.forget(hidden));
        self.with_version()
    }

    /// True if nothing in the catalog names one of these ports.
    pub(crate) fn names_none(&self, hidden: &BTreeSet<PortRef>) -> bool {
        let names = |port: &Port| {
            let mut references = port.references.iter();
            hidden.contains(&port.name)
                || references.any(|reference| hidden.iter().any(|to| may_mean(reference, to)))
                || port.derived_from.iter().any(|input| hidden.contains(input))
        };
        !self.ports().any(names)
    }
}

impl Port {
    /// Removes everything that names one of these ports.
    fn forget(&mut self, hidden: &BTreeSet<PortRef>) {
        self.references.retain(|reference| !hidden.iter().any(|port| may_mean(reference, port)));
        let inputs = self.derived_from.len();
        self.derived_from.retain(|input| !hidden.contains(input));
        if self.derived_from.len() < inputs && self.load_error.is_some() {
            self.load_error = Some(UNTOLD.to_owned());
        }
    }
}

/// True if a reference may refer to a port: the name in the contract has one, two or three parts.
fn may_mean(reference: &Reference, port: &PortRef) -> bool {
    let full = [port.domain.as_str(), port.product.as_str(), port.port.as_str()];
    let (named, wanted) = (reference.table.iter().rev(), full.iter().rev());
    !reference.table.is_empty() && named.zip(wanted).all(|(named, wanted)| named == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{PortName, ProductName};

    fn name(product: &str, port: &str) -> PortRef {
        PortRef::new("sales", product, port)
    }

    fn catalog(ports: impl IntoIterator<Item = Port>) -> DomainCatalog {
        DomainCatalog::new("sales", ports)
    }

    fn reference(table: &[&str]) -> Reference {
        let table = table.iter().map(|part| (*part).to_owned()).collect();
        Reference { name: None, columns: vec!["a".into()], table, referenced_columns: vec!["b".into()] }
    }

    #[test]
    fn nothing_names_a_hidden_port() {
        let mut orders = Port::new(name("orders", "orders"));
        orders.references = [
            &["secret"] as &[&str],
            &["plans", "secret"],
            &["sales", "plans", "secret"],
            &["sales", "orders", "secret"],
            &["items"],
        ]
        .map(reference)
        .to_vec();
        orders.derived_from = vec![name("plans", "secret"), name("orders", "items")];
        orders.load_error = Some("the query reads sales.plans.secret".to_owned());
        let catalog = catalog([orders, Port::new(name("plans", "secret")), Port::new(name("orders", "items"))]);
        let hidden = BTreeSet::from([name("plans", "secret")]);
        let shown = catalog.clone().without_ports(&hidden);
        assert_eq!(shown.products.keys().collect::<Vec<_>>(), [&ProductName::new("orders")]);
        let orders = &shown.products[&ProductName::new("orders")].ports[&PortName::new("orders")];
        let tables: Vec<String> = orders.references.iter().map(|reference| reference.table.join(".")).collect();
        assert_eq!(tables, ["sales.orders.secret", "items"]);
        assert_eq!(orders.derived_from, [name("orders", "items")]);
        assert_eq!(orders.load_error.as_deref(), Some(UNTOLD));
        assert_ne!(shown.version, catalog.version);
        let same = catalog.clone().without_ports(&BTreeSet::new());
        assert_eq!(same, catalog);
    }

    #[test]
    fn the_mark_is_a_part_of_the_version() {
        let plain = catalog([Port::new(name("orders", "orders")), Port::new(name("orders", "items"))]);
        let marked = plain.clone().with_hidden_from_some(|port| port.port.as_str() == "items");
        assert_ne!(marked.version, plain.version);
        let found: Vec<_> = marked.ports().filter(|port| port.hidden_from_some).map(|port| &port.name).collect();
        assert_eq!(found, [&name("orders", "items")]);
        assert_eq!(marked.with_hidden_from_some(|_| false), plain);
    }
}
