//! The mesh as one node knows it: every domain's last known catalog and the state of the node that serves it.
//! Immutable: a change makes a new snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::model::{DomainCatalog, Port, Reference};
use crate::names::{DomainName, PortName, PortRef};
use crate::nearest::similarity;

/// What one node knows of the mesh at one moment.
#[derive(Clone, Debug, Default)]
pub struct MeshSnapshot {
    /// The domains that are known, each claimed by exactly one node.
    pub domains: BTreeMap<DomainName, DomainEntry>,
    /// The nodes that are known, this one included, in the order of the config.
    pub nodes: Vec<NodeEntry>,
    /// The domains that more than one node claims: refused until one of them gives way.
    pub conflicts: BTreeMap<DomainName, Vec<String>>,
}

/// A domain and who serves it.
#[derive(Clone, Debug)]
pub struct DomainEntry {
    /// Its last known catalog.
    pub catalog: Arc<DomainCatalog>,
    /// The node that serves it.
    pub node: NodeLocation,
}

/// Where a node is, seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeLocation {
    /// This process.
    Here,
    /// Another node, by its URL.
    Peer(String),
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It answered when last asked.
    Up,
    /// It did not answer when last asked; its catalog is as it last was.
    Down,
    /// It was not reached yet.
    Unknown,
}

/// A node of the mesh.
#[derive(Clone, Debug)]
pub struct NodeEntry {
    /// Where it is.
    pub location: NodeLocation,
    /// How it is doing.
    pub state: NodeState,
    /// When it last answered.
    pub last_seen: Option<SystemTime>,
    /// Why it is down, where it is.
    pub error: Option<String>,
    /// The domains that it serves, as far as known.
    pub domains: Vec<DomainName>,
    /// Time of a round trip to it; `None` for this process.
    pub latency: Option<Duration>,
    /// Bytes a second from it; `None` for this process.
    pub bandwidth: Option<f64>,
}

impl MeshSnapshot {
    /// The port of that name, if any domain publishes it.
    pub fn port(&self, name: &PortRef) -> Option<&Port> {
        self.domains.get(&name.domain)?.catalog.port(&name.product, &name.port)
    }

    /// Every port of every domain, in the order of their names.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.domains.values().flat_map(|d| d.catalog.ports())
    }

    /// The port that `reference` of the port `from` means, if there is one that has these columns. A port's name alone
    /// means the one of the same product, else the only one of the domain, else the only one of the mesh; with its
    /// product's name, the one of the same domain, else the only one of the mesh.
    pub fn referenced(&self, from: &PortRef, reference: &Reference) -> Option<&Port> {
        let port = match reference.table.as_slice() {
            [domain, product, port] => self.port(&PortRef::new(domain, product, port)),
            [product, port] => match self.port(&PortRef::new(from.domain.as_str(), product, port)) {
                Some(port) => Some(port),
                None => only(self.called(port).filter(|p| p.name.product.as_str() == product)),
            },
            [port] => self.nearest_called(from, port),
            _ => None,
        }?;
        let has = |name: &String| port.columns.iter().any(|column| column.name == *name);
        reference.referenced_columns.iter().all(has).then_some(port)
    }

    fn nearest_called(&self, from: &PortRef, port: &str) -> Option<&Port> {
        if let Some(beside) = self.port(&PortRef::new(from.domain.as_str(), from.product.as_str(), port)) {
            return Some(beside);
        }
        let mut of_domain = self.called(port).filter(|p| p.name.domain == from.domain).peekable();
        if of_domain.peek().is_some() {
            return only(of_domain);
        }
        only(self.called(port))
    }

    /// The ports of that name, in any product.
    fn called(&self, port: &str) -> impl Iterator<Item = &Port> {
        let port = PortName::new(port);
        let products = self.domains.values().flat_map(|d| d.catalog.products.values());
        products.filter_map(move |product| product.ports.get(&port))
    }

    /// The ports that may be meant by a name of one, two or three parts that names none: at most three, best first.
    ///
    /// A port whose own name is right comes first, whatever its domain; then by likeness of the parts that were given.
    pub fn nearest_port(&self, parts: &[&str]) -> Vec<PortRef> {
        let mut scored: Vec<_> = self.ports().filter_map(|p| Some((closeness(parts, &p.name)?, &p.name))).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        scored.into_iter().take(3).map(|(_, name)| name.clone()).collect()
    }
}

/// The only one; `None` of several.
fn only<'a>(mut ports: impl Iterator<Item = &'a Port>) -> Option<&'a Port> {
    let first = ports.next()?;
    ports.next().is_none().then_some(first)
}

/// How likely `parts`, aligned at the right, mean `name`: above 1 where the port's own name is right, `None` where
/// it is too far off.
fn closeness(parts: &[&str], name: &PortRef) -> Option<f64> {
    let full = [name.domain.as_str(), name.product.as_str(), name.port.as_str()];
    let given = &parts[parts.len().saturating_sub(full.len())..];
    let wanted = &full[full.len() - given.len()..];
    let own_name = similarity(given.last()?, name.port.as_str());
    let mean = given.iter().zip(wanted).map(|(a, b)| similarity(a, b)).sum::<f64>() / given.len() as f64;
    let is_right = given.last()?.eq_ignore_ascii_case(name.port.as_str());
    match own_name >= 0.8 || mean >= 0.8 {
        true => Some(mean + if is_right { 1.0 } else { 0.0 }),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Column;
    use crate::model::Product;
    use crate::names::ProductName;

    fn mesh(names: &[(&str, &str, &str)]) -> MeshSnapshot {
        let mut mesh = MeshSnapshot::default();
        for (domain, product, port) in names {
            let entry = mesh.domains.entry(DomainName::new(*domain)).or_insert_with(|| DomainEntry {
                catalog: Arc::new(DomainCatalog {
                    domain: DomainName::new(*domain),
                    version: String::new(),
                    products: BTreeMap::new(),
                }),
                node: NodeLocation::Here,
            });
            let product = Arc::make_mut(&mut entry.catalog)
                .products
                .entry(ProductName::new(*product))
                .or_insert_with(|| Product::new(*product));
            let name = PortRef::new(*domain, product.name.as_str(), *port);
            product.ports.insert(PortName::new(*port), Port::new(name));
        }
        mesh
    }

    #[test]
    fn references_mean_the_nearest_port_that_has_their_columns() {
        let mut mesh = mesh(&[
            ("sales", "orders", "orders"),
            ("sales", "people", "customer"),
            ("supply", "people", "customer"),
            ("geo", "places", "nation"),
            ("sales", "old", "item"),
            ("sales", "new", "item"),
        ]);
        for entry in mesh.domains.values_mut() {
            for product in Arc::make_mut(&mut entry.catalog).products.values_mut() {
                product.ports.values_mut().for_each(|port| port.columns.push(Column::new("id")));
            }
        }
        let from = PortRef::new("sales", "orders", "orders");
        let meant = |table: &str, column: &str| {
            let reference = Reference {
                name: None,
                columns: vec!["x".into()],
                table: table.split('.').map(String::from).collect(),
                referenced_columns: vec![column.into()],
            };
            mesh.referenced(&from, &reference).map(|port| port.name.to_string())
        };
        assert_eq!(meant("orders", "id").as_deref(), Some("sales.orders.orders"));
        assert_eq!(meant("customer", "id").as_deref(), Some("sales.people.customer"));
        assert_eq!(meant("nation", "id").as_deref(), Some("geo.places.nation"));
        assert_eq!(meant("places.nation", "id").as_deref(), Some("geo.places.nation"));
        assert_eq!(meant("supply.people.customer", "id").as_deref(), Some("supply.people.customer"));
        assert_eq!(meant("new.item", "id").as_deref(), Some("sales.new.item"));
        for (table, column) in [("item", "id"), ("nation", "key"), ("nowhere", "id"), ("a.b.c.d", "id")] {
            assert_eq!(meant(table, column), None, "{table}.{column}");
        }
    }

    #[test]
    fn nearest_ports() {
        let mesh = mesh(&[
            ("sales", "orders", "orders"),
            ("sales", "orders", "lineitem"),
            ("supply", "parts", "part"),
            ("supply", "parts", "partsupp"),
            ("geo", "places", "region"),
        ]);
        let near = |parts: &[&str]| mesh.nearest_port(parts).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(near(&["sales", "orders", "lineitems"])[0], "sales.orders.lineitem");
        assert_eq!(near(&["sales", "places", "region"])[0], "geo.places.region");
        assert_eq!(near(&["order"]), ["sales.orders.orders"]);
        assert_eq!(near(&["ORDERS"]), ["sales.orders.orders"]);
        assert_eq!(near(&["parts", "prat"])[0], "supply.parts.part");
        assert_eq!(near(&["zzz"]), Vec::<String>::new());
        assert_eq!(near(&[]), Vec::<String>::new());
        assert!(near(&["supply", "parts", "xyz"]).len() <= 3);
    }
}
