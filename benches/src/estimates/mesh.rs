//! A mesh of TPC-H's three domains and of the calendar. TPC-H's owners do not know the node of the calendar: a gateway of
//! this mesh knows all four.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use portolan_node::client::Client;
use portolan_node::{Error, Result};
use portolan_testbed::calendar;
use portolan_testbed::mesh::{LocalMesh, NodeProcess, free_addresses};
use portolan_testbed::tpch::TABLES;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::asked::{Settings, session_at};

/// The time limit for the gateway to know all ports.
const LIMIT: Duration = Duration::from_secs(60);
/// The time for a node to stop.
const STOP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// A mesh of processes.
pub struct Mesh {
    tpch: LocalMesh,
    calendar: NodeProcess,
    gateway: NodeProcess,
    // Holds the nodes' configs, logs and files, and so is dropped last.
    _folder: TempDir,
}

impl Mesh {
    /// Starts the nodes over the tables in `data`.
    ///
    /// # Errors
    /// A node that does not start, or a gateway that does not know all ports in time.
    pub async fn start(program: &Path, data: &Path) -> Result<Self> {
        let tpch = LocalMesh::start(program, data).await?;
        let folder = tempfile::Builder::new().prefix("portolan-").tempdir();
        let folder = folder.map_err(|e| Error::output("the temporary folder", e))?;
        let addresses = free_addresses(2)?;
        let home = folder.path().join(calendar::DOMAIN);
        fs::create_dir_all(&home).map_err(|e| Error::output(home.display(), e))?;
        let products = calendar::write(&home)?;
        let config = json!({
            "domain": calendar::DOMAIN, "products": products, "listen": addresses[0], "peers": [],
            "refresh_interval": "1s", "sources": { "files": { "root": home } },
        });
        let calendar = NodeProcess::start(program, Some(calendar::DOMAIN), &home, &config).await?;
        let home = folder.path().join("gateway");
        fs::create_dir_all(&home).map_err(|e| Error::output(home.display(), e))?;
        let owners = tpch.nodes().iter().chain([&calendar]);
        let peers: Vec<Value> = owners.map(|owner| json!({ "url": owner.url() })).collect();
        let config = json!({ "listen": addresses[1], "peers": peers, "refresh_interval": "1s" });
        let gateway = NodeProcess::start(program, None, &home, &config).await?;
        let mesh = Self { tpch, calendar, gateway, _folder: folder };
        mesh.wait_until_known().await?;
        Ok(mesh)
    }

    /// Opens a session on the gateway.
    ///
    /// # Errors
    /// The gateway does not answer, or does not know a setting.
    pub async fn client(&self, settings: Settings) -> Result<Client> {
        session_at(self.gateway.url(), settings).await
    }

    /// Stops every node, and waits until all have ended.
    pub async fn stop(self) {
        for mut process in [self.gateway, self.calendar] {
            // A process that does not end in time is killed when it is dropped.
            let _ = process.end(STOP).await;
        }
        self.tpch.stop().await;
    }

    async fn wait_until_known(&self) -> Result<()> {
        let client = self.client(&[]).await?;
        let deadline = Instant::now() + LIMIT;
        let ports = TABLES.len() as i64 + 1;
        loop {
            let (_, batches) = client.query("SELECT count(*) FROM mesh.ports").await?;
            let first = batches.iter().find(|batch| batch.num_rows() > 0);
            let known = first.and_then(|b| b.column(0).as_primitive_opt::<Int64Type>()).map_or(0, |c| c.value(0));
            if known == ports {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::failed(format!("the gateway knows {known} of {ports} ports")));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
