//! The mesh as one node knows it: the last known catalog of each domain, and the state of the node that serves it.
//! A snapshot is immutable. Each change makes a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::model::{DomainCatalog, Port, Reference};
use crate::names::{DomainName, PortName, PortRef};
use crate::nearest::similarity;

/// An immutable view of the mesh, as one node knows it at one moment.
#[derive(Clone, Debug, Default)]
pub struct MeshSnapshot {
    /// The known domains. Each has one owner.
    pub domains: BTreeMap<DomainName, DomainEntry>,
    /// The known nodes: the local node, the nodes in the config in its order, and the learned nodes.
    pub nodes: Vec<NodeEntry>,
    /// The domains without a known owner that some node claims, with the refused claims.
    pub refused: BTreeMap<DomainName, Vec<RefusedClaim>>,
}

/// A domain and the nodes that serve it.
#[derive(Clone, Debug)]
pub struct DomainEntry {
    /// The last known catalog of the domain.
    pub catalog: Arc<DomainCatalog>,
    /// The nodes that serve the domain.
    pub served_by: ServedBy,
}

/// The nodes that serve a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedBy {
    /// This process.
    Here,
    /// Other nodes, by their URLs: one, or the replicas of the domain in the order of the nodes. Not empty.
    Peers(Vec<String>),
}

/// A node's claim to own a domain, which the local node refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedClaim {
    /// The URL of the node.
    pub node: String,
    /// Why the claim is refused, and how to settle it.
    pub reason: String,
}

/// The location of a node, from the view of the local node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeLocation {
    /// This process.
    Here,
    /// Another node, by its URL.
    Peer(String),
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// The node answered the last request.
    Up,
    /// The node did not answer the last request. Its last known catalog is still in use.
    Down,
    /// The node was not reached yet.
    Unknown,
    /// The node is the local node: its own URL is in its list of peers.
    #[serde(rename = "self")]
    Itself,
}

/// A node of the mesh.
#[derive(Clone, Debug)]
pub struct NodeEntry {
    /// The location of the node.
    pub location: NodeLocation,
    /// The state of the node.
    pub state: NodeState,
    /// The time of the node's last answer.
    pub last_seen: Option<SystemTime>,
    /// The reason why the node is down, if it is.
    pub error: Option<String>,
    /// The known domains that the node serves.
    pub domains: Vec<DomainName>,
    /// The key that the node has proven to hold. `None` if it has proven none.
    pub key: Option<String>,
    /// The parts of the node's catalog, and of its list of peers, that the local node refuses, each with the reason.
    pub refused: Vec<String>,
    /// The URL of the node that reports this one, if the local node has learned it. `None` for this process, and for a
    /// node in the config.
    pub learned_from: Option<String>,
    /// The time of a round trip to the node. `None` for this process.
    pub latency: Option<Duration>,
    /// The bytes per second from the node. `None` for this process.
    pub bandwidth: Option<f64>,
}

impl fmt::Display for ServedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("this node"),
            Self::Peers(urls) => f.write_str(&urls.join(", ")),
        }
    }
}

impl MeshSnapshot {
    /// Returns the port with this name, if a domain publishes it.
    pub fn port(&self, name: &PortRef) -> Option<&Port> {
        self.domains.get(&name.domain)?.catalog.port(&name.product, &name.port)
    }

    /// Returns all ports of all domains, in the order of their names.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.domains.values().flat_map(|d| d.catalog.ports())
    }

    /// Returns the mesh as a principal sees it who may not see these ports: without the ports, and without products and
    /// domains that have no other port.
    #[must_use]
    pub fn without_ports(&self, hidden: &BTreeSet<PortRef>) -> Self {
        let mut mesh = self.clone();
        mesh.domains.retain(|domain, entry| {
            // References may lead to ports of other domains.
            if hidden.iter().all(|port| port.domain != *domain) && entry.catalog.names_none(hidden) {
                return true;
            }
            let had_ports = entry.catalog.ports().next().is_some();
            entry.catalog = Arc::new(DomainCatalog::clone(&entry.catalog).without_ports(hidden));
            !had_ports || entry.catalog.ports().next().is_some()
        });
        let is_known = |domain: &DomainName| mesh.domains.contains_key(domain) || !self.domains.contains_key(domain);
        mesh.nodes.iter_mut().for_each(|node| node.domains.retain(is_known));
        mesh
    }

    /// Returns the port that `reference`, a reference of the port `from`, refers to. `None` if there is no such port,
    /// or if it does not have the referenced columns. A reference with the port's name alone is resolved in this order:
    ///
    /// 1. the port in the same product,
    /// 2. the only port with this name in the domain,
    /// 3. the only port with this name in the mesh.
    ///
    /// A reference with the names of product and port is resolved in the same domain first, and then to the only such
    /// port in the mesh.
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

    /// Returns the ports with this name, in any product.
    fn called(&self, port: &str) -> impl Iterator<Item = &Port> {
        let port = PortName::new(port);
        let products = self.domains.values().flat_map(|d| d.catalog.products.values());
        products.filter_map(move |product| product.ports.get(&port))
    }

    /// Returns suggestions for a name of one, two or three parts that matches no port: at most three ports, the best
    /// first.
    ///
    /// Ports with exactly this port name come first, in any domain. The similarity of the given parts decides the order
    /// of the others.
    pub fn nearest_port(&self, parts: &[&str]) -> Vec<PortRef> {
        let mut scored: Vec<_> = self.ports().filter_map(|p| Some((closeness(parts, &p.name)?, &p.name))).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        scored.into_iter().take(3).map(|(_, name)| name.clone()).collect()
    }
}

/// Returns the only port. `None` if there are none or several.
fn only<'a>(mut ports: impl Iterator<Item = &'a Port>) -> Option<&'a Port> {
    let first = ports.next()?;
    ports.next().is_none().then_some(first)
}

/// Returns how well `parts`, aligned at the right, match `name`: above 1 if the port's own name matches, `None` if
/// `name` is too different.
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
                    policies: None,
                }),
                served_by: ServedBy::Here,
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
