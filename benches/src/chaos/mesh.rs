//! The mesh of a chaos run: a gateway, and two replicas of each of two domains. Each owner is behind a link that can
//! fail. Users log in, nodes authenticate with keys, and the limits are small.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::try_join_all;
use portolan_connectors::node::NodeKey;
use portolan_node::{Error, Result, create_key_file};
use portolan_testbed::descriptors;
use portolan_testbed::mesh::{NodeProcess, free_addresses};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::link::Link;
use crate::server::HASH;

/// The timeout of a query in the nodes' configs.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// The users. All of them have the same password.
pub const USERS: [&str; 4] = ["ann", "bob", ABUSER, ADMINISTRATOR];
/// The user who sends the statements of faults.
pub const ABUSER: &str = "mallory";
/// The user who sees the queries of others.
pub const ADMINISTRATOR: &str = "root";
/// The names of the nodes and their domains. The nodes of a domain have the same key.
const NODES: [(&str, Option<&str>); 5] = [
    ("gateway", None),
    ("sales-1", Some("sales")),
    ("sales-2", Some("sales")),
    ("supply-1", Some("supply")),
    ("supply-2", Some("supply")),
];
/// The number of nodes.
pub const NODE_COUNT: usize = NODES.len();
/// The position of the gateway, before the owners.
pub const GATEWAY: usize = 0;

/// The nodes.
pub struct Mesh {
    /// The gateway, and then the owners.
    pub nodes: Vec<Node>,
    /// The folder of the nodes, which stays if the run fails.
    pub folder: PathBuf,
}

/// A node, which can start again at the same address.
pub struct Node {
    /// The name.
    pub name: &'static str,
    /// The domain that the node owns; `None` for the gateway.
    pub domain: Option<&'static str>,
    /// The URL for clients, who do not use the link.
    pub url: String,
    /// The link over which other nodes reach an owner.
    pub link: Option<Link>,
    /// The folder with config, log, descriptors and spilled data.
    pub home: PathBuf,
    /// The process.
    pub process: Mutex<NodeProcess>,
    program: PathBuf,
    config: Value,
}

impl Mesh {
    /// Starts the nodes over the tables in `data`. `seed` decides which bits change on the links.
    ///
    /// # Errors
    /// A folder that cannot be written, or a node that does not start.
    pub async fn start(program: &Path, data: &Path, seed: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portolan-chaos-").disable_cleanup(true).tempdir();
        let folder = folder.map_err(|e| Error::output("the temporary folder", e))?.path().to_path_buf();
        let keys = ["gateway", "sales", "supply"].map(|name| create_key(name, &folder));
        let keys = keys.into_iter().collect::<Result<Vec<_>>>()?;
        let addresses = free_addresses(NODE_COUNT)?;
        let mut links = vec![];
        for ((_, domain), address) in NODES.iter().zip(&addresses) {
            links.push(match domain {
                Some(_) => Some(Link::in_front_of(address, seed).await?),
                None => None,
            });
        }
        let owners = NODES.iter().zip(&addresses).zip(&links).filter_map(|((node, address), link)| {
            // The catalogs are signed for the URLs of the owners, not for those of the links.
            Some((node.1, json!({ "url": link.as_ref()?.url(), "audience": format!("grpc://{address}") })))
        });
        let owners: Vec<_> = owners.collect();
        let mut starting = vec![];
        for (((name, domain), address), link) in NODES.into_iter().zip(addresses).zip(links) {
            let others = owners.iter().filter(|(owned, _)| *owned != domain);
            let peers: Vec<_> = others.map(|(_, peer)| peer).collect();
            let (home, url, program) = (folder.join(name), format!("grpc://{address}"), program.to_path_buf());
            let mut config = config(&home, domain.unwrap_or(name), &keys);
            (config["listen"], config["peers"]) = (json!(address), json!(peers));
            fs::create_dir_all(&home).map_err(|e| Error::output(home.display(), e))?;
            if let Some(domain) = domain {
                config["domain"] = json!(domain);
                config["products"] = json!(descriptors::write(domain, data, &home)?);
                config["sources"] = json!({ "files": { "root": data } });
            }
            starting.push(async move {
                let process = Mutex::new(NodeProcess::start(&program, domain, &home, &config).await?);
                Ok::<_, Error>(Node { name, domain, url, link, home, process, program, config })
            });
        }
        Ok(Self { nodes: try_join_all(starting).await?, folder })
    }

    /// Checks that no node has ended by itself.
    ///
    /// # Errors
    /// A node that has ended.
    pub async fn check(&self) -> Result<()> {
        for node in &self.nodes {
            let mut process = node.process.lock().await;
            if let Some(status) = process.ended() {
                return Err(process.error(&format!("ended by itself with {status}")));
            }
        }
        Ok(())
    }

    /// Kills the nodes, and removes their folder.
    ///
    /// # Errors
    /// A node that has ended by itself, or a folder that cannot be removed.
    pub async fn remove(&self) -> Result<()> {
        for node in &self.nodes {
            node.process.lock().await.kill().await?;
        }
        fs::remove_dir_all(&self.folder).map_err(|e| Error::output(self.folder.display(), e))
    }
}

impl Node {
    /// Starts the node again, after its process has ended.
    ///
    /// # Errors
    /// A node that does not start.
    pub async fn start_again(&self) -> Result<()> {
        let process = NodeProcess::start(&self.program, self.domain, &self.home, &self.config).await?;
        *self.process.lock().await = process;
        Ok(())
    }
}

/// Creates a key, and returns the entries for the config of its node and for the configs of other nodes.
fn create_key(name: &str, folder: &Path) -> Result<[Value; 2]> {
    let file = folder.join(format!("{name}.pem"));
    let pem = NodeKey::generate()?;
    create_key_file(&file, &pem).map_err(|e| Error::output(file.display(), e))?;
    let public = NodeKey::from_pem(pem.as_bytes())?.public().to_string();
    Ok([json!({ "name": name, "key": file }), json!({ "name": name, "key": public })])
}

/// Returns the part of a config that does not depend on the other nodes.
fn config(home: &Path, key: &str, keys: &[[Value; 2]]) -> Value {
    let own = keys.iter().find(|[own, _]| own["name"] == key).map(|[own, _]| own);
    let trusted: Vec<_> = keys.iter().map(|[_, other]| other).filter(|other| other["name"] != key).collect();
    let users = USERS.map(|name| json!({ "name": name, "password_hash": HASH, "admin": name == ADMINISTRATOR }));
    let timeout = format!("{}s", QUERY_TIMEOUT.as_secs());
    json!({
        "node": own,
        "trusted_nodes": trusted,
        "users": users,
        "anonymous": true,
        "admin": { "listen": "127.0.0.1:0" },
        "limits": { "query_timeout": timeout, "query_memory": "128MiB", "memory": "1GiB", "spill": "16MiB" },
        "spill_folder": home.join("spill"),
        "refresh_interval": "500ms",
        "cpu_threads": 2,
        "log": "info",
    })
}
