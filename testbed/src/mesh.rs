//! A mesh of processes on loopback: one node for each of the demo's domains, and a gateway. The nodes end with this
//! process however it ends: a node stops when its standard input closes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use portolan_engine::Progress;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use crate::descriptors;
use crate::tpch::{DOMAINS, TABLES};

/// The time limit until all nodes answer and know one another.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that a node has to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of attempts to start, if other processes take the ports in the meantime.
const PORT_ATTEMPTS: usize = 5;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The number of lines of a node's log that an error shows.
const LOG_LINES: usize = 15;

/// A mesh of processes.
#[derive(Debug)]
pub struct LocalMesh {
    nodes: Vec<NodeProcess>,
    gateway: NodeProcess,
    // Holds the nodes' configs and logs, and so is dropped last.
    _folder: TempDir,
}

/// A process of a node.
#[derive(Debug)]
pub struct NodeProcess {
    domain: Option<&'static str>,
    url: String,
    pid: u32,
    child: Child,
    // Kept open, because the node may still print.
    _stdout: Option<BufReader<ChildStdout>>,
    log: PathBuf,
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

enum StartError {
    PortTaken,
    Other(Error),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
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
        Self::start_nodes(program, data, &mut |way| Ok(way.direct()), more).await
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
        Self::start_nodes(program, data, link, &Map::new()).await
    }

    async fn start_nodes(
        program: &Path,
        data: &Path,
        link: &mut (dyn FnMut(Way<'_>) -> Result<Value> + Send),
        more: &Map<String, Value>,
    ) -> Result<Self> {
        let deadline = Instant::now() + START_TIMEOUT;
        for _ in 0..PORT_ATTEMPTS {
            match Self::try_start(program, data, link, more, deadline).await {
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
        more: &Map<String, Value>,
        deadline: Instant,
    ) -> Result<Self, StartError> {
        let folder = tempfile::Builder::new().prefix("portolan-").tempdir();
        let folder = folder.map_err(|e| Error::output("the temporary folder", e))?;
        let addresses = free_addresses(DOMAINS.len() + 1)?;
        let mut processes = vec![];
        for (i, domain) in DOMAINS.into_iter().map(Some).chain([None]).enumerate() {
            let home = folder.path().join(domain.unwrap_or("gateway"));
            fs::create_dir_all(&home).map_err(|e| Error::output(home.display(), e))?;
            let peers = DOMAINS.into_iter().zip(&addresses).filter(|(to, _)| domain != Some(*to));
            let peers = peers.map(|(to, address)| link(Way { from: domain, to, address }));
            let peers = peers.collect::<Result<Vec<_>>>()?;
            let mut config = json!({ "listen": addresses[i], "peers": peers, "refresh_interval": "1s" });
            if let Some(domain) = domain {
                config["products"] = descriptors::write(domain, data, &home)?.display().to_string().into();
                config["domain"] = domain.into();
                config["sources"] = json!({ "files": { "root": data } });
            }
            for (key, value) in more {
                config[key] = value.clone();
            }
            processes.push(NodeProcess::spawn(program, domain, &home, &config)?);
        }
        for process in &mut processes {
            process.wait_until_ready(deadline).await?;
        }
        let Some(gateway) = processes.pop() else { return Err(Error::failed("no node was started").into()) };
        let mesh = Self { nodes: processes, gateway, _folder: folder };
        mesh.wait_until_known(deadline).await?;
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

    /// Returns the URLs and processes: `{"gateway": {"url", "pid"}, "nodes": [{"domain", "url", "pid"}]}`.
    pub fn to_json(&self) -> Value {
        let nodes: Vec<_> =
            self.nodes.iter().map(|n| json!({ "domain": n.domain, "url": n.url, "pid": n.pid })).collect();
        json!({ "gateway": { "url": self.gateway.url, "pid": self.gateway.pid }, "nodes": nodes })
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
                if let Ok(Some(status)) = process.child.try_wait() {
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

    async fn wait_until_known(&self, deadline: Instant) -> Result<()> {
        let client = Client::connect(&self.gateway.url, &ConnectOptions::default()).await?;
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
                    self.gateway.url,
                    START_TIMEOUT.as_secs(),
                    self.gateway.log_tail()
                )));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl NodeProcess {
    /// Returns the domain that the node serves; `None` for the gateway.
    pub fn domain(&self) -> Option<&'static str> {
        self.domain
    }

    /// Returns the URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn spawn(program: &Path, domain: Option<&'static str>, home: &Path, config: &Value) -> Result<Self> {
        // JSON is YAML, too.
        let file = home.join("node.yaml");
        fs::write(&file, config.to_string()).map_err(|e| Error::output(file.display(), e))?;
        let log = home.join("log");
        let stderr = File::create(&log).map_err(|e| Error::output(log.display(), e))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--exit-with-stdin", "--config"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        // Ctrl-C on the terminal is for the prompt, not for the nodes.
        #[cfg(unix)]
        command.process_group(0);
        let mut child =
            command.spawn().map_err(|e| Error::failed(format!("cannot start {}", program.display())).with_source(e))?;
        let stdout = child.stdout.take().map(BufReader::new);
        let pid = child.id().unwrap_or_default();
        Ok(Self { domain, url: String::new(), pid, child, _stdout: stdout, log })
    }

    async fn wait_until_ready(&mut self, deadline: Instant) -> Result<(), StartError> {
        let mut line = String::new();
        if let Some(stdout) = &mut self._stdout {
            match tokio::time::timeout_at(deadline.into(), stdout.read_line(&mut line)).await {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(self.error("has no readable output").with_source(e).into()),
                Err(_) => return Err(self.error("did not start in time").into()),
            }
        }
        let ready: Option<Value> = serde_json::from_str(&line).ok();
        if let Some(url) = ready.as_ref().and_then(|ready| ready["url"].as_str()) {
            self.url = url.into();
            return Ok(());
        }
        // A node that prints nothing has ended, or is about to.
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        if self.log_tail().contains("another process listens") {
            return Err(StartError::PortTaken);
        }
        Err(self.error("did not start").into())
    }

    fn error(&self, what: &str) -> Error {
        let name = self.domain.map_or_else(|| "the gateway".into(), |domain| format!("the node of domain `{domain}`"));
        Error::failed(format!("{name} {what}{}", self.log_tail()))
    }

    /// Returns the end of the log, to be appended to an error.
    fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        match &lines[lines.len().saturating_sub(LOG_LINES)..] {
            [] => "; its log is empty".into(),
            tail => format!("; its log ends with\n  {}", tail.join("\n  ")),
        }
    }

    async fn stop(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!(pid = self.pid, "the node does not stop and is killed");
            if let Err(e) = self.child.kill().await {
                tracing::warn!(pid = self.pid, "the node cannot be killed: {e}");
            }
        }
    }
}

/// Returns distinct addresses on loopback that were free a moment ago.
fn free_addresses(count: usize) -> Result<Vec<String>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>();
    listeners
        .and_then(|all| all.iter().map(|l| Ok(l.local_addr()?.to_string())).collect())
        .map_err(|e| Error::failed("cannot find free ports on 127.0.0.1").with_source(e))
}
