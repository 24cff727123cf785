//! The shortest way into a mesh: an engine with one node as its peer.

use std::sync::Arc;

use portolan_connectors::Site;
use portolan_connectors::node::{NodeOptions, NodeSite};

use crate::{Engine, Error, ErrorKind, PeerOptions, Result};

impl Engine {
    /// Returns an engine with the node at `url` (`grpc://host:port`) as its peer. The engine has fetched the node's
    /// catalog, and also uses the peers that the node reports. It owns no domain, has the default limits, and uses
    /// neither TLS nor a login. [`Engine::builder`] sets each of these.
    ///
    /// As [`EngineBuilder::build`](crate::EngineBuilder::build), it needs a tokio runtime.
    ///
    /// # Errors
    /// `InvalidQuery` for a URL that is not valid; `SiteUnavailable` if the node does not answer, or refuses to; the
    /// errors of [`EngineBuilder::build`](crate::EngineBuilder::build).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example() -> portolan_engine::Result<()> {
    /// let engine = portolan_engine::Engine::connect("grpc://127.0.0.1:50051").await?;
    /// let rows = engine.sql("SELECT count(*) FROM sales.orders.orders").await?.collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(url: &str) -> Result<Self> {
        let node = Arc::new(NodeSite::new(url, NodeOptions::default())?);
        let url = node.id().to_string();
        let options = PeerOptions { learn_peers: true, ..PeerOptions::default() };
        let engine = Self::builder().peer_with(node, options).build()?;
        match engine.refresh().await.failed.into_iter().find(|(failed, _)| *failed == url) {
            None => Ok(engine),
            Some((_, reason)) if reason.contains(&url) => Err(Error::new(ErrorKind::SiteUnavailable, reason)),
            Some((_, reason)) => Err(Error::new(ErrorKind::SiteUnavailable, format!("node {url}: {reason}"))),
        }
    }
}
