//! The peers that a node reports to other nodes. It reports only the peers in its config, and none that it has learned
//! itself: learning is one step, so rings of nodes end, and each list follows from one config.

use std::collections::BTreeMap;

use portolan_connectors::ReportedPeer;

use super::claims::Claims;

/// The largest number of peers that a node reports to another one, and that a node accepts from another one.
pub(super) const MAX_REPORTED: usize = 64;

/// Returns the peers that this node reports: those that own a domain, as far as this node knows, in the order of the
/// config. A peer that is down stays in the report, as its catalog stays in use.
pub(super) fn peers(claims: &Claims<'_>) -> Vec<ReportedPeer> {
    let in_config = claims.accepted.values().flatten().filter(|claim| claim.peer.learned.is_none());
    let owners: BTreeMap<_, _> = in_config.map(|claim| (claim.index, claim)).collect();
    let peers = owners.values().map(|c| ReportedPeer { url: c.peer.peer.id().to_string(), key: c.key.clone() });
    // A URL may hold a password, which stays here.
    peers.filter(|peer| !peer.url.contains('@')).take(MAX_REPORTED).collect()
}

/// Returns a version that changes with the report.
pub(super) fn version(peers: &[ReportedPeer]) -> String {
    peers.iter().map(|peer| format!("{}={}", peer.url, peer.key)).collect::<Vec<_>>().join(",")
}
