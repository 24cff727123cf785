//! The state of a node as operators see it, from the beginning of its build to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use portolan_catalog::NodeEntry;
use portolan_connectors::{SourceCounters, SourceMetrics, lock};
use portolan_engine::{Engine, EngineMetrics};
use portolan_flight_server::{Connections, Readiness, Server};

use crate::process::ProcessMetrics;

/// The name in metrics of a node without a domain.
const GATEWAY: &str = "gateway";

/// The state of a node. The parts of the node are added as they start.
#[derive(Debug)]
pub(crate) struct NodeStatus {
    domain: String,
    /// The memory that the host allows the process to use, in bytes.
    host_memory: Option<u64>,
    sources: SourceCounters,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    engine: Option<Engine>,
    server: Option<(Readiness, Arc<Connections>)>,
}

/// The state of a node at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The domain of the node.
    pub(crate) domain: String,
    pub(crate) host_memory: Option<u64>,
    pub(crate) is_ready: bool,
    /// `None` while the ports of the domain are being opened.
    pub(crate) engine: Option<EngineMetrics>,
    /// The nodes of the mesh, this one included.
    pub(crate) nodes: Vec<NodeEntry>,
    /// The sources, by the name of a contract's server.
    pub(crate) sources: BTreeMap<String, SourceMetrics>,
    /// The number of open connections; `None` while the node does not listen.
    pub(crate) connections: Option<usize>,
    pub(crate) process: ProcessMetrics,
}

impl NodeStatus {
    /// Returns the state of a node that starts.
    pub(crate) fn new(domain: Option<&str>, host_memory: Option<u64>, sources: SourceCounters) -> Self {
        let domain = domain.unwrap_or(GATEWAY).to_owned();
        Self { domain, host_memory, sources, parts: Mutex::default() }
    }

    /// Returns the domain of the node, or the name of gateways.
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// Adds the engine.
    pub(crate) fn has_engine(&self, engine: Engine) {
        lock(&self.parts).engine = Some(engine);
    }

    /// Adds the server.
    pub(crate) fn has_server(&self, server: &Server) {
        lock(&self.parts).server = Some((server.readiness(), server.connections()));
    }

    /// Returns `Ok` if the node is ready.
    ///
    /// # Errors
    /// The reason why the node is not ready.
    pub(crate) fn check(&self) -> Result<(), String> {
        let server = lock(&self.parts).server.clone();
        match server {
            Some((readiness, _)) => readiness.check(),
            None => Err("the node is starting".to_owned()),
        }
    }

    /// Returns the present state.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (engine, server) = {
            let parts = lock(&self.parts);
            (parts.engine.clone(), parts.server.clone())
        };
        Snapshot {
            domain: self.domain().to_owned(),
            host_memory: self.host_memory,
            is_ready: self.check().is_ok(),
            engine: engine.as_ref().map(Engine::metrics),
            nodes: engine.map(|engine| engine.mesh().nodes.clone()).unwrap_or_default(),
            sources: self.sources.read(),
            connections: server.map(|(_, connections)| connections.open()),
            process: ProcessMetrics::read(),
        }
    }
}
