//! The demo's domains over TPC-H data as real processes, with a gateway that has them as peers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use portolan_node::client::Client;
use portolan_testbed::descriptors;
use portolan_testbed::mesh::free_addresses;
use portolan_testbed::tpch::{DOMAINS, cache};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::node::{Node, kept_folder};
use crate::rows::count;

/// The scale factor of the data.
pub const SCALE: f64 = 0.01;
/// The time limit for the nodes to know one another.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a folder for `XDG_CACHE_HOME`, which tests share and keep between runs.
pub fn cache_home() -> PathBuf {
    kept_folder("cache")
}

/// Returns the folder with the tables at [`SCALE`].
pub fn data() -> PathBuf {
    cache::ensure(&cache_home().join("portolan"), SCALE, &|_, _| {}, &AtomicBool::new(false)).unwrap()
}

/// The domains, and additions to the configs of their nodes and of the gateway.
#[derive(Clone, Debug)]
pub struct MeshOptions {
    /// The domains.
    pub domains: Vec<&'static str>,
    /// The addition to the config of every domain's node.
    pub node: Value,
    /// The addition to the gateway's config.
    pub gateway: Value,
}

impl MeshOptions {
    /// Returns options with these domains and default values.
    pub fn of(domains: &[&'static str]) -> Self {
        Self { domains: domains.to_vec(), node: json!({}), gateway: json!({}) }
    }
}

/// A gateway, and a node for each domain.
#[derive(Debug)]
pub struct Mesh {
    nodes: Vec<(String, Node)>,
    gateway: Node,
    // The folder of configs and logs, which is dropped last.
    _folder: TempDir,
}

impl Mesh {
    /// Returns the mesh with the three domains of the demo, for all tests that do not disturb it. It ends with this
    /// process.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Mesh> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(MeshOptions::of(&DOMAINS))).await
    }

    /// Starts domains of the demo, and a gateway.
    pub async fn start(options: MeshOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-mesh-").tempdir().unwrap();
        let data = data();
        let homes = options.domains.iter().map(|domain| {
            let home = folder.path().join(domain);
            descriptors::write(domain, &data, &home).unwrap();
            (*domain, home, options.node.clone())
        });
        let homes: Vec<_> = homes.collect();
        Self::of_homes(folder, homes, options.gateway).await
    }

    /// Starts the nodes of domains whose descriptors are in `products` of their folders below `folder`, and a gateway.
    /// Each node knows the others. The values are added to the configs.
    pub async fn of_homes(folder: TempDir, homes: Vec<(&str, PathBuf, Value)>, gateway: Value) -> Self {
        let addresses = free_addresses(homes.len()).unwrap();
        let nodes: Vec<_> = homes
            .into_iter()
            .enumerate()
            .map(|(i, (domain, home, config))| {
                let others = addresses.iter().enumerate().filter(|(j, _)| *j != i);
                let peers: Vec<_> = others.map(|(_, a)| json!({ "url": format!("grpc://{a}") })).collect();
                let necessary = json!({
                    "domain": domain, "listen": addresses[i], "peers": peers, "refresh_interval": "500ms",
                });
                (domain.to_owned(), Node::spawn(&home, merged(necessary, &config)))
            })
            .collect();
        let nodes: Vec<_> = nodes.into_iter().map(|(domain, node)| (domain, node.ready())).collect();
        // The value of `peer` applies to each peer.
        let (mut gateway, mut peer) = (gateway, json!({}));
        if let Some(said) = gateway.as_object_mut().and_then(|g| g.remove("peer")) {
            peer = said;
        }
        let peers: Vec<_> = nodes.iter().map(|(_, node)| merged(json!({ "url": node.url() }), &peer)).collect();
        // Each node knows the others when this function returns.
        for (domain, node) in &nodes {
            until_known(&format!("the node of {domain}"), node, nodes.len() - 1).await;
        }
        let config = merged(json!({ "peers": peers, "refresh_interval": "500ms" }), &gateway);
        let gateway = Node::start(&folder.path().join("gateway"), config);
        until_known("the gateway", &gateway, nodes.len()).await;
        Self { nodes, gateway, _folder: folder }
    }

    /// Returns the gateway.
    pub fn gateway(&self) -> &Node {
        &self.gateway
    }

    /// Returns the node of a domain.
    pub fn node(&self, domain: &str) -> &Node {
        &self.nodes.iter().find(|(d, _)| d == domain).expect("a domain of the mesh").1
    }

    /// Returns the node of a domain.
    pub fn node_mut(&mut self, domain: &str) -> &mut Node {
        &mut self.nodes.iter_mut().find(|(d, _)| d == domain).expect("a domain of the mesh").1
    }

    /// Restarts the node of a domain at the same address.
    pub fn restart(&mut self, domain: &str) {
        let at = self.nodes.iter().position(|(d, _)| d == domain).expect("a domain of the mesh");
        let (domain, node) = self.nodes.remove(at);
        self.nodes.insert(at, (domain, node.restart()));
    }

    /// Opens a session on the gateway.
    pub async fn client(&self) -> Client {
        self.gateway.client().await
    }
}

async fn until_known(who: &str, node: &Node, others: usize) {
    let client = node.client().await;
    let sql = "SELECT count(*) FROM mesh.nodes WHERE state = 'up' AND NOT here";
    let what = format!("{who} knows {others} others");
    until(&what, TIMEOUT, async || count(&client, sql).await == Ok(others as i64)).await;
}

/// Returns `base` with the keys of `more`.
pub fn merged(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

/// Repeats a check until it holds, and fails the test after a time limit.
pub async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < limit, "timed out after {} s waiting until {what}", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs a test with a time limit, so that no test hangs.
pub async fn within<T>(seconds: u64, test: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(seconds);
    tokio::time::timeout(limit, test).await.unwrap_or_else(|_| panic!("the test took more than {seconds} s"))
}

/// Copies one of the demo's tables to a folder, so that a test may change it.
pub fn copy_table(table: &str, folder: &Path) -> PathBuf {
    let file = format!("{table}.parquet");
    let copy = folder.join(&file);
    std::fs::copy(data().join(file), &copy).unwrap();
    copy
}
