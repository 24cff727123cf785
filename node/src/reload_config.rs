//! Applies a changed config while a node runs. If the config has faults, the node logs all of them, and the last good
//! config stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_catalog::Diagnostics;
use portolan_connectors::{Peer, SiteId};
use portolan_engine::PeerOptions;
use portolan_engine::server::{add_peer, remove_peer, set_domain_keys, set_limits};
use portolan_flight_server::AccessControl;

use crate::assemble::Current;
use crate::config::{NodeConfig, PeerConfig};
use crate::peers::connect;
use crate::{Error, Node, Result};

/// The changes of the peers in a config.
#[derive(Default)]
struct PeerChanges {
    /// The new peers, and new connections to known ones.
    added: Vec<(Arc<dyn Peer>, PeerOptions)>,
    /// The URLs of the peers that are gone.
    removed: Vec<String>,
}

impl Node {
    /// Reads the config again, and applies it. `renews` is true if connections to peers with files must read them again.
    /// Returns true if the sources have changed, so that the ports were opened again.
    pub(crate) async fn reload_config(&self, access: &AccessControl, renews: bool) -> bool {
        let Current { config: running, .. } = self.current();
        let Some(file) = running.file.clone() else { return false };
        let loaded = tokio::task::spawn_blocking(move || NodeConfig::load(&file)).await;
        let new = match loaded {
            Ok(Ok(config)) => config,
            Ok(Err(Diagnostics(faults))) => {
                faults.iter().for_each(|fault| keep_config(&fault.to_string()));
                return false;
            }
            Err(e) => {
                keep_config(&format!("reading it ended abnormally: {e}"));
                return false;
            }
        };
        new.exposed_files().iter().for_each(|warning| tracing::warn!("{warning}"));
        let fixed = new.changed_fixed_keys(&running);
        let config = Arc::new(new.with_fixed_keys_of(&running));
        if let Err(e) = self.apply(&running, config.clone(), access, renews).await {
            keep_config(&e.owner_chain());
            return false;
        }
        if !fixed.is_empty() {
            tracing::warn!("the node must be restarted for the changes of {}", fixed.join(", "));
        }
        let has_new_sources = running.sources != config.sources;
        if has_new_sources {
            let is_same = |server: &str| running.sources.get(server) == config.sources.get(server);
            self.reload_domain(|port| port.source.as_ref().is_some_and(|source| is_same(&source.server))).await;
        }
        has_new_sources
    }

    /// Applies a config whose fixed keys are those of the running one. If it fails, nothing has changed.
    async fn apply(
        &self,
        running: &NodeConfig,
        config: Arc<NodeConfig>,
        access: &AccessControl,
        renews: bool,
    ) -> Result<()> {
        let (auth, delegation) = config.credentials()?;
        let domain_keys = config.domain_keys()?;
        let peers = self.peer_changes(running, &config, renews)?;
        let closed = access.replace(auth, delegation).await.map_err(|e| Error::config(e.chain()))?;
        // The engine keeps the memory that it was built with.
        set_limits(&self.engine, &config.limits(None));
        set_domain_keys(&self.engine, domain_keys);
        if let Some(files) = &self.statement_files {
            files.set_private(config.own_files());
        }
        let (added, removed) = (peers.added.len(), peers.removed.len());
        for url in peers.removed {
            remove_peer(&self.engine, &SiteId::new(url));
        }
        for (peer, options) in peers.added {
            add_peer(&self.engine, peer, options);
        }
        self.with_current(|current| {
            if running.sources != config.sources {
                let sources = (*current.sources).clone().with_files(config.file_sources());
                current.sources = Arc::new(sources);
            }
            current.config = config;
        });
        tracing::info!(
            closed_sessions = closed,
            added_peers = added,
            removed_peers = removed,
            "the config was reloaded"
        );
        Ok(())
    }

    fn peer_changes(&self, running: &NodeConfig, config: &NodeConfig, renews: bool) -> Result<PeerChanges> {
        let by_url = |config: &NodeConfig| -> BTreeMap<String, PeerConfig> {
            config.peers.iter().map(|peer| (peer.url.clone(), peer.clone())).collect()
        };
        let (before, now) = (by_url(running), by_url(config));
        let mut changes = PeerChanges::default();
        for peer in &config.peers {
            let is_same = before.get(&peer.url) == Some(peer);
            let has_files = peer.ca.is_some() || peer.cert.is_some() || peer.password_env.is_some();
            if !is_same || (renews && has_files) {
                changes.added.push((connect(peer, &self.identity)?, peer.options()));
            }
        }
        changes.removed.extend(before.into_keys().filter(|url| !now.contains_key(url)));
        Ok(changes)
    }
}

fn keep_config(fault: &str) {
    tracing::error!("the config was not reloaded, the last good one stays: {fault}");
}
