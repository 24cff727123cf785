//! Changes of the config while queries run: peers that come and go, and the keys that domains are pinned to. A running
//! query keeps its view of the mesh.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_catalog::DomainName;
use portolan_connectors::{OwnerKey, Peer, SiteId};

use super::known_peer::KnownPeer;
use super::{Mesh, MeshState, PeerOptions};

impl Mesh {
    /// Adds a peer to those of the config. If there is one with the same identity, the new one takes its place, and
    /// serves its domains until it answers.
    pub(crate) fn add_peer(&self, peer: Arc<dyn Peer>, options: PeerOptions) {
        let added = self.change(|state| state.put_peer(peer, options));
        self.keep_fresh(added.into_iter().collect());
    }

    /// Removes a peer of the config, and the peers that were learned from it. Returns false if there is no such peer.
    pub(crate) fn remove_peer(&self, id: &SiteId) -> bool {
        self.change(|state| state.drop_peer(id))
    }

    /// Replaces the keys that domains of other nodes are pinned to.
    pub(crate) fn pin_domains(&self, keys: BTreeMap<DomainName, Vec<OwnerKey>>) {
        self.change(|state| state.owners.pin(keys));
    }
}

impl MeshState {
    /// Adds or replaces a peer of the config. Returns the number of a new one.
    fn put_peer(&mut self, peer: Arc<dyn Peer>, options: PeerOptions) -> Option<usize> {
        let id = peer.id().clone();
        // The entry in the config takes the place of a learned one.
        self.peers.retain(|_, known| known.learned.is_none() || *known.peer.id() != id);
        let Some(index) = self.config_peer(&id) else { return Some(self.add_peer(KnownPeer::new(peer, options))) };
        self.forget_learned_from(index);
        if let Some(known) = self.peers.get_mut(&index) {
            known.replace(peer, options);
        }
        None
    }

    fn drop_peer(&mut self, id: &SiteId) -> bool {
        let Some(index) = self.config_peer(id) else { return false };
        self.forget_learned_from(index);
        self.peers.remove(&index).is_some()
    }

    /// Returns the number of the peer in the config with this identity.
    fn config_peer(&self, id: &SiteId) -> Option<usize> {
        let mut in_config = self.peers.iter().filter(|(_, known)| known.learned.is_none());
        in_config.find(|(_, known)| known.peer.id() == id).map(|(index, _)| *index)
    }

    /// Removes the peers that were learned from a peer: its options hold for them too. They are learned again if they
    /// are still reported.
    fn forget_learned_from(&mut self, reporter: usize) {
        let is_from = |known: &KnownPeer| known.learned.as_ref().is_some_and(|learned| learned.reporter == reporter);
        self.peers.retain(|_, known| !is_from(known));
    }
}
