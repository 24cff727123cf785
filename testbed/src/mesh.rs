//! A mesh of processes on loopback: one node for each of the demo's domains, and a gateway. The nodes end with this
//! process however it ends: a node stops when its standard input closes.

mod addresses;
mod governed;
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use portolan_engine::Progress;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::addresses::loopback;
pub use self::addresses::{check_port, free_addresses};
use self::governed::{GovernedNodes, users_config};
use self::process::StartError;
pub use self::process::{NodeProcess, serve_command};
use crate::descriptors::{self, policies};
use crate::tpch::{DOMAINS, TABLES};

/// The time limit until all nodes answer and know one another.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of attempts to start, if other processes take the ports in the meantime.
const PORT_ATTEMPTS: usize = 5;
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A mesh of processes.
#[derive(Debug)]
pub struct LocalMesh {
    nodes: Vec<NodeProcess>,
    gateway: NodeProcess,
    // Holds the nodes' configs and logs, and so is dropped last.
    folder: TempDir,
}

/// The connection from one node to another.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// The domain of the node that connects; `None` for the gateway.
    pub from: Option<&'static str>,
    /// The domain of the node that is connected to.
    pub to: &'static str,
    /// The address of the node that is connected to.
    pub address: &'a str,
}

impl Way<'_> {
    /// Returns the peer in a config: its URL and nothing else.
    pub fn direct(&self) -> Value {
        json!({ "url": format!("grpc://{}", self.address) })
    }
}

/// The access of clients to the gateway.
#[derive(Clone, Default)]
pub struct GatewayOptions {
    /// The port on loopback. Default: a free port.
    pub port: Option<u16>,
    /// The only user who may log in. Default: every client may connect without a login.
    pub login: Option<Login>,
    /// The users of a governed mesh, who may log in at every node. The last one sees every port. Default: no node has
    /// policies.
    pub governed: Vec<Login>,
}

/// A user of the gateway.
#[derive(Clone, Default)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
    /// The hash of the password, for the gateway's config.
    pub password_hash: String,
    /// The groups of the user.
    pub groups: Vec<&'static str>,
    /// The attributes of the user.
    pub attributes: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Login {
    /// Returns the options with which the user connects.
    pub fn connect(&self) -> ConnectOptions {
        ConnectOptions { credentials: Some((self.user.clone(), self.password.clone())), ..ConnectOptions::default() }
    }
}

/// A database that holds the tables of a domain.
#[derive(Clone, Debug)]
pub struct DomainDatabase {
    /// The domain.
    pub domain: &'static str,
    /// The server of the contracts.
    pub server: Value,
    /// The options of the server, as `sources` in the config of the domain's node.
    pub sources: Value,
}

impl GatewayOptions {
    fn connect(&self) -> ConnectOptions {
        self.login.as_ref().or(self.governed.last()).map_or_else(ConnectOptions::default, Login::connect)
    }

    /// Returns free addresses for the nodes of the domains, and then the address of the gateway.
    fn addresses(&self) -> Result<Vec<String>> {
        let mut addresses = free_addresses(DOMAINS.len() + 1)?;
        if let Some(gateway) = self.port.map(loopback) {
            addresses.retain(|address| *address != gateway);
            addresses.truncate(DOMAINS.len());
            addresses.push(gateway);
        }
        Ok(addresses)
    }

    /// Returns the keys of the gateway's config for its user.
    fn config(&self) -> Map<String, Value> {
        self.login.iter().map(|login| ("users".to_owned(), users_config(std::slice::from_ref(login)))).collect()
    }
}

/// The options of all nodes of a mesh.
#[derive(Default)]
struct NodesOptions {
    /// The keys that the config of each node has in addition.
    more: Map<String, Value>,
    gateway: GatewayOptions,
    /// The databases of domains that are not served over files.
    databases: Vec<DomainDatabase>,
}

impl LocalMesh {
    /// Starts `program serve` for each domain over the tables in `data` and for the gateway. Returns when each node
    /// answers and the gateway knows every port.
    ///
    /// # Errors
    /// A node that does not start or does not answer in time, with the end of its log. No process is left running.
    pub async fn start(program: &Path, data: &Path) -> Result<Self> {
        Self::start_with_links(program, data, &mut |way| Ok(way.direct())).await
    }

    /// Starts a mesh as [`LocalMesh::start`] does, with the keys of `more` in the config of each node, such as limits
    /// or users. The nodes must accept callers without a login.
    ///
    /// # Errors
    /// As [`LocalMesh::start`].
    pub async fn start_with(program: &Path, data: &Path, more: &Map<String, Value>) -> Result<Self> {
        let options = NodesOptions { more: more.clone(), ..NodesOptions::default() };
        Self::start_nodes(program, data, &mut |way| Ok(way.direct()), &options).await
    }

    /// Starts a mesh as [`LocalMesh::start`] does, with these options of the gateway. Domains that have a database are
    /// served over its tables.
    ///
    /// # Errors
    /// As [`LocalMesh::start`], and of [`check_port`].
    pub async fn start_with_gateway(
        program: &Path,
        data: &Path,
        gateway: &GatewayOptions,
        databases: &[DomainDatabase],
    ) -> Result<Self> {
        gateway.port.map_or(Ok(()), check_port)?;
        let options =
            NodesOptions { gateway: gateway.clone(), databases: databases.to_vec(), ..NodesOptions::default() };
        Self::start_nodes(program, data, &mut |way| Ok(way.direct()), &options).await
    }

    /// Starts a mesh as [`LocalMesh::start`] does, where `link` returns the peer for the config of each node, such as
    /// the address of a proxy. Clients reach the nodes directly.
    ///
    /// # Errors
    /// As [`LocalMesh::start`]; the errors of `link`.
    pub async fn start_with_links(
        program: &Path,
        data: &Path,
        link: &mut (dyn FnMut(Way<'_>) -> Result<Value> + Send),
    ) -> Result<Self> {
        Self::start_nodes(program, data, link, &NodesOptions::default()).await
    }

    async fn start_nodes(
        program: &Path,
        data: &Path,
        link: &mut (dyn FnMut(Way<'_>) -> Result<Value> + Send),
        options: &NodesOptions,
    ) -> Result<Self> {
        let deadline = Instant::now() + START_TIMEOUT;
        for _ in 0..PORT_ATTEMPTS {
            match Self::try_start(program, data, link, options, deadline).await {
                Ok(mesh) => return Ok(mesh),
                Err(StartError::PortTaken) => {}
                Err(StartError::Other(error)) => return Err(error),
            }
        }
        Err(Error::failed("other processes keep using the ports that the nodes need; try again"))
    }

    async fn try_start(
        program: &Path,
        data: &Path,
        link: &mut (dyn FnMut(Way<'_>) -> Result<Value> + Send),
        options: &NodesOptions,
        deadline: Instant,
    ) -> Result<Self, StartError> {
        let folder = tempfile::Builder::new().prefix("portolan-").tempdir();
        let folder = folder.map_err(|e| Error::output("the temporary folder", e))?;
        let addresses = options.gateway.addresses()?;
        let governed = match options.gateway.governed.as_slice() {
            [] => None,
            users => Some(GovernedNodes::new(users, folder.path())?),
        };
        let mut processes = vec![];
        for (i, domain) in DOMAINS.into_iter().map(Some).chain([None]).enumerate() {
            let home = folder.path().join(domain.unwrap_or("gateway"));
            fs::create_dir_all(&home).map_err(|e| Error::output(home.display(), e))?;
            let peers = DOMAINS.into_iter().zip(&addresses).filter(|(to, _)| domain != Some(*to));
            let peers = peers.map(|(to, address)| link(Way { from: domain, to, address }));
            let peers = peers.collect::<Result<Vec<_>>>()?;
            let mut config = json!({ "listen": addresses[i], "peers": peers, "refresh_interval": "1s" });
            if let Some(domain) = domain {
                let (products, sources) = match options.databases.iter().find(|database| database.domain == domain) {
                    Some(DomainDatabase { server, sources, .. }) => {
                        (descriptors::write_over_database(domain, server, &home)?, sources.clone())
                    }
                    None => (descriptors::write(domain, data, &home)?, json!({ "files": { "root": data } })),
                };
                if governed.is_some() && domain == policies::GOVERNED {
                    policies::add(&products)?;
                }
                config["products"] = products.display().to_string().into();
                config["domain"] = domain.into();
                config["sources"] = sources;
            }
            let gateway = if domain.is_none() { options.gateway.config() } else { Map::new() };
            let governed = governed.as_ref().map(|nodes| nodes.config(domain)).unwrap_or_default();
            for (key, value) in options.more.iter().chain(&gateway).chain(&governed) {
                config[key] = value.clone();
            }
            processes.push(NodeProcess::spawn(program, domain, &home, &config)?);
        }
        for process in &mut processes {
            process.wait_until_ready(deadline).await?;
        }
        let Some(gateway) = processes.pop() else { return Err(Error::failed("no node was started").into()) };
        let mesh = Self { nodes: processes, gateway, folder };
        mesh.wait_until_known(&options.gateway.connect(), deadline).await?;
        Ok(mesh)
    }

    /// Returns the gateway.
    pub fn gateway(&self) -> &NodeProcess {
        &self.gateway
    }

    /// Returns the nodes of the domains.
    pub fn nodes(&self) -> &[NodeProcess] {
        &self.nodes
    }

    /// Returns the files with the policies and agreements, if the mesh is governed.
    pub fn policy_files(&self) -> Vec<PathBuf> {
        let products = self.folder.path().join(policies::GOVERNED).join("products");
        policies::files(&products).filter(|file| file.is_file()).collect()
    }

    /// Returns the URLs and processes: `{"gateway": {"url", "pid"}, "nodes": [{"domain", "url", "pid"}]}`.
    pub fn to_json(&self) -> Value {
        let nodes: Vec<_> =
            self.nodes.iter().map(|n| json!({ "domain": n.domain(), "url": n.url(), "pid": n.pid() })).collect();
        json!({ "gateway": { "url": self.gateway.url(), "pid": self.gateway.pid() }, "nodes": nodes })
    }

    /// Returns the bytes that crossed the edge of each of [`DOMAINS`], to the gateway or to another owner, including
    /// keys.
    pub fn bytes_by_domain(&self, progress: &Progress) -> [u64; DOMAINS.len()] {
        DOMAINS.map(|domain| {
            let node = self.nodes.iter().find(|node| node.domain() == Some(domain));
            let edges = progress.edges.iter().filter(|edge| node.is_some_and(|node| node.url() == edge.site));
            edges.map(|edge| edge.bytes + edge.bytes_sent).sum()
        })
    }

    /// Watches the nodes until `stop` is cancelled.
    ///
    /// # Errors
    /// A node that has ended.
    pub async fn watch(&mut self, stop: &CancellationToken) -> Result<()> {
        loop {
            for process in self.nodes.iter_mut().chain([&mut self.gateway]) {
                if let Some(status) = process.ended() {
                    return Err(process.error(&format!("ended with {status}")));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    /// Stops every node, and waits until all have ended.
    pub async fn stop(self) {
        let processes = self.nodes.into_iter().chain([self.gateway]);
        futures::future::join_all(processes.map(NodeProcess::stop)).await;
    }

    async fn wait_until_known(&self, options: &ConnectOptions, deadline: Instant) -> Result<()> {
        let client = Client::connect(self.gateway.url(), options).await?;
        let sql = "SELECT (SELECT count(*) FROM mesh.ports) AS ports, \
                   (SELECT count(*) FROM mesh.nodes WHERE state = 'up') AS nodes";
        loop {
            let known = tokio::time::timeout_at(deadline.into(), client.query(sql)).await;
            let seen = match known {
                Ok(Ok((_, batches))) => {
                    let count = |column: usize| -> i64 {
                        let first = batches.iter().find(|b| b.num_rows() > 0);
                        first.and_then(|b| b.column(column).as_primitive_opt::<Int64Type>()).map_or(0, |c| c.value(0))
                    };
                    if count(0) == TABLES.len() as i64 && count(1) > DOMAINS.len() as i64 {
                        return Ok(());
                    }
                    format!("it knows {} of {} ports", count(0), TABLES.len())
                }
                Ok(Err(e)) => e.chain(),
                Err(_) => "it does not answer".into(),
            };
            if Instant::now() + POLL_INTERVAL > deadline {
                return Err(Error::failed(format!(
                    "the gateway at {} does not know all domains after {} seconds: {seen}{}",
                    self.gateway.url(),
                    START_TIMEOUT.as_secs(),
                    self.gateway.log_tail()
                )));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
