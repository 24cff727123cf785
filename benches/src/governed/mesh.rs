//! A mesh of the three domains of TPC-H and a gateway, in which the node of `sales` may have policies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use portolan_testbed::descriptors;
use portolan_testbed::mesh::{NodeProcess, free_addresses};
use portolan_testbed::tpch::{DOMAINS, TABLES};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The domain whose node may have policies.
const GOVERNED: &str = "sales";
/// The time limit for the nodes to know one another.
const LIMIT: Duration = Duration::from_secs(60);
/// The time for a node to stop.
const STOP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// The place where a query enters the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Gateway,
    /// The node of the governed domain.
    Owner,
}

/// A mesh of processes.
pub struct Mesh {
    nodes: Vec<NodeProcess>,
    gateway: NodeProcess,
    // Holds the nodes' configs and logs, and so is dropped last.
    _folder: TempDir,
}

impl Mesh {
    /// Starts the nodes over the tables in `data`, with these policies at the owner, and with the keys of `more` in the
    /// config of each owner.
    ///
    /// # Errors
    /// A node that does not start, or does not know the others in time.
    pub async fn start(program: &Path, data: &Path, policies: Option<&str>, more: &Map<String, Value>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portolan-").tempdir();
        let folder = folder.map_err(|e| Error::output("the temporary folder", e))?;
        let addresses = free_addresses(DOMAINS.len() + 1)?;
        let mut nodes = vec![];
        for (domain, address) in DOMAINS.into_iter().zip(&addresses) {
            let home = folder.path().join(domain);
            let others = DOMAINS.into_iter().zip(&addresses).filter(|(other, _)| *other != domain);
            let peers: Vec<Value> = others.map(|(_, other)| peer(other)).collect();
            let products = descriptors::write(domain, data, &home)?;
            let mut config = json!({
                "domain": domain, "products": products, "listen": address, "peers": peers, "refresh_interval": "1s",
                "sources": { "files": { "root": data } },
            });
            for (key, value) in more {
                config[key.as_str()] = value.clone();
            }
            if let Some(text) = policies.filter(|_| domain == GOVERNED) {
                config["policies"] = json!(written(&home, text)?);
            }
            nodes.push(NodeProcess::start(program, Some(domain), &home, &config).await?);
        }
        let home = folder.path().join("gateway");
        fs::create_dir_all(&home).map_err(|e| Error::output(home.display(), e))?;
        let listen = addresses.last().ok_or_else(|| Error::failed("there is no free address"))?;
        let peers: Vec<Value> = addresses.iter().take(DOMAINS.len()).map(|address| peer(address)).collect();
        let config = json!({ "listen": listen, "peers": peers, "refresh_interval": "1s" });
        let gateway = NodeProcess::start(program, None, &home, &config).await?;
        let mesh = Self { nodes, gateway, _folder: folder };
        mesh.wait_until_known().await?;
        Ok(mesh)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// A node that does not answer.
    pub async fn client(&self, place: Place) -> Result<Client> {
        let owner = self.nodes.iter().find(|node| node.domain() == Some(GOVERNED));
        let node = match place {
            Place::Gateway => &self.gateway,
            Place::Owner => owner.ok_or_else(|| Error::failed("the owner was not started"))?,
        };
        Ok(Client::connect(node.url(), &ConnectOptions::default()).await?)
    }

    /// Stops every node, and waits until all have ended.
    pub async fn stop(self) {
        for mut process in self.nodes.into_iter().chain([self.gateway]) {
            // A process that does not end in time is killed when it is dropped.
            let _ = process.end(STOP).await;
        }
    }

    async fn wait_until_known(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        for place in [Place::Gateway, Place::Owner] {
            let client = self.client(place).await?;
            loop {
                let (_, batches) = client.query("SELECT count(*) FROM mesh.ports").await?;
                let first = batches.iter().find(|batch| batch.num_rows() > 0);
                let known = first.and_then(|b| b.column(0).as_primitive_opt::<Int64Type>()).map_or(0, |c| c.value(0));
                if known == TABLES.len() as i64 {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(Error::failed(format!("a node knows {known} of {} ports", TABLES.len())));
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }
}

fn peer(address: &str) -> Value {
    json!({ "url": format!("grpc://{address}") })
}

/// Writes policies of the mesh to a folder, and returns the folder.
fn written(home: &Path, text: &str) -> Result<PathBuf> {
    let folder = home.join("policies");
    fs::create_dir_all(&folder).map_err(|e| Error::output(folder.display(), e))?;
    let file = folder.join("lineitem.cedar");
    fs::write(&file, text).map_err(|e| Error::output(file.display(), e))?;
    Ok(folder)
}
