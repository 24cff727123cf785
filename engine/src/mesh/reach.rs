//! The domains of other nodes that a node reaches, as nodes report them to each other. A part of a plan can be
//! delegated to a node that reaches its domains.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_catalog::{DomainName, NodeState};
use portolan_connectors::Reach;

use super::{KnownPeer, Link, MeshState};

/// The factor by which a link must change before the new figures are reported.
const WORTH_TELLING: f64 = 2.0;

impl KnownPeer {
    /// Updates the reported figures of the link.
    pub(super) fn tell_link(&mut self) {
        let (now, told) = (self.meter.link(), self.told);
        let differs = |a: f64, b: f64| a.max(b) > a.min(b) * WORTH_TELLING;
        if differs(now.latency.as_secs_f64(), told.latency.as_secs_f64()) || differs(now.bandwidth, told.bandwidth) {
            self.told = now;
        }
    }

    /// True if fragments can be sent to the peer now.
    fn takes_fragments(&self) -> bool {
        self.state == NodeState::Up && self.peer.takes_fragments() != Some(false)
    }
}

/// Returns the domains of other nodes that this node can send fragments to now. Domains that two nodes claim are left
/// out, because this node refuses them.
pub(super) fn reached(state: &MeshState) -> Vec<Reach> {
    let mut claims: BTreeMap<&DomainName, usize> = state.local.keys().map(|domain| (domain, 1)).collect();
    for domain in state.peers.iter().flat_map(|p| &p.domains) {
        *claims.entry(&domain.domain).or_default() += 1;
    }
    let mut reached = vec![];
    for peer in state.peers.iter().filter(|p| p.takes_fragments()) {
        let Link { latency, bandwidth } = peer.told;
        let latency_ms = latency.as_secs_f64() * 1e3;
        let domains = peer.domains.iter().map(|d| &d.domain).filter(|domain| claims.get(domain) == Some(&1));
        reached.extend(domains.map(|domain| Reach { domain: domain.clone(), latency_ms, bandwidth }));
    }
    reached.sort_by(|a, b| a.domain.cmp(&b.domain));
    reached
}

/// Returns a version that changes only if the figures change much. Peers fetch the whole catalog again after each
/// change, so small variations of a link must not show.
pub(super) fn version(reached: &[Reach]) -> String {
    let power = |figure: f64| figure.log2().round() as i64;
    let parts = reached.iter().map(|r| format!("{}:{}:{}", r.domain, power(r.latency_ms), power(r.bandwidth)));
    parts.collect::<Vec<_>>().join(",")
}

/// Reads a peer's report, and ignores invalid entries.
pub(super) fn understand(told: Vec<Reach>) -> BTreeMap<DomainName, Link> {
    let link = |reach: &Reach| {
        let latency = Duration::try_from_secs_f64(reach.latency_ms / 1e3).ok()?;
        let is_sane = reach.bandwidth.is_finite() && reach.bandwidth > 0.0;
        is_sane.then_some(Link { latency, bandwidth: reach.bandwidth })
    };
    told.into_iter().filter_map(|reach| Some((reach.domain.clone(), link(&reach)?))).collect()
}
