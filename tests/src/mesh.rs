//! The demo's domains over TPC-H data as real processes, and a gateway that knows them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portolan_node::client::Client;
use portolan_testbed::descriptors;
use portolan_testbed::tpch::{DOMAINS, cache};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::node::{Node, kept_folder};
use crate::rows::count;

/// How much data.
pub const SCALE: f64 = 0.01;
/// How long the nodes may take to know one another.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A folder for `XDG_CACHE_HOME`, which tests share and keep from run to run.
pub fn cache_home() -> PathBuf {
    kept_folder("cache")
}

/// The folder with the tables, at [`SCALE`].
pub fn data() -> PathBuf {
    cache::ensure(&cache_home().join("portolan"), SCALE, &|_, _| {}, &AtomicBool::new(false)).unwrap()
}

/// Which domains, and what their nodes and the gateway are told beside the necessary.
#[derive(Clone, Debug)]
pub struct MeshOptions {
    /// The domains.
    pub domains: Vec<&'static str>,
    /// Put into the config of every domain's node.
    pub node: Value,
    /// Put into the gateway's config.
    pub gateway: Value,
}

impl MeshOptions {
    /// These domains, with the defaults.
    pub fn of(domains: &[&'static str]) -> Self {
        Self { domains: domains.to_vec(), node: json!({}), gateway: json!({}) }
    }
}

/// A gateway, and a node for each domain.
#[derive(Debug)]
pub struct Mesh {
    nodes: Vec<(String, Node)>,
    gateway: Node,
    // Dropped last: configs and logs.
    _folder: TempDir,
}

impl Mesh {
    /// The three domains of the demo, once for all tests that leave them in peace. Ends with this process.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Mesh> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(MeshOptions::of(&DOMAINS))).await
    }

    /// Starts domains of the demo and a gateway.
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

    /// Starts nodes of domains whose descriptors lie in `products` of their folders below `folder`, and a gateway.
    /// Each node knows the others. The configs say what is said beside the necessary.
    pub async fn of_homes(folder: TempDir, homes: Vec<(&str, PathBuf, Value)>, gateway: Value) -> Self {
        let addresses = free_addresses(homes.len());
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
        // What is said of `peer` is said of each.
        let (mut gateway, mut peer) = (gateway, json!({}));
        if let Some(said) = gateway.as_object_mut().and_then(|g| g.remove("peer")) {
            peer = said;
        }
        let peers: Vec<_> = nodes.iter().map(|(_, node)| merged(json!({ "url": node.url() }), &peer)).collect();
        // Who is asked whom it knows knows it by then.
        for (domain, node) in &nodes {
            until_known(&format!("the node of {domain}"), node, nodes.len() - 1).await;
        }
        let config = merged(json!({ "peers": peers, "refresh_interval": "500ms" }), &gateway);
        let gateway = Node::start(&folder.path().join("gateway"), config);
        until_known("the gateway", &gateway, nodes.len()).await;
        Self { nodes, gateway, _folder: folder }
    }

    /// The gateway.
    pub fn gateway(&self) -> &Node {
        &self.gateway
    }

    /// The gateway.
    pub fn gateway_mut(&mut self) -> &mut Node {
        &mut self.gateway
    }

    /// The node of a domain.
    pub fn node(&self, domain: &str) -> &Node {
        &self.nodes.iter().find(|(d, _)| d == domain).expect("a domain of the mesh").1
    }

    /// The node of a domain.
    pub fn node_mut(&mut self, domain: &str) -> &mut Node {
        &mut self.nodes.iter_mut().find(|(d, _)| d == domain).expect("a domain of the mesh").1
    }

    /// Starts the node of a domain again, where it listened before.
    pub fn restart(&mut self, domain: &str) {
        let at = self.nodes.iter().position(|(d, _)| d == domain).expect("a domain of the mesh");
        let (domain, node) = self.nodes.remove(at);
        self.nodes.insert(at, (domain, node.restart()));
    }

    /// A session on the gateway.
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

/// Addresses of loopback that nobody listens on, below the ports that systems hand out by themselves: nodes that are to
/// know one another have to be told where the others will listen.
fn free_addresses(count: usize) -> Vec<String> {
    const FIRST: u32 = 12_000;
    const PORTS: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Another run of the tests at the same time most likely starts elsewhere.
    let start = std::process::id().wrapping_mul(97);
    let ports = std::iter::repeat_with(|| FIRST + start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % PORTS);
    let addresses = ports.take(PORTS as usize).map(|port| format!("127.0.0.1:{port}"));
    let free: Vec<_> = addresses.filter(|address| TcpListener::bind(address).is_ok()).take(count).collect();
    assert_eq!(free.len(), count, "there are no free ports on loopback");
    free
}

/// `base` with the keys of `more` put into it.
pub fn merged(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

/// Asks again and again until it holds; fails the test where it does not in time.
pub async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < limit, "it did not come about in {} s that {what}", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs a test within a limit of time, so that none hangs.
pub async fn within<T>(seconds: u64, test: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(seconds);
    tokio::time::timeout(limit, test).await.unwrap_or_else(|_| panic!("the test took more than {seconds} s"))
}

/// Copies one of the demo's tables to a folder that a test may spoil.
pub fn copy_table(table: &str, folder: &Path) -> PathBuf {
    let file = format!("{table}.parquet");
    let copy = folder.join(&file);
    std::fs::copy(data().join(file), &copy).unwrap();
    copy
}
