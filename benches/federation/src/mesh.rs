//! A mesh of Portolan nodes as processes on loopback: the owners, which both gateways query, and Portolan's gateway.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::flight::FlightClient;
use crate::proxy::Proxy;
use crate::tpch::{DOMAINS, TABLES, write_descriptors};

/// The time limit until all nodes answer and know one another.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The largest number of intervals to wait until the owners are idle, and the bytes in an interval that count as idle:
/// nodes also send messages of their own.
const MAX_SETTLING: usize = 100;
const SETTLED_BYTES: u64 = 4_096;

/// The counting of the bytes that owners send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// All nodes connect to each owner through a proxy
    On,
    /// All nodes connect to owners directly, for measuring times
    Off,
}

/// A mesh of processes. They end on drop.
pub struct Mesh {
    nodes: Vec<Node>,
    owners: Vec<SocketAddr>,
    gateway: SocketAddr,
    proxies: Vec<Proxy>,
    // The configs and logs. Dropped last.
    _folder: TempDir,
}

struct Node {
    child: Child,
    // Kept open, but never read again.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Mesh {
    /// Starts a node for each domain over the tables in `data`, and a gateway. Waits until the gateway knows every
    /// port.
    pub async fn start(portolan: &Path, data: &Path, counting: Counting) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portolan-federation-").tempdir()?;
        let listening = free_addresses(DOMAINS.len() + 1)?;
        let (gateway, owners) = (listening[DOMAINS.len()], listening[..DOMAINS.len()].to_vec());
        let mut proxies = vec![];
        if counting == Counting::On {
            for owner in &owners {
                proxies.push(Proxy::start(*owner).await?);
            }
        }
        let owners = if proxies.is_empty() { owners } else { proxies.iter().map(Proxy::address).collect() };
        let mut mesh = Self { nodes: vec![], owners, gateway, proxies, _folder: folder };
        for (i, domain) in DOMAINS.into_iter().map(Some).chain([None]).enumerate() {
            let home = mesh._folder.path().join(domain.unwrap_or("gateway"));
            fs::create_dir_all(&home)?;
            let peers = mesh.owners.iter().zip(&listening).enumerate().filter(|(j, _)| *j != i);
            // An owner's catalog is signed for the owner's URL, also behind a proxy.
            let url = |address| format!("grpc://{address}");
            let peers: Vec<_> =
                peers.map(|(_, (proxy, owner))| json!({ "url": url(proxy), "audience": url(owner) })).collect();
            let mut config = json!({ "listen": listening[i].to_string(), "peers": peers });
            if let Some(domain) = domain {
                let products = home.join("products");
                write_descriptors(domain, data, &products)?;
                config["domain"] = domain.into();
                config["sources"] = json!({ "files": { "root": data } });
                config["products"] = products.display().to_string().into();
            }
            mesh.nodes.push(Node::start(portolan, &home, &config).await?);
        }
        tokio::time::timeout(START_TIMEOUT, mesh.wait_until_known())
            .await
            .context("the nodes do not know one another in time")??;
        Ok(mesh)
    }

    /// Returns the address of the gateway.
    pub fn gateway(&self) -> String {
        self.gateway.to_string()
    }

    /// Returns the domains and the addresses of their owners.
    pub fn owners(&self) -> Vec<(&'static str, String)> {
        DOMAINS.into_iter().zip(self.owners.iter().map(ToString::to_string)).collect()
    }

    /// Returns the bytes that each owner has sent so far to all clients. Empty if they are not counted. Waits until the
    /// bytes of an abandoned query have arrived.
    pub async fn settled(&self) -> Vec<u64> {
        let sent = || self.proxies.iter().map(Proxy::sent).collect::<Vec<_>>();
        let mut last = sent();
        for _ in 0..MAX_SETTLING {
            tokio::time::sleep(POLL_INTERVAL).await;
            let now = sent();
            let still = last.iter().zip(&now).all(|(last, now)| now - last < SETTLED_BYTES);
            last = now;
            if still {
                break;
            }
        }
        last
    }

    /// Stops every node, and waits until it has ended.
    pub async fn stop(mut self) {
        for node in &mut self.nodes {
            drop(node.child.stdin.take());
        }
        for node in &mut self.nodes {
            if tokio::time::timeout(STOP_TIMEOUT, node.child.wait()).await.is_err() {
                node.child.kill().await.ok();
            }
        }
    }

    /// Waits until the gateway knows every port, and all nodes have reported to one another which domains they reach.
    async fn wait_until_known(&self) -> Result<()> {
        let client = FlightClient::connect(&self.gateway()).await?;
        loop {
            let (_, batches) = client.query("SELECT count(*) FROM mesh.ports").await?;
            let known = batches.iter().find(|batch| batch.num_rows() > 0);
            let known = known.and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>()).map(|c| c.value(0));
            if known == Some(TABLES.len() as i64) {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        // Nodes send one another eight more requests at short intervals, to measure their links.
        tokio::time::sleep(Duration::from_secs(4)).await;
        Ok(())
    }
}

impl Node {
    async fn start(portolan: &Path, home: &Path, config: &Value) -> Result<Self> {
        // JSON is YAML, too.
        let file = home.join("node.yaml");
        fs::write(&file, config.to_string())?;
        let log = home.join("log");
        let mut child = Command::new(portolan)
            .args(["serve", "--exit-with-stdin", "--config"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", portolan.display()))?;
        let mut stdout = child.stdout.take().map(BufReader::new);
        let mut line = String::new();
        if let Some(stdout) = &mut stdout {
            let ready = tokio::time::timeout_at((Instant::now() + START_TIMEOUT).into(), stdout.read_line(&mut line));
            ready.await.context("a node does not start in time")??;
        }
        // A node that is ready prints its address.
        if line.is_empty() {
            bail!("a node does not start; its log is\n{}", fs::read_to_string(&log)?);
        }
        Ok(Self { child, _stdout: stdout })
    }
}

/// Returns the version that the program prints.
pub async fn version(portolan: &Path) -> Result<String> {
    let output = Command::new(portolan).arg("--version").output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().trim_start_matches("portolan ").to_owned())
}

/// Returns distinct addresses on loopback that were free a moment ago.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    Ok(listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?)
}
