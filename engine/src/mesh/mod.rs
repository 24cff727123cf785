//! The mesh as this engine knows it: the domains that the engine owns, its peers, and the immutable snapshot that each
//! query plans against.

mod changes;
mod claims;
mod known_peer;
mod learned;
mod link;
mod local_domains;
mod owners;
mod owners_file;
mod policies;
mod reach;
mod refresh;
mod reported;
mod view;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use portolan_catalog::{DomainCatalog, DomainName, MeshSnapshot, NodeLocation};
use portolan_connectors::{CatalogAnswer, LocalDomain, Peer, Reach, ReportedPeer, Site, SiteCosts, SiteId, lock};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use self::known_peer::KnownPeer;
pub use self::known_peer::PeerOptions;
pub use self::link::LinkOverride;
pub(crate) use self::link::{Link, LinkMeter, StreamMeter};
pub(crate) use self::owners::Owners;
use self::policies::DomainPolicies;
pub(crate) use self::policies::{FilterCheck, resolve_policies};
pub use self::refresh::Refreshed;
pub(crate) use self::view::{GuardedPorts, MeshView, Replica};
use crate::{Error, ErrorKind, Result};

/// The mesh as this engine knows it.
#[derive(Debug)]
pub(crate) struct Mesh {
    /// The identity of this engine. Each process has another one, also with the same key.
    instance: String,
    state: Mutex<MeshState>,
    view: ArcSwap<MeshView>,
    refresher: Mutex<Refresher>,
    /// True if the owners of domains could not be written to their file at the last attempt.
    save_failed: AtomicBool,
    /// A weak reference to the mesh itself, for the tasks that fetch the peers' catalogs.
    me: Weak<Mesh>,
}

/// The requester of a catalog, which decides what the answer contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogReader {
    /// A trusted node. It gets all statistics, and must not show those of classified columns to any principal. It also
    /// gets the peers.
    TrustedNode,
    /// Another node from which fragments are accepted. It gets the peers, and no statistics of classified columns
    /// except their widths.
    Node,
    /// Any other caller. It gets neither.
    Other,
}

/// The tasks that fetch the peers' catalogs.
#[derive(Debug, Default)]
struct Refresher {
    /// The runtime of the tasks, and the interval. `None` until they are started.
    schedule: Option<(Handle, Duration)>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

/// The local domains and the peers, as this engine knows them now.
#[derive(Debug, Default)]
struct MeshState {
    local: BTreeMap<DomainName, LocalDomain>,
    /// The policies of the local domains that have any.
    policies: BTreeMap<DomainName, DomainPolicies>,
    /// The check of the SQL conditions of policies; `None` checks them when a query needs them.
    filter_check: Option<FilterCheck>,
    /// The peers by their numbers, in the order in which they were added. A number is used once.
    peers: BTreeMap<usize, KnownPeer>,
    /// The number of the next peer.
    next_peer: usize,
    owners: Owners,
    /// The meters of the links to the sites that have rows of local ports.
    site_meters: BTreeMap<SiteId, Arc<LinkMeter>>,
    /// The first view of the present version.
    first_of_version: Arc<MeshView>,
}

impl Mesh {
    /// As [`Self::open`], without a check of the SQL conditions of policies.
    #[cfg(test)]
    pub(crate) fn new(
        domains: Vec<LocalDomain>,
        peers: Vec<(Arc<dyn Peer>, PeerOptions)>,
        owners: Owners,
    ) -> Result<Arc<Self>> {
        Self::open(domains, peers, owners, None)
    }

    /// Returns the mesh of these local domains and peers.
    ///
    /// # Errors
    /// Two domains of one name.
    pub(crate) fn open(
        domains: Vec<LocalDomain>,
        peers: Vec<(Arc<dyn Peer>, PeerOptions)>,
        owners: Owners,
        filter_check: Option<FilterCheck>,
    ) -> Result<Arc<Self>> {
        let mut state = MeshState { owners, filter_check, ..MeshState::default() };
        for domain in local_domains::by_name(domains)?.into_values() {
            state.put_local(domain);
        }
        for (peer, options) in peers {
            state.add_peer(KnownPeer::new(peer, options));
        }
        state.measure_sites();
        let view = ArcSwap::new(state.next_view());
        Ok(Arc::new_cyclic(|me| Self {
            instance: Uuid::new_v4().to_string(),
            state: Mutex::new(state),
            view,
            refresher: Mutex::default(),
            save_failed: AtomicBool::new(false),
            me: me.clone(),
        }))
    }

    /// Starts one task for each peer, which fetches the peer's catalog every `interval` until the mesh is dropped.
    pub(crate) fn start_refreshing(&self, interval: Duration) -> Result<()> {
        let handle = Handle::try_current().map_err(|e| {
            Error::new(ErrorKind::Internal, "an engine must be built on a tokio runtime").with_source(e)
        })?;
        lock(&self.refresher).schedule = Some((handle, interval));
        self.keep_fresh(self.peers());
        Ok(())
    }

    /// Starts the tasks of these peers, if those of the other peers were started.
    fn keep_fresh(&self, peers: Vec<usize>) {
        let mut refresher = lock(&self.refresher);
        let Refresher { schedule: Some((handle, interval)), tasks } = &mut *refresher else { return };
        let task = |index| AbortOnDropHandle::new(handle.spawn(refresh::keep_fresh(self.me.clone(), index, *interval)));
        // The tasks of removed peers have ended.
        tasks.retain(|task| !task.is_finished());
        tasks.extend(peers.into_iter().map(task));
    }

    /// Returns the numbers of the peers.
    fn peers(&self) -> Vec<usize> {
        self.with_state(|state| state.peers.keys().copied().collect())
    }

    /// Returns the identity of this engine among all processes.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) fn view(&self) -> Arc<MeshView> {
        self.view.load_full()
    }

    pub(crate) fn snapshot(&self) -> Arc<MeshSnapshot> {
        self.view.load().snapshot.clone()
    }

    pub(crate) async fn refresh_all(&self) -> Refreshed {
        let asked = self.peers();
        futures::future::join_all(asked.iter().map(|index| refresh::ask(self, *index))).await;
        // Peers are learned when all peers in the config have answered or failed.
        asked.iter().for_each(|index| self.learn_peers(*index));
        let learned = self.peers().into_iter().filter(|index| !asked.contains(index));
        futures::future::join_all(learned.map(|index| refresh::ask(self, index))).await;
        self.with_state(MeshState::refreshed)
    }

    pub(crate) fn replace_local(&self, domain: LocalDomain) {
        self.change(|state| state.put_local(domain));
    }

    /// Returns a local domain.
    pub(crate) fn local(&self, domain: &DomainName) -> Option<LocalDomain> {
        self.with_state(|state| state.local.get(domain).cloned())
    }

    pub(crate) fn report_load_error(&self, domain: &DomainName, error: &str) {
        self.change(|state| {
            if let Some(local) = state.local.get_mut(domain) {
                let mut catalog = (*local.catalog).clone();
                for product in catalog.products.values_mut() {
                    product.load_error = Some(error.to_owned());
                }
                local.catalog = Arc::new(catalog);
            }
        });
    }

    /// Returns the answer to a request for the catalogs of the domains that this engine owns. `known` is the version
    /// that the requester has.
    pub(crate) fn answer(&self, known: Option<&str>, reader: CatalogReader) -> CatalogAnswer {
        let is_full = reader == CatalogReader::TrustedNode;
        // The versions differ if the contents do, because a caller may become a trusted node.
        let kind = if is_full { "" } else { "redacted|" };
        let (version, catalogs, policies, reaches, peers) = self.with_state(|state| {
            let claims = state.claims();
            let reaches = reach::reached(state, &claims);
            let peers = if reader == CatalogReader::Other { vec![] } else { reported::peers(&claims) };
            let policies = if reader == CatalogReader::Other { BTreeMap::new() } else { state.policy_states() };
            let version = format!("{kind}{}{policies:?}", state.local_version(&reaches, &peers));
            (version, state.local.values().map(|l| l.catalog.clone()).collect::<Vec<_>>(), policies, reaches, peers)
        });
        if known == Some(version.as_str()) {
            return CatalogAnswer::Unchanged;
        }
        let domains = catalogs.iter().map(|catalog| {
            let catalog = DomainCatalog::clone(catalog).without_guarded_values();
            let catalog = if is_full { catalog } else { catalog.without_classified_statistics() };
            match policies.get(&catalog.domain) {
                Some(state) => catalog.with_policies(state),
                None => catalog,
            }
        });
        CatalogAnswer::Changed { version, domains: domains.collect(), reaches, peers }
    }

    fn with_state<T>(&self, read: impl FnOnce(&MeshState) -> T) -> T {
        read(&lock(&self.state))
    }

    /// Changes the state and publishes a new view, in one step.
    fn change<T>(&self, change: impl FnOnce(&mut MeshState) -> T) -> T {
        let mut state = lock(&self.state);
        let changed = change(&mut state);
        state.measure_sites();
        state.peers.values_mut().for_each(KnownPeer::report_link);
        self.view.store(state.next_view());
        changed
    }
}

impl MeshState {
    /// Adds a peer, and returns its number.
    fn add_peer(&mut self, known: KnownPeer) -> usize {
        let number = self.next_peer;
        self.next_peer += 1;
        self.peers.insert(number, known);
        number
    }

    /// Returns the sites that have rows of local ports.
    fn local_sites(&self) -> impl Iterator<Item = &Arc<dyn Site>> {
        let ports = self.local.values().flat_map(|domain| &domain.ports);
        ports.filter_map(|port| Some(&port.site.as_ref()?.site))
    }

    /// Measures the links to the present sites, and no others.
    fn measure_sites(&mut self) {
        let meter = |site: &Arc<dyn Site>| {
            let SiteCosts { latency, bandwidth, work: _ } = site.capabilities().costs;
            Arc::new(LinkMeter::new(LinkOverride { latency, bandwidth }))
        };
        let mut before = std::mem::take(&mut self.site_meters);
        let sites: Vec<_> = self.local_sites().cloned().collect();
        self.site_meters = sites
            .iter()
            .map(|site| (site.id().clone(), before.remove(site.id()).unwrap_or_else(|| meter(site))))
            .collect();
    }

    fn local_version(&self, reaches: &[Reach], peers: &[ReportedPeer]) -> String {
        let parts: Vec<String> = self
            .local
            .values()
            .map(|l| {
                let errors: Vec<_> = l.catalog.products.values().filter_map(|p| p.load_error.as_deref()).collect();
                format!("{}={}{}", l.catalog.domain, l.catalog.version, errors.concat())
            })
            .collect();
        format!("{}|{}|{}", parts.join(";"), reach::version(reaches), reported::version(peers))
    }
}

/// Returns a node in words.
pub(crate) fn describe(location: &NodeLocation) -> String {
    match location {
        NodeLocation::Here => "this node".into(),
        NodeLocation::Peer(url) => url.clone(),
    }
}

#[cfg(test)]
mod tests;
