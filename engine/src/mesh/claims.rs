//! The claims of peers to domains, and the decision on each. A domain of this engine belongs to this engine. Any other
//! domain belongs to its owner's key. Several peers with this key are replicas.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portolan_catalog::{DomainCatalog, DomainName, NodeState};
use portolan_connectors::OwnerKey;

use super::MeshState;
use super::known_peer::KnownPeer;
use super::learned::Report;

/// The bytes whose transfer time decides which replica is the nearest.
const COMPARED_BYTES: f64 = (1_u64 << 20) as f64;

/// The claims of the peers.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    /// The accepted claims, by domain. The peer to query first is the first one.
    pub(super) accepted: BTreeMap<&'a DomainName, Vec<Claim<'a>>>,
    /// The refused claims, in the order of the peers.
    pub(super) refused: Vec<Refusal<'a>>,
}

/// An accepted claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    /// The number of the peer.
    pub(super) index: usize,
    pub(super) peer: &'a KnownPeer,
    pub(super) key: &'a OwnerKey,
    pub(super) catalog: &'a Arc<DomainCatalog>,
}

/// A refused claim.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    /// The number of the peer.
    pub(super) index: usize,
    pub(super) domain: &'a DomainName,
    /// The reason, and how to settle it.
    pub(super) reason: String,
}

impl<'a> Claims<'a> {
    /// Returns the refused claims of the peer at `index`.
    pub(super) fn refused_of(&self, index: usize) -> &[Refusal<'a>] {
        let start = self.refused.partition_point(|refusal| refusal.index < index);
        let end = self.refused.partition_point(|refusal| refusal.index <= index);
        &self.refused[start..end]
    }
}

impl MeshState {
    /// Decides on every claim.
    pub(super) fn claims(&self) -> Claims<'_> {
        let mut claims = Claims::default();
        for (&index, peer) in &self.peers {
            let (distrust, reports) = (self.distrust(index, peer), self.reports(peer));
            for catalog in &peer.claims {
                let domain = &catalog.domain;
                match distrust.clone().map_or_else(|| self.decide(peer, &reports, domain), Err) {
                    Ok(key) => {
                        claims.accepted.entry(domain).or_default().push(Claim { index, peer, key, catalog });
                    }
                    Err(reason) => claims.refused.push(Refusal { index, domain, reason }),
                }
            }
        }
        for replicas in claims.accepted.values_mut() {
            // The order of the config stays among equals.
            replicas.sort_by(|a, b| a.peer.compare(b.peer));
        }
        claims
    }

    /// Remembers the owners of the domains that the peer is the first to claim.
    pub(super) fn learn_owners(&mut self, index: usize) {
        let Some(peer) = self.peers.get(&index).filter(|peer| self.distrust(index, peer).is_none()) else { return };
        let Some(Ok(key)) = &peer.owner else { return };
        let claimed = peer.claims.iter().map(|catalog| &catalog.domain);
        let others = claimed.filter(|domain| !self.local.contains_key(*domain));
        let reports = self.reports(peer);
        let accepted: Vec<_> = others.filter(|domain| self.decide(peer, &reports, domain).is_ok()).cloned().collect();
        let (key, is_learned) = (key.clone(), peer.learned.is_some());
        for domain in accepted {
            self.owners.learn(&domain, &key, is_learned);
        }
    }

    /// Logs the refused parts of a peer's catalog, in one line.
    pub(super) fn log_refusals(&self, index: usize) {
        let Some(known) = self.peers.get(&index) else { return };
        let claims = self.claims();
        let refused = claims.refused_of(index);
        if let Some(Refusal { domain, reason, .. }) = refused.first() {
            tracing::warn!(node = %known.peer.id(), %domain, refused = refused.len(), "a claim is refused: {reason}");
        }
        if let Some(fault) = known.faults.first() {
            tracing::warn!(node = %known.peer.id(), "a part of the node's catalog is refused: {fault}");
        }
    }

    /// Returns the key by which a peer owns a domain, or the reason why it does not. `reports` are those of the peer.
    fn decide<'a>(
        &self,
        peer: &'a KnownPeer,
        reports: &[Report<'_>],
        domain: &DomainName,
    ) -> Result<&'a OwnerKey, String> {
        let key = match &peer.owner {
            Some(Ok(key)) => Ok(key),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("it has not proven its key".to_owned()),
        };
        if self.local.contains_key(domain) {
            return match key {
                // The peer is a replica of this engine.
                Ok(key) if Some(key) == self.owners.own() => Ok(key),
                Ok(key) => Err(format!("this node owns the domain, and the key of the peer is {key}")),
                Err(reason) => Err(format!("this node owns the domain, and the peer proves no key: {reason}")),
            };
        }
        let refusal = match &peer.learned {
            None => self.not_permitted(peer.allowed.as_ref(), domain, "this peer"),
            Some(_) => self.not_reported(reports, domain),
        };
        if let Some(reason) = refusal {
            return Err(reason);
        }
        let key = key?;
        match self.owners.refusal(domain, key, peer.learned.is_some()) {
            Some(reason) => Err(reason),
            None => Ok(key),
        }
    }

    /// Returns why no report makes a learned peer the owner of the domain. `None` if one of the reports does.
    fn not_reported(&self, reports: &[Report<'_>], domain: &DomainName) -> Option<String> {
        let reports = reports.iter().filter(|report| report.domains.contains(domain));
        let mut refusals =
            reports.map(|report| self.not_permitted(report.permitted, domain, "the node that reports this peer"));
        let Some(first) = refusals.next() else {
            let reason = "the node that reports this peer does not report it as the owner of this domain";
            return Some(format!("{reason}: if it is, list it in `peers` of the local node"));
        };
        first.filter(|_| refusals.all(|refusal| refusal.is_some()))
    }

    /// Returns why the config does not permit a peer with these `domains` to own the domain. `None` if it does. `node`
    /// is the peer in words.
    fn not_permitted(
        &self,
        permitted: Option<&BTreeSet<DomainName>>,
        domain: &DomainName,
        node: &str,
    ) -> Option<String> {
        match permitted {
            Some(permitted) if !permitted.contains(domain) => {
                Some(format!("the config does not name it in `domains` of {node}"))
            }
            None if self.is_given(domain) => {
                Some("the config gives the domain to other peers, in their `domains`".to_owned())
            }
            _ => None,
        }
    }

    /// True if the config names peers that may own the domain.
    fn is_given(&self, domain: &DomainName) -> bool {
        // A learned peer has the domains of its reporter, which is in the config.
        let in_config = self.peers.values().filter(|peer| peer.learned.is_none());
        in_config.filter_map(|peer| peer.allowed.as_ref()).any(|allowed| allowed.contains(domain))
    }
}

impl KnownPeer {
    /// Compares two replicas. The one to query first is the smaller one: it accepts fragments, and is the nearest.
    fn compare(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then(self.distance().total_cmp(&other.distance()))
    }

    fn rank(&self) -> u8 {
        match self.state {
            NodeState::Up | NodeState::Itself if self.peer.takes_fragments() != Some(false) => 0,
            NodeState::Up | NodeState::Itself => 1,
            NodeState::Unknown => 2,
            NodeState::Down => 3,
        }
    }

    /// Returns the time of a small transfer, in seconds. Small variations of the link do not change it, so that queries
    /// go to the same replica.
    fn distance(&self) -> f64 {
        self.reported_link.latency.as_secs_f64() + COMPARED_BYTES / self.reported_link.bandwidth
    }
}
