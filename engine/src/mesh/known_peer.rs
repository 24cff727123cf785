//! A peer as this engine knows it: its last answer, its state, and the link to it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portolan_catalog::{DomainCatalog, DomainName, NodeState, check_received};
use portolan_connectors::{CatalogAnswer, OwnerKey, Peer, PeerCatalog, ReportedPeer};

use super::learned::{self, Learned};
use super::link::{Link, LinkMeter};
use super::{LinkOverride, reach};
use crate::{Error, ErrorKind};

/// The longest identity of a process that is remembered, in bytes.
const MAX_PROCESS_BYTES: usize = 128;

/// True if the peer has answered, and does not accept this engine. A site reports such an answer as its cause.
fn is_refusal(error: &Error) -> bool {
    let refuses = |error: &Error| matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::PermissionDenied);
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Error>());
    refuses(error) || cause.is_some_and(refuses)
}

/// The options of a peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerOptions {
    /// The speed of the link to the peer. What is not set is measured.
    pub link: LinkOverride,
    /// The domains that the peer may own. No peer without them may own one of these domains. `None`: any other domain.
    pub domains: Option<BTreeSet<DomainName>>,
    /// True if this engine also uses the peers that the peer reports. `domains` holds for them too.
    pub learn_peers: bool,
}

/// A peer, and what this engine knows about it.
#[derive(Debug)]
pub(super) struct KnownPeer {
    pub(super) peer: Arc<dyn Peer>,
    pub(super) meter: Arc<LinkMeter>,
    /// The domains that the peer may own, if the config names them.
    pub(super) allowed: Option<BTreeSet<DomainName>>,
    /// The report that this engine knows the peer from. `None` for a peer in the config.
    pub(super) learned: Option<Learned>,
    /// True if this engine uses the peers that the peer reports.
    pub(super) is_learned_from: bool,
    /// The identity of the process that sent the last answer, if it is not too long.
    pub(super) process: Option<String>,
    /// True if the peer is this engine itself.
    pub(super) is_self: bool,
    /// The version of the catalog in the last answer.
    pub(super) version: Option<String>,
    /// The key that the peer proved with its last answer, or the reason why it proved none. `None` without an answer.
    pub(super) owner: Option<Result<OwnerKey, String>>,
    /// The catalogs of the domains that the peer claims, without invalid entries.
    pub(super) claims: Vec<Arc<DomainCatalog>>,
    /// The invalid entries in its catalogs.
    pub(super) faults: Vec<String>,
    /// The domains of other nodes that the peer reaches, and their owners as the peer knows them.
    pub(super) reaches: Arc<BTreeMap<DomainName, (OwnerKey, Link)>>,
    /// The peers that the peer reports. Empty if this engine does not use them.
    pub(super) reported: Vec<ReportedPeer>,
    /// The reported peers that this engine does not use, with the reasons.
    pub(super) unused: Vec<String>,
    /// The link to the peer, as this engine last reported it to other peers.
    pub(super) reported_link: Link,
    pub(super) state: NodeState,
    /// True if the peer has refused a request since its last answer: it does not accept the credentials of this engine.
    /// After some refusals, it may not answer at all for a while.
    refuses: bool,
    pub(super) last_seen: Option<SystemTime>,
    pub(super) error: Option<String>,
}

impl KnownPeer {
    pub(super) fn new(peer: Arc<dyn Peer>, options: PeerOptions) -> Self {
        let meter = Arc::new(LinkMeter::new(options.link));
        Self {
            peer,
            reported_link: meter.link(),
            meter,
            allowed: options.domains,
            learned: None,
            is_learned_from: options.learn_peers,
            process: None,
            is_self: false,
            version: None,
            owner: None,
            claims: vec![],
            faults: vec![],
            reaches: Arc::default(),
            reported: vec![],
            unused: vec![],
            state: NodeState::Unknown,
            refuses: false,
            last_seen: None,
            error: None,
        }
    }

    /// True if fragments can be sent to the peer now.
    pub(super) fn takes_fragments(&self) -> bool {
        self.state == NodeState::Up && self.peer.takes_fragments() != Some(false)
    }

    /// Records an answer, which took this time. `instance` is the identity of this engine. Returns false if the answer
    /// says that nothing has changed, and the last answer was not that of the same owner: the engine must request the
    /// catalog again, as a whole.
    pub(super) fn answered(&mut self, sent: PeerCatalog, instance: &str, took: Duration) -> bool {
        let PeerCatalog { instance: process, owner, answer } = sent;
        let is_self = process == instance;
        let is_same = self.is_self == is_self && self.owner.as_ref() == Some(&owner);
        if !is_same {
            self.forget();
        }
        let state = if is_self { NodeState::Itself } else { NodeState::Up };
        if self.state != state {
            tracing::info!(node = %self.peer.id(), is_self, "node is up");
        }
        self.state = state;
        self.refuses = false;
        self.last_seen = Some(SystemTime::now());
        self.error = None;
        let is_proven = owner.is_ok();
        let distrust = self.learned.as_ref().and_then(|learned| learned.distrust(&owner));
        (self.is_self, self.owner) = (is_self, Some(owner));
        self.process = Some(process).filter(|process| process.len() <= MAX_PROCESS_BYTES);
        match answer {
            CatalogAnswer::Unchanged => {
                self.meter.record_round_trip(took);
                return is_same;
            }
            // Nobody needs the catalog of this engine from a peer.
            CatalogAnswer::Changed { version, .. } if is_self => self.version = Some(version),
            // Anybody can be at a reported URL, so the catalog takes no memory. It is requested again at the interval.
            CatalogAnswer::Changed { .. } if distrust.is_some() => {
                self.forget();
                self.faults.extend(distrust);
            }
            CatalogAnswer::Changed { version, domains, reaches, peers } => {
                self.version = Some(version);
                let (valid, faults) = check_received(domains);
                self.claims = valid.into_iter().map(Arc::new).collect();
                self.faults = faults;
                self.reaches = Arc::new(reach::understand(reaches));
                if self.is_learned_from && is_proven {
                    self.reported = learned::accepted(peers, &mut self.faults);
                }
            }
        }
        true
    }

    /// Records that the peer did not answer, or refused to. The log has one line for each change of the state.
    pub(super) fn went_down(&mut self, error: &Error) {
        let (node, said, refuses) = (self.peer.id(), error.chain(), is_refusal(error));
        match self.state {
            _ if refuses && !self.refuses => tracing::warn!(%node, error = %said, "node refuses this node"),
            NodeState::Up | NodeState::Itself => tracing::warn!(%node, error = %said, "node is down"),
            NodeState::Unknown => tracing::info!(%node, error = %said, "node does not respond"),
            NodeState::Down => {}
        }
        self.state = NodeState::Down;
        self.refuses |= refuses;
        self.error = Some(said);
    }

    /// Drops what is known from earlier answers.
    fn forget(&mut self) {
        self.version = None;
        self.claims = vec![];
        self.faults = vec![];
        self.reaches = Arc::default();
        self.reported = vec![];
        self.unused = vec![];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_silence() {
        let login = || Error::new(ErrorKind::Unauthenticated, "user or password is wrong");
        assert!(is_refusal(&login()));
        assert!(is_refusal(
            &Error::new(ErrorKind::SiteUnavailable, "the peer rejects the credentials").with_source(login())
        ));
        assert!(is_refusal(&Error::new(ErrorKind::PermissionDenied, "not trusted")));
        assert!(!is_refusal(&Error::new(ErrorKind::SiteUnavailable, "connection refused")));
        assert!(!is_refusal(&Error::new(ErrorKind::SiteUnavailable, "down").with_source("a cause")));
    }
}
