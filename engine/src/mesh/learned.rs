//! The peers that this node learns from the reports of its peers, if the config permits it. A learned peer owns only
//! domains for which it is reported, by its reporter or another one, and these by the same rules as a peer in the
//! config. It is removed when its reporter no longer reports it.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_catalog::{DomainName, MAX_DOMAINS, NodeState, printable};
use portolan_connectors::{OwnerKey, Peer, ReportedPeer};

use super::known_peer::KnownPeer;
use super::reported::MAX_REPORTED;
use super::{Mesh, MeshState, PeerOptions};
use crate::{Error, ErrorKind, Result};

/// The largest number of learned peers. Those of one reporter are at most [`MAX_REPORTED`], also if its reports differ.
const MAX_LEARNED: usize = 256;
/// The longest URL, key and domain in a report, in bytes.
const MAX_TEXT_BYTES: usize = 512;
/// The number of further requests to a learned peer that is no longer reported. A reporter that has restarted reports a
/// peer again once it has the peer's catalog.
const REQUESTS_WITHOUT_REPORT: u32 = 3;

/// The report that a peer is known from.
#[derive(Debug)]
pub(super) struct Learned {
    /// The number of the peer that reports it.
    pub(super) reporter: usize,
    /// The last report. The peer must prove its key.
    report: ReportedPeer,
    /// The number of requests since the last report.
    requests: u32,
}

/// A report about a learned peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    /// The domains of which the peer is reported as the owner.
    pub(super) domains: &'a BTreeSet<DomainName>,
    /// The domains that the reporter and its peers may own, if the config names them.
    pub(super) permitted: Option<&'a BTreeSet<DomainName>>,
}

impl Learned {
    /// Returns why the catalog of the peer does not count. `None` if the peer has proven the reported key.
    pub(super) fn distrust(&self, proven: &Result<OwnerKey, String>) -> Option<String> {
        let reported = &self.report.key;
        match proven {
            Ok(key) if key == reported => None,
            Ok(key) => {
                let reported = printable(reported.as_str());
                Some(format!("its key is {key}, but the node that reports it reports the key {reported}"))
            }
            Err(reason) => Some(reason.clone()),
        }
    }
}

/// Returns the entries of a report that can be used. Adds the others to `faults`.
pub(super) fn accepted(sent: Vec<ReportedPeer>, faults: &mut Vec<String>) -> Vec<ReportedPeer> {
    let count = sent.len();
    let mut urls = BTreeSet::new();
    let mut accepted = vec![];
    for peer in sent.into_iter().take(MAX_REPORTED) {
        let texts = [peer.url.as_str(), peer.key.as_str()];
        let is_long =
            texts.into_iter().chain(peer.domains.iter().map(DomainName::as_str)).any(|t| t.len() > MAX_TEXT_BYTES);
        if is_long {
            faults.push(format!("a reported peer: its URL, key or a domain has more than {MAX_TEXT_BYTES} bytes"));
        } else if peer.domains.len() > MAX_DOMAINS {
            let got = peer.domains.len();
            faults.push(format!("a reported peer: expected at most {MAX_DOMAINS} domains, got {got}"));
        } else if urls.insert(peer.url.clone()) {
            accepted.push(peer);
        }
    }
    if count > MAX_REPORTED {
        faults.push(format!("reported peers: expected at most {MAX_REPORTED}, got {count}"));
    }
    accepted
}

fn too_many(bound: &str) -> Error {
    Error::new(ErrorKind::ResourceExhausted, format!("a node learns at most {bound}"))
}

impl Mesh {
    /// Learns the peers that the peer with this number reports, if the config permits it.
    pub(super) fn learn_peers(&self, reporter: usize) {
        let Some((peer, new)) = self.with_state(|state| state.unknown_peers(reporter)) else { return };
        let mut urls = BTreeSet::new();
        // A connection reads files, so the state is not locked. A peer above the largest number gets none.
        let connect = |reported: ReportedPeer| {
            urls.insert(reported.url.clone());
            let room = self.with_state(|state| state.check_room(reporter, &urls));
            let peer = room.and_then(|()| peer.reported_peer(&reported.url));
            if peer.is_err() {
                urls.remove(&reported.url);
            }
            (peer, reported)
        };
        let found = new.into_iter().map(connect).collect();
        let learned = self.change(|state| state.add_learned(reporter, found));
        self.keep_fresh(learned);
    }
}

impl MeshState {
    /// Returns the peer with this number, and the peers that it reports and this node does not know. `None` if there is
    /// nothing to learn or to forget.
    fn unknown_peers(&self, reporter: usize) -> Option<(Arc<dyn Peer>, Vec<ReportedPeer>)> {
        let known = self.peers.get(&reporter).filter(|known| known.is_learned_from)?;
        // The claims of the peers in the config come first.
        let is_unknown = |known: &KnownPeer| known.learned.is_none() && known.state == NodeState::Unknown;
        if self.peers.values().any(is_unknown) {
            return None;
        }
        let new: Vec<_> = known.reported.iter().filter(|reported| !self.knows(reported)).cloned().collect();
        (!new.is_empty() || !known.unused.is_empty()).then(|| (known.peer.clone(), new))
    }

    /// True if a reported peer is this node, a replica of this node, or at the URL of a known peer. A peer from a
    /// report with a wrong key is not known if this report has the right one.
    fn knows(&self, reported: &ReportedPeer) -> bool {
        let is_known = |known: &KnownPeer| {
            let is_other = known.learned.as_ref().is_some_and(|learned| learned.report.key != reported.key);
            let is_right = matches!(&known.owner, Some(Ok(key)) if *key == reported.key);
            known.peer.id().as_str() == reported.url && !(is_other && is_right)
        };
        self.owners.own() == Some(&reported.key) || self.peers.values().any(is_known)
    }

    /// Checks that the reporter can add learned peers at these URLs. They replace those that are at the URLs.
    fn check_room(&self, reporter: usize, urls: &BTreeSet<String>) -> Result<()> {
        let others = self.peers.values().filter(|known| !urls.contains(known.peer.id().as_str()));
        let reporters: Vec<usize> = others.filter_map(|known| Some(known.learned.as_ref()?.reporter)).collect();
        let of_reporter = reporters.iter().filter(|other| **other == reporter).count();
        if of_reporter + urls.len() > MAX_REPORTED {
            return Err(too_many(&format!("{MAX_REPORTED} peers from one peer")));
        }
        if reporters.len() + urls.len() > MAX_LEARNED {
            return Err(too_many(&format!("{MAX_LEARNED} peers")));
        }
        Ok(())
    }

    /// Adds the peers that the reporter reports, and returns their numbers.
    fn add_learned(&mut self, reporter: usize, found: Vec<(Result<Arc<dyn Peer>>, ReportedPeer)>) -> Vec<usize> {
        let Some(domains) = self.peers.get(&reporter).map(|known| known.allowed.clone()) else { return vec![] };
        let (mut learned, mut unused) = (vec![], vec![]);
        for (peer, reported) in found {
            let shown = printable(&reported.url).into_owned();
            // Another reporter may have used the places in the meantime.
            let room = self.check_room(reporter, &BTreeSet::from([reported.url.clone()]));
            match peer.and_then(|peer| room.map(|()| peer)) {
                // Another peer has reported it in the meantime.
                _ if self.knows(&reported) => {}
                Err(error) => unused.push(format!("reported peer `{shown}`: {}", printable(&error.chain()))),
                Ok(peer) => {
                    tracing::info!(node = %peer.id(), "a peer is learned");
                    // What is at the URL was learned from a report with a wrong key.
                    self.peers.retain(|_, known| known.peer.id().as_str() != reported.url);
                    let options = PeerOptions { domains: domains.clone(), ..PeerOptions::default() };
                    let origin = Learned { reporter, report: reported, requests: 0 };
                    let known = KnownPeer { learned: Some(origin), ..KnownPeer::new(peer, options) };
                    learned.push(self.add_peer(known));
                }
            }
        }
        if let Some(known) = self.peers.get_mut(&reporter) {
            if let Some(reason) = unused.first().filter(|_| known.unused != unused) {
                tracing::warn!(node = %known.peer.id(), "a reported peer is not used: {reason}");
            }
            known.unused = unused;
        }
        learned
    }

    /// Compares a learned peer with the last report, before its answer counts. Removes a peer that is no longer
    /// reported.
    pub(super) fn check_report(&mut self, index: usize) {
        let Some(known) = self.peers.get(&index) else { return };
        let Some(Learned { reporter, .. }) = &known.learned else { return };
        let reports = self.peers.get(reporter).map_or(&[][..], |reporter| reporter.reported.as_slice());
        let report = reports.iter().find(|reported| reported.url == known.peer.id().as_str()).cloned();
        let Some(known) = self.peers.get_mut(&index) else { return };
        let Some(learned) = &mut known.learned else { return };
        match report {
            Some(report) => (learned.report, learned.requests) = (report, 0),
            None if learned.requests < REQUESTS_WITHOUT_REPORT => learned.requests += 1,
            None => {
                tracing::info!(node = %known.peer.id(), "a learned peer is no longer reported, and is removed");
                self.peers.remove(&index);
            }
        }
    }

    /// Returns the reports about a learned peer: that from which it is known, and those of any reporter with the same
    /// URL and key. So no reporter can take away the domains for which another one reports the peer.
    pub(super) fn reports<'a>(&'a self, peer: &'a KnownPeer) -> Vec<Report<'a>> {
        let Some(Learned { report, .. }) = &peer.learned else { return vec![] };
        let own = Report { domains: &report.domains, permitted: peer.allowed.as_ref() };
        let reporters = self.peers.values().filter(|known| known.is_learned_from);
        let all = reporters.flat_map(|known| {
            let same = known.reported.iter().filter(move |other| other.url == report.url && other.key == report.key);
            same.map(move |other| Report { domains: &other.domains, permitted: known.allowed.as_ref() })
        });
        std::iter::once(own).chain(all).collect()
    }

    /// Returns why a learned peer owns no domain, whatever it claims. `None` if the claims decide.
    pub(super) fn distrust(&self, index: usize, known: &KnownPeer) -> Option<String> {
        let distrust = known.learned.as_ref()?.distrust(known.owner.as_ref()?);
        if distrust.is_some() {
            return distrust;
        }
        // One node has one entry in the list of replicas, unless it does not answer there. Nobody else can prove its
        // key.
        let is_same = |other: &&KnownPeer| known.process.is_some() && known.process == other.process;
        let before = self.peers.range(..index).map(|(_, other)| other).filter(|other| other.state != NodeState::Down);
        let same = before.filter(is_same).find(|other| other.owner == known.owner)?;
        Some(format!("it is the node {}, which this node knows already", same.peer.id()))
    }
}
