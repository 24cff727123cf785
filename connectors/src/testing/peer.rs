//! A peer without a network. It returns the answers that a test sets, or those of another peer, and records the calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use portolan_catalog::DomainCatalog;

use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{
    FragmentEstimate, FragmentItem, FragmentRequest, FragmentStream, FragmentSummary, OperatorMetrics, RelayedMessage,
};
use crate::peer::{CatalogAnswer, OwnerKey, Peer, PeerCatalog, Reach, ReportedPeer};
use crate::poison::lock;
use crate::site::{Site, SiteId};

/// The size of a fake peer's batch on the wire, in bytes.
const WIRE_BYTES: usize = 77;

/// A peer that returns the answers that a test sets, or those of another peer, and records the calls.
#[derive(Debug)]
pub struct FakePeer {
    id: SiteId,
    inner: Option<Arc<dyn Peer>>,
    state: Mutex<PeerState>,
    abandoned: AtomicUsize,
}

#[derive(Debug, Default)]
struct PeerState {
    /// The version and the domains; `None` if the peer is down.
    catalog: Option<(String, Vec<DomainCatalog>)>,
    /// The process and the key of the peer. `None` if the peer has no key.
    signer: Option<(String, Result<OwnerKey, String>)>,
    /// The domains of other nodes that the peer reports as reachable.
    reaches: Vec<Reach>,
    /// The peers that the peer reports, each with the fake peer at its URL.
    reported: Vec<(ReportedPeer, Option<Arc<FakePeer>>)>,
    /// The number of connections to reported peers.
    connections: usize,
    /// The rows of every fragment.
    rows: Option<RecordBatch>,
    relays: bool,
    takes_fragments: Option<bool>,
    /// True if the stream of every fragment fails after its first rows, false if it fails before them.
    breaks: Option<bool>,
    /// The number of catalog requests that the peer answers before it hangs.
    hangs_after: Option<usize>,
    /// The known versions in the catalog requests, in order.
    asked: Vec<Option<String>>,
    /// The received fragments, in order.
    requests: Vec<FragmentRequest>,
}

/// A caller of a peer that hangs.
struct Caller<'a>(&'a AtomicUsize);

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl FakePeer {
    /// Returns a peer that is up, publishes these domains at version `1`, and runs no fragments.
    pub fn new(url: &str, domains: Vec<DomainCatalog>) -> Arc<Self> {
        let state = PeerState { catalog: Some(("1".into(), domains)), ..PeerState::default() };
        Arc::new(Self { id: SiteId::new(url), inner: None, state: Mutex::new(state), abandoned: AtomicUsize::new(0) })
    }

    /// Returns a peer that passes every call on to `inner`.
    pub fn in_front_of(inner: Arc<dyn Peer>) -> Arc<Self> {
        let id = inner.id().clone();
        Arc::new(Self { id, inner: Some(inner), state: Mutex::default(), abandoned: AtomicUsize::new(0) })
    }

    /// Publishes these domains from now on. A peer that was down is up again.
    pub fn publish(&self, version: &str, domains: Vec<DomainCatalog>) {
        self.state().catalog = Some((version.to_owned(), domains));
    }

    /// Makes the peer answer as this process, with this key, or with the reason why it proves none.
    pub fn sign_as(&self, instance: &str, owner: Result<&str, &str>) {
        let owner = owner.map(OwnerKey::new).map_err(str::to_owned);
        self.state().signer = Some((instance.to_owned(), owner));
    }

    /// Sets the domains that the peer reports as reachable from the next version on.
    pub fn reach(&self, reaches: Vec<Reach>) {
        self.state().reaches = reaches;
    }

    /// Sets the peers that the peer reports from the next version on, each with the fake peer at its URL. Without a
    /// fake peer, [`Peer::reported_peer`] fails.
    pub fn report(&self, peers: Vec<(ReportedPeer, Option<Arc<Self>>)>) {
        self.state().reported = peers;
    }

    /// Returns the peer as another node reports it: with this key, and as the owner of every domain that it publishes.
    pub fn as_reported(&self, key: &str) -> ReportedPeer {
        let published = self.state().catalog.clone().map_or_else(Vec::new, |(_, domains)| domains);
        let domains = published.into_iter().map(|catalog| catalog.domain).collect();
        ReportedPeer { url: self.id.to_string(), key: OwnerKey::new(key), domains }
    }

    /// Makes the peer report that it accepts no fragments.
    pub fn refuse_fragments(&self) {
        self.state().takes_fragments = Some(false);
    }

    /// Makes the peer refuse connections from now on.
    pub fn go_down(&self) {
        self.state().catalog = None;
    }

    /// Sets the rows that answer every fragment.
    pub fn give(&self, rows: RecordBatch) {
        self.state().rows = Some(rows);
    }

    /// Makes the peer send messages for rows that are relayed. Their metadata and their bodies are the words `header` and
    /// `body`.
    pub fn relay(&self) {
        self.state().relays = true;
    }

    /// Makes the peer fail every fragment before or after its first rows from now on.
    pub fn break_streams(&self, after_rows: bool) {
        self.state().breaks = Some(after_rows);
    }

    /// Makes the peer hang after it has answered `catalogs` catalog requests. It answers no fragment.
    pub fn hang_after(&self, catalogs: usize) {
        self.state().hangs_after = Some(catalogs);
    }

    /// Returns the known versions in the catalog requests, in order.
    pub fn asked(&self) -> Vec<Option<String>> {
        self.state().asked.clone()
    }

    /// Returns the received fragments, in order.
    pub fn requests(&self) -> Vec<FragmentRequest> {
        self.state().requests.clone()
    }

    /// Returns the number of connections that were made to reported peers.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// Returns the number of callers that stopped waiting while the peer hung.
    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, PeerState> {
        lock(&self.state)
    }

    async fn hang<T>(&self) -> T {
        let _caller = Caller(&self.abandoned);
        std::future::pending().await
    }
}

#[async_trait]
impl Site for FakePeer {
    fn id(&self) -> &SiteId {
        &self.id
    }

    fn relays(&self) -> bool {
        self.state().relays || self.inner.as_ref().is_some_and(|inner| inner.relays())
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        let (hangs, breaks, rows) = {
            let mut state = self.state();
            state.requests.push(request.clone());
            (state.hangs_after.is_some(), state.breaks, state.rows.clone())
        };
        if hangs {
            return self.hang().await;
        }
        if let Some(inner) = &self.inner {
            return inner.execute(request).await;
        }
        let Some(batch) = rows else {
            return Err(Error::new(ErrorKind::SiteUnavailable, "the fake peer runs nothing"));
        };
        let operators = vec![OperatorMetrics {
            depth: 0,
            operator: "FakeExec".into(),
            metrics: "metrics=[]".into(),
            rows: Some(batch.num_rows() as u64),
            estimated_rows: None,
        }];
        let summary = FragmentSummary { rows: batch.num_rows() as u64, operators, ..FragmentSummary::default() };
        let (header, body) = (Bytes::from_static(b"header"), Bytes::from_static(b"body"));
        let rows = Ok(match request.head.relayed {
            None => FragmentItem::Batch { batch, wire_bytes: WIRE_BYTES },
            Some(_) => {
                let message = RelayedMessage { header, body, rows: batch.num_rows() };
                FragmentItem::Relayed { message, wire_bytes: WIRE_BYTES }
            }
        });
        let broken = || Err(Error::new(ErrorKind::SiteUnavailable, format!("node {}: the stream broke", self.id)));
        let items = match breaks {
            None => vec![rows, Ok(FragmentItem::Finished(summary))],
            Some(true) => vec![rows, broken()],
            Some(false) => vec![broken()],
        };
        Ok(Box::pin(futures::stream::iter(items)))
    }

    async fn estimate(&self, request: FragmentRequest) -> Result<FragmentEstimate> {
        match &self.inner {
            Some(inner) => inner.estimate(request).await,
            None => Ok(FragmentEstimate::default()),
        }
    }
}

#[async_trait]
impl Peer for FakePeer {
    async fn catalog(&self, known: Option<&str>) -> Result<PeerCatalog> {
        let hangs = {
            let mut state = self.state();
            state.asked.push(known.map(str::to_owned));
            state.hangs_after.is_some_and(|catalogs| state.asked.len() > catalogs)
        };
        if hangs {
            return self.hang().await;
        }
        if let Some(inner) = &self.inner {
            return inner.catalog(known).await;
        }
        let state = self.state();
        let answer = match &state.catalog {
            None => return Err(Error::new(ErrorKind::SiteUnavailable, "connection refused")),
            Some((version, _)) if known == Some(version) => CatalogAnswer::Unchanged,
            Some((version, domains)) => CatalogAnswer::Changed {
                version: version.clone(),
                domains: domains.clone(),
                reaches: state.reaches.clone(),
                peers: state.reported.iter().map(|(peer, _)| peer.clone()).collect(),
            },
        };
        Ok(match state.signer.clone() {
            Some((instance, owner)) => PeerCatalog { instance, owner, answer },
            None => PeerCatalog::without_key(&self.id, answer),
        })
    }

    fn reported_peer(&self, url: &str) -> Result<Arc<dyn Peer>> {
        let reported = {
            let mut state = self.state();
            state.connections += 1;
            state.reported.clone()
        };
        match reported.into_iter().find(|(peer, _)| peer.url == url) {
            Some((_, Some(peer))) => Ok(peer),
            _ => Err(Error::new(ErrorKind::InvalidQuery, "the URL is not accepted")),
        }
    }

    fn takes_fragments(&self) -> Option<bool> {
        let said = self.state().takes_fragments;
        said.or_else(|| self.inner.as_ref()?.takes_fragments())
    }
}
