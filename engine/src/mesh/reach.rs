//! Which domains of others a node reaches, as nodes tell one another: whom a part of a plan can be delegated to.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_catalog::{DomainName, NodeState};
use portolan_connectors::Reach;

use super::{KnownPeer, Link, MeshState};

/// A link that changed by no more than this factor is told as it was.
const WORTH_TELLING: f64 = 2.0;

impl KnownPeer {
    /// Brings what others are told of the link up to date.
    pub(super) fn tell_link(&mut self) {
        let (now, told) = (self.meter.link(), self.told);
        let differs = |a: f64, b: f64| a.max(b) > a.min(b) * WORTH_TELLING;
        if differs(now.latency.as_secs_f64(), told.latency.as_secs_f64()) || differs(now.bandwidth, told.bandwidth) {
            self.told = now;
        }
    }

    /// Whether fragments can be sent to it now.
    fn takes_fragments(&self) -> bool {
        self.state == NodeState::Up && self.peer.takes_fragments() != Some(false)
    }
}

/// The domains of other nodes that this node can send fragments to now. Not those that two nodes claim: they are refused
/// here.
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

/// Changes where it matters: peers fetch the whole catalog again then, so links that only tremble must not show.
pub(super) fn version(reached: &[Reach]) -> String {
    let power = |figure: f64| figure.log2().round() as i64;
    let parts = reached.iter().map(|r| format!("{}:{}:{}", r.domain, power(r.latency_ms), power(r.bandwidth)));
    parts.collect::<Vec<_>>().join(",")
}

/// What a peer said, without what makes no sense.
pub(super) fn understand(told: Vec<Reach>) -> BTreeMap<DomainName, Link> {
    let link = |reach: &Reach| {
        let latency = Duration::try_from_secs_f64(reach.latency_ms / 1e3).ok()?;
        let is_sane = reach.bandwidth.is_finite() && reach.bandwidth > 0.0;
        is_sane.then_some(Link { latency, bandwidth: reach.bandwidth })
    };
    told.into_iter().filter_map(|reach| Some((reach.domain.clone(), link(&reach)?))).collect()
}
