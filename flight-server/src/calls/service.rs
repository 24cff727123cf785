//! The service behind the calls: the state that they share.

use std::sync::Arc;

use portolan_connectors::node::NodeKey;
use portolan_engine::{Engine, Result};
use tokio_util::sync::CancellationToken;

use crate::callers::{Access, Callers};
use crate::metadata::Metadata;
use crate::options::ServerLimits;
use crate::statements::Statements;

/// The state that all calls share: the engine, the callers, the statements and the metadata.
pub(crate) struct Service {
    pub(crate) engine: Engine,
    pub(crate) callers: Callers,
    pub(crate) statements: Statements,
    pub(crate) metadata: Metadata,
    /// The key that signs the catalogs of this node.
    pub(crate) key: Arc<NodeKey>,
    /// Ends every stream when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl Service {
    pub(crate) fn new(
        engine: Engine,
        access: Arc<Access>,
        key: Arc<NodeKey>,
        limits: &ServerLimits,
        stopping: CancellationToken,
    ) -> Result<Self> {
        Ok(Self {
            metadata: Metadata::new(engine.clone(), limits)?,
            callers: Callers::new(engine.clone(), access),
            engine,
            statements: Statements::new(limits),
            key,
            stopping,
        })
    }
}
