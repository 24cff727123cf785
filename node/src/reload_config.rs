//! Applies a changed config while a node runs. If the config has faults, the last good config stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_catalog::Diagnostics;
use portolan_connectors::{Peer, SiteId};
use portolan_engine::PeerOptions;
use portolan_engine::server::{add_peer, remove_peer, set_domain_keys, set_limits};
use portolan_flight_server::AccessControl;

use crate::Node;
use crate::assemble::Current;
use crate::config::{NodeConfig, PeerConfig};
use crate::peers::connect;

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
    /// Returns true if the ports of the domain must be opened again.
    ///
    /// # Errors
    /// All faults of the config. Nothing has changed then.
    pub(crate) async fn reload_config(&self, access: &AccessControl, renews: bool) -> Result<bool, Vec<String>> {
        let Current { config: running, .. } = self.current();
        let Some(file) = running.file.clone() else { return Ok(false) };
        let loaded = tokio::task::spawn_blocking(move || NodeConfig::load_again(&file)).await;
        let (new, of_fixed) = match loaded {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(Diagnostics(faults))) => return Err(faults.iter().map(ToString::to_string).collect()),
            Err(e) => return Err(vec![format!("reading it ended abnormally: {e}")]),
        };
        let exposed = new.exposed_files();
        let fixed = new.changed_fixed_keys(&running).join(", ");
        let config = Arc::new(new.with_fixed_keys_of(&running));
        if let Err(mut faults) = self.apply(&running, config.clone(), access, renews).await {
            if !fixed.is_empty() {
                faults.push(format!(
                    "the changes of {fixed} need a restart, and the other keys do not fit the present values"
                ));
            }
            faults.extend(of_fixed.iter().map(ToString::to_string));
            return Err(faults);
        }
        for fault in &of_fixed {
            tracing::error!("the config was reloaded, but a node with it does not start: {fault}");
        }
        exposed.iter().for_each(|warning| tracing::warn!("{warning}"));
        if !fixed.is_empty() {
            tracing::warn!("the node must be restarted for the changes of {fixed}");
        }
        Ok(!config.opens_ports_as(&running))
    }

    /// Applies a config whose fixed keys are those of the running one.
    ///
    /// # Errors
    /// The faults of what the config names. Nothing has changed then.
    async fn apply(
        &self,
        running: &NodeConfig,
        config: Arc<NodeConfig>,
        access: &AccessControl,
        renews: bool,
    ) -> Result<(), Vec<String>> {
        let (auth, delegation) = config.credentials().map_err(|e| vec![e.owner_chain()])?;
        let domain_keys = config.domain_keys().map_err(|e| vec![e.owner_chain()])?;
        let peers = self.peer_changes(running, &config, renews)?;
        let closed = access.replace(auth, delegation).await.map_err(|e| vec![e.chain()])?;
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
            if !config.opens_ports_as(running) {
                let sources = config.configure((*current.sources).clone());
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

    /// Prepares the connections to the peers that have changed.
    ///
    /// # Errors
    /// The faults of all peers.
    fn peer_changes(
        &self,
        running: &NodeConfig,
        config: &NodeConfig,
        renews: bool,
    ) -> Result<PeerChanges, Vec<String>> {
        let by_url = |config: &NodeConfig| -> BTreeMap<String, PeerConfig> {
            config.peers.iter().map(|peer| (peer.url.clone(), peer.clone())).collect()
        };
        let (before, now) = (by_url(running), by_url(config));
        let (mut changes, mut faults) = (PeerChanges::default(), vec![]);
        for peer in &config.peers {
            let is_same = before.get(&peer.url) == Some(peer);
            let has_files = peer.ca.is_some() || peer.cert.is_some() || peer.password_env.is_some();
            if !is_same || (renews && has_files) {
                match connect(peer, &self.identity) {
                    Ok(connected) => changes.added.push((connected, peer.options())),
                    Err(e) => faults.push(e.owner_chain()),
                }
            }
        }
        changes.removed.extend(before.into_keys().filter(|url| !now.contains_key(url)));
        if faults.is_empty() { Ok(changes) } else { Err(faults) }
    }
}
