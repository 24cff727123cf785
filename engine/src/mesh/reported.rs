//! The peers that a node reports to other nodes. It reports only the peers in its config, and none that it has learned
//! itself: learning is one step, so rings of nodes end, and each list follows from one config.

use std::collections::{BTreeMap, BTreeSet};

use portolan_catalog::DomainName;
use portolan_connectors::ReportedPeer;

use super::claims::Claims;

/// The largest number of peers that a node reports to another one, and that a node accepts from another one.
pub(super) const MAX_REPORTED: usize = 64;

/// Returns the peers that this node reports: those that own a domain, as far as this node knows, in the order of the
/// config, each with its domains. A peer that is down stays in the report, as its catalog stays in use.
pub(super) fn peers(claims: &Claims<'_>) -> Vec<ReportedPeer> {
    let mut owners: BTreeMap<usize, ReportedPeer> = BTreeMap::new();
    for (domain, replicas) in &claims.accepted {
        for claim in replicas.iter().filter(|claim| claim.peer.learned.is_none()) {
            let peer = || ReportedPeer {
                // Other nodes accept a host and a port.
                url: claim.peer.peer.id().as_str().trim_end_matches('/').to_owned(),
                key: claim.key.clone(),
                domains: BTreeSet::new(),
            };
            owners.entry(claim.index).or_insert_with(peer).domains.insert((*domain).clone());
        }
    }
    // A URL may hold a password, which stays here.
    owners.into_values().filter(|peer| !peer.url.contains('@')).take(MAX_REPORTED).collect()
}

/// Returns a version that changes with the report.
pub(super) fn version(peers: &[ReportedPeer]) -> String {
    let part = |peer: &ReportedPeer| {
        let domains: Vec<&str> = peer.domains.iter().map(DomainName::as_str).collect();
        // No name contains a dot.
        format!("{}={}={}", peer.url, peer.key, domains.join("."))
    };
    peers.iter().map(part).collect::<Vec<_>>().join(",")
}
