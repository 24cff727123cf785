//! Requests the catalogs of peers, at once and then at an interval. A peer that does not respond keeps its last known
//! catalog.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use portolan_catalog::NodeState;
use portolan_connectors::lock;

use super::known_peer::KnownPeer;
use super::{Mesh, MeshState};
use crate::{Error, ErrorKind};

/// The interval while nothing is known about a peer, so that a starting mesh is complete sooner.
const FIRST_CONTACT_INTERVAL: Duration = Duration::from_millis(250);
/// The number of responses after which the normal interval applies. The link is measured sooner this way, and the
/// domains that a peer reaches change while a mesh starts.
const FIRST_ANSWERS: usize = 8;
/// The timeout of a response. A peer that takes longer is down.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The outcome of a refresh: the peers that answered, and those that did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refreshed {
    /// The URLs of the peers that answered.
    pub answered: Vec<String>,
    /// The URLs of the peers that did not answer, or that refused the request, each with the reason.
    pub failed: Vec<(String, String)>,
}

impl MeshState {
    /// Returns which peers answered the last request.
    pub(super) fn refreshed(&self) -> Refreshed {
        let mut refreshed = Refreshed::default();
        for KnownPeer { peer, state, error, .. } in self.peers.values() {
            let url = peer.id().to_string();
            match state {
                NodeState::Up | NodeState::Itself => refreshed.answered.push(url),
                NodeState::Down | NodeState::Unknown => refreshed.failed.push((url, error.clone().unwrap_or_default())),
            }
        }
        refreshed
    }
}

/// Requests the catalog of the peer at `index` at intervals, until the peer is removed or the mesh is dropped.
pub(super) async fn keep_fresh(mesh: Weak<Mesh>, index: usize, interval: Duration) {
    let mut answers = 0;
    loop {
        let pause = {
            let Some(mesh) = mesh.upgrade() else { return };
            ask(&mesh, index).await;
            let known = mesh.with_state(|state| {
                let known = state.peers.get(&index)?;
                Some((known.version.is_some(), known.learned.is_some()))
            });
            let Some((has_answered, is_learned)) = known else { return };
            answers += usize::from(has_answered);
            // Another node chooses the URL of a learned peer, and must not cause many requests to it.
            let is_first_contact = answers <= FIRST_ANSWERS && !is_learned;
            if is_first_contact { FIRST_CONTACT_INTERVAL.min(interval) } else { interval }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Requests the catalog of the peer at `index`, and records the response.
pub(super) async fn ask(mesh: &Mesh, index: usize) {
    // A process that has replaced another one at its address may say that nothing has changed. It is then asked for the
    // whole catalog.
    if !ask_once(mesh, index).await {
        ask_once(mesh, index).await;
    }
    save_owners(mesh).await;
    mesh.learn_peers(index);
}

/// Requests the catalog of the peer at `index` once, and records the response. Returns false if the whole catalog must
/// be requested.
async fn ask_once(mesh: &Mesh, index: usize) -> bool {
    let known = mesh.with_state(|state| state.peers.get(&index).map(|k| (k.peer.clone(), k.version.clone())));
    let Some((peer, version)) = known else { return true };
    let asked = Instant::now();
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, peer.catalog(version.as_deref())).await;
    let took = asked.elapsed();
    mesh.change(|state| {
        state.check_report(index);
        // The config may have replaced the connection in the meantime, and the new one must prove who answers.
        let known = state.peers.get_mut(&index).filter(|known| Arc::ptr_eq(&known.peer, &peer));
        let Some(known) = known else { return true };
        let before = (known.version.clone(), known.faults.clone());
        let is_complete = match answer {
            Ok(Ok(answer)) => known.answered(answer, &mesh.instance, took),
            Ok(Err(error)) => {
                known.went_down(&error);
                true
            }
            Err(_) => {
                let what = format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
                known.went_down(&Error::new(ErrorKind::SiteUnavailable, what));
                true
            }
        };
        // A catalog of which nothing counts has no version.
        let is_new = known.version != before.0 || known.faults != before.1;
        state.learn_owners(index);
        if is_new {
            state.log_refusals(index);
        }
        is_complete
    })
}

/// Writes newly learned owners to the file, if there is one. If that fails, the next request tries again.
async fn save_owners(mesh: &Mesh) {
    let Some((file, owners)) = mesh.with_state(|state| state.owners.unsaved()) else { return };
    let (written, owners) = match tokio::task::spawn_blocking(move || (file.add(&owners), owners)).await {
        Ok(outcome) => outcome,
        // The runtime is shutting down.
        Err(_) => return,
    };
    match written {
        Ok(()) => {
            lock(&mesh.state).owners.saved(&owners);
            mesh.save_failed.store(false, Ordering::Relaxed);
        }
        // One line, not one for each request.
        Err(e) if !mesh.save_failed.swap(true, Ordering::Relaxed) => {
            tracing::warn!("the owners of domains are forgotten when this node ends: {}", e.chain());
        }
        Err(_) => {}
    }
}
