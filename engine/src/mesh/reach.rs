//! The domains of other nodes that a node reaches, as nodes report them to each other. A part of a plan can be
//! delegated to a node that reaches its domains.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_catalog::DomainName;
use portolan_connectors::{OwnerKey, Reach};

use super::claims::Claims;
use super::known_peer::KnownPeer;
use super::{Link, MeshState};

impl KnownPeer {
    /// Updates the reported figures of the link.
    pub(super) fn report_link(&mut self) {
        let now = self.meter.link();
        if now.differs(self.reported_link) {
            self.reported_link = now;
        }
    }
}

/// Returns the domains of other nodes that this node can send fragments to now, in the order of their names. A domain
/// with replicas has the link to the nearest one.
pub(super) fn reached(state: &MeshState, claims: &Claims<'_>) -> Vec<Reach> {
    let others = claims.accepted.iter().filter(|(domain, _)| !state.local.contains_key(**domain));
    let reaches = others.filter_map(|(domain, replicas)| {
        let nearest = replicas.iter().find(|claim| claim.peer.takes_fragments())?;
        let Link { latency, bandwidth } = nearest.peer.reported_link;
        let owner = nearest.key.clone();
        Some(Reach { domain: (*domain).clone(), owner, latency_ms: latency.as_secs_f64() * 1e3, bandwidth })
    });
    reaches.collect()
}

/// Returns a version that changes only if the owners change, or the figures change much. Peers fetch the whole catalog
/// again after each change, so small variations of a link must not show.
pub(super) fn version(reached: &[Reach]) -> String {
    let power = |figure: f64| figure.log2().round() as i64;
    let part = |r: &Reach| format!("{}:{}:{}:{}", r.domain, r.owner, power(r.latency_ms), power(r.bandwidth));
    reached.iter().map(part).collect::<Vec<_>>().join(",")
}

/// Reads a peer's report, and ignores invalid entries.
pub(super) fn understand(sent: Vec<Reach>) -> BTreeMap<DomainName, (OwnerKey, Link)> {
    let link = |reach: &Reach| {
        let latency = Duration::try_from_secs_f64(reach.latency_ms / 1e3).ok()?;
        let is_sane = reach.bandwidth.is_finite() && reach.bandwidth > 0.0;
        is_sane.then_some(Link { latency, bandwidth: reach.bandwidth })
    };
    sent.into_iter().filter_map(|reach| Some((reach.domain.clone(), (reach.owner.clone(), link(&reach)?)))).collect()
}
