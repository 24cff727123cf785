//! Requests the catalogs of peers, at once and then at an interval. A peer that does not respond keeps its last known
//! catalog.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use portolan_catalog::NodeState;
use portolan_connectors::CatalogAnswer;

use super::{Mesh, reach};

/// The interval while nothing is known about a peer, so that a starting mesh is complete sooner.
const FIRST_CONTACT_INTERVAL: Duration = Duration::from_millis(250);
/// The number of responses after which the normal interval applies. The link is measured sooner this way, and the
/// domains that a peer reaches change while a mesh starts.
const FIRST_ANSWERS: usize = 8;
/// The timeout of a response. A peer that takes longer is down.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests the catalog of the peer at `index` at intervals, until the mesh is dropped.
pub(super) async fn keep_fresh(mesh: Weak<Mesh>, index: usize, interval: Duration) {
    let mut answers = 0;
    loop {
        let pause = {
            let Some(mesh) = mesh.upgrade() else { return };
            ask(&mesh, index).await;
            answers += usize::from(mesh.with_state(|state| state.peers[index].version.is_some()));
            if answers > FIRST_ANSWERS { interval } else { FIRST_CONTACT_INTERVAL.min(interval) }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Requests the catalog of the peer at `index` once, and records the response.
pub(super) async fn ask(mesh: &Mesh, index: usize) {
    let (peer, version) =
        mesh.with_state(|state| (state.peers[index].peer.clone(), state.peers[index].version.clone()));
    let asked = Instant::now();
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, peer.catalog(version.as_deref())).await;
    let took = asked.elapsed();
    mesh.change(|state| {
        let known = &mut state.peers[index];
        match answer {
            Ok(Ok(answer)) => {
                if known.state != NodeState::Up {
                    tracing::info!(node = %peer.id(), "node is up");
                }
                known.state = NodeState::Up;
                known.last_seen = Some(SystemTime::now());
                known.error = None;
                match answer {
                    CatalogAnswer::Unchanged => known.meter.record_round_trip(took),
                    CatalogAnswer::Changed { version, domains, reaches } => {
                        known.version = Some(version);
                        known.domains = domains.into_iter().map(Arc::new).collect();
                        known.reaches = Arc::new(reach::understand(reaches));
                    }
                }
            }
            Ok(Err(error)) => down(known, error.chain()),
            Err(_) => down(known, format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        }
    });
}

fn down(known: &mut super::KnownPeer, error: String) {
    if known.state == NodeState::Up {
        tracing::warn!(node = %known.peer.id(), %error, "node is down");
    }
    known.state = NodeState::Down;
    known.error = Some(error);
}
