//! The mesh as this engine knows it: the domains that the engine owns, its peers, and the immutable snapshot that each
//! query plans against.

mod link;
mod reach;
mod refresh;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use portolan_catalog::{
    DomainCatalog, DomainEntry, DomainName, MeshSnapshot, NodeEntry, NodeLocation, NodeState, PortRef, PortStatistics,
};
use portolan_connectors::{
    Capabilities, CatalogAnswer, LocalDomain, OpenedPort, Peer, Reach, Site, SiteCosts, SiteId, lock,
};
use tokio_util::task::AbortOnDropHandle;

pub use self::link::LinkOverride;
pub(crate) use self::link::{Link, LinkMeter, StreamMeter};
use crate::{Error, ErrorKind, Result};

/// The mesh as this engine knows it.
#[derive(Debug)]
pub(crate) struct Mesh {
    state: Mutex<MeshState>,
    view: ArcSwap<MeshView>,
    refresher: Mutex<Vec<AbortOnDropHandle<()>>>,
    /// A weak reference to the mesh itself, for the tasks that fetch the peers' catalogs.
    me: Weak<Mesh>,
}

/// The mesh at one moment, as a query plans against it.
#[derive(Debug, Default)]
pub(crate) struct MeshView {
    pub(crate) snapshot: Arc<MeshSnapshot>,
    pub(crate) local: BTreeMap<PortRef, OpenedPort>,
    /// The peers, and the sites that have rows of local ports.
    pub(crate) sites: BTreeMap<SiteId, Arc<dyn Site>>,
    links: BTreeMap<SiteId, PeerLink>,
}

/// The link to a peer, and the peer's links to other nodes.
#[derive(Debug)]
struct PeerLink {
    link: Link,
    /// The meter of the link, which measures while queries run.
    meter: Arc<LinkMeter>,
    reaches: Arc<BTreeMap<DomainName, Link>>,
}

impl MeshView {
    /// Returns the link to a peer, as it was known when this view was made: a query compares all alternatives by the
    /// same values.
    pub(crate) fn link(&self, site: &SiteId) -> Link {
        self.links.get(site).map_or_else(Link::default, |l| l.link)
    }

    /// Returns the link over which a peer reports that it reaches a domain of another node; `None` if it reports none.
    pub(crate) fn reach(&self, site: &SiteId, domain: &DomainName) -> Option<Link> {
        self.links.get(site)?.reaches.get(domain).copied()
    }

    /// Returns what a site can run. An unknown site is a node that has left.
    pub(crate) fn capabilities(&self, site: &SiteId) -> Capabilities {
        self.sites.get(site).map_or_else(Capabilities::node, |site| site.capabilities())
    }

    /// Returns the meter of the link to a peer.
    pub(crate) fn meter(&self, site: &SiteId) -> Arc<LinkMeter> {
        self.links.get(site).map(|l| l.meter.clone()).unwrap_or_default()
    }
}

/// The local domains and the peers, as this engine knows them now.
#[derive(Debug, Default)]
struct MeshState {
    local: BTreeMap<DomainName, LocalDomain>,
    peers: Vec<KnownPeer>,
    /// The meters of the links to the sites that have rows of local ports.
    site_meters: BTreeMap<SiteId, Arc<LinkMeter>>,
}

#[derive(Debug)]
struct KnownPeer {
    peer: Arc<dyn Peer>,
    meter: Arc<LinkMeter>,
    version: Option<String>,
    domains: Vec<Arc<DomainCatalog>>,
    /// The domains of other nodes that the peer reaches.
    reaches: Arc<BTreeMap<DomainName, Link>>,
    /// The link to the peer, as this engine last reported it to other peers.
    told: Link,
    state: NodeState,
    last_seen: Option<SystemTime>,
    error: Option<String>,
}

impl Mesh {
    pub(crate) fn new(domains: Vec<LocalDomain>, peers: Vec<(Arc<dyn Peer>, LinkOverride)>) -> Result<Arc<Self>> {
        let mut local = BTreeMap::new();
        for domain in domains {
            let name = domain.catalog.domain.clone();
            if local.insert(name.clone(), domain).is_some() {
                return Err(Error::new(
                    ErrorKind::InvalidQuery,
                    format!("two local domains are named `{name}`: a name belongs to one domain"),
                ));
            }
        }
        let peers = peers
            .into_iter()
            .map(|(peer, link)| (peer, Arc::new(LinkMeter::new(link))))
            .map(|(peer, meter)| KnownPeer {
                peer,
                told: meter.link(),
                meter,
                version: None,
                domains: vec![],
                reaches: Arc::default(),
                state: NodeState::Unknown,
                last_seen: None,
                error: None,
            })
            .collect();
        let mut state = MeshState { local, peers, site_meters: BTreeMap::new() };
        state.measure_sites();
        let view = ArcSwap::from_pointee(state.view());
        Ok(Arc::new_cyclic(|me| Self { state: Mutex::new(state), view, refresher: Mutex::default(), me: me.clone() }))
    }

    /// Starts one task for each peer, which fetches the peer's catalog every `interval` until the mesh is dropped.
    pub(crate) fn start_refreshing(&self, interval: Duration) -> Result<()> {
        let handle = tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(ErrorKind::Internal, "an engine must be built on a tokio runtime").with_source(e)
        })?;
        let peers = self.with_state(|state| state.peers.len());
        let tasks = (0..peers)
            .map(|index| AbortOnDropHandle::new(handle.spawn(refresh::keep_fresh(self.me.clone(), index, interval))))
            .collect();
        *lock(&self.refresher) = tasks;
        Ok(())
    }

    pub(crate) fn view(&self) -> Arc<MeshView> {
        self.view.load_full()
    }

    pub(crate) fn snapshot(&self) -> Arc<MeshSnapshot> {
        self.view.load().snapshot.clone()
    }

    pub(crate) async fn refresh_all(&self) {
        let peers = self.with_state(|state| state.peers.len());
        futures::future::join_all((0..peers).map(|index| refresh::ask(self, index))).await;
    }

    pub(crate) fn replace_local(&self, domain: LocalDomain) {
        self.change(|state| {
            state.local.insert(domain.catalog.domain.clone(), domain);
        });
    }

    pub(crate) fn update_statistics(&self, domain: &DomainName, statistics: &BTreeMap<PortRef, Arc<PortStatistics>>) {
        self.change(|state| {
            if let Some(local) = state.local.get_mut(domain) {
                local.catalog = Arc::new((*local.catalog).clone().with_statistics(statistics));
            }
        });
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

    /// Returns the answer to a peer that requests the catalogs of the domains that this engine owns. `known` is the
    /// version that the peer has.
    pub(crate) fn answer(&self, known: Option<&str>) -> CatalogAnswer {
        self.answer_with(known, "", DomainCatalog::clone)
    }

    /// Returns the answer to a caller that may not see the statistics of classified columns.
    pub(crate) fn redacted_answer(&self, known: Option<&str>) -> CatalogAnswer {
        // The versions differ from those of a full answer, because a caller may become a trusted node.
        self.answer_with(known, "redacted|", |catalog| catalog.clone().without_classified_statistics())
    }

    fn answer_with(
        &self,
        known: Option<&str>,
        kind: &str,
        shown: impl Fn(&DomainCatalog) -> DomainCatalog,
    ) -> CatalogAnswer {
        let (version, catalogs, reaches) = self.with_state(|state| {
            let reaches = reach::reached(state);
            let version = format!("{kind}{}", state.local_version(&reaches));
            (version, state.local.values().map(|l| l.catalog.clone()).collect::<Vec<_>>(), reaches)
        });
        if known == Some(version.as_str()) {
            return CatalogAnswer::Unchanged;
        }
        CatalogAnswer::Changed { version, domains: catalogs.iter().map(|catalog| shown(catalog)).collect(), reaches }
    }

    fn with_state<T>(&self, read: impl FnOnce(&MeshState) -> T) -> T {
        read(&lock(&self.state))
    }

    /// Changes the state and publishes a new view, in one step.
    fn change(&self, change: impl FnOnce(&mut MeshState)) {
        let mut state = lock(&self.state);
        change(&mut state);
        state.measure_sites();
        state.peers.iter_mut().for_each(KnownPeer::tell_link);
        self.view.store(Arc::new(state.view()));
    }
}

impl MeshState {
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

    fn local_version(&self, reaches: &[Reach]) -> String {
        let parts: Vec<String> = self
            .local
            .values()
            .map(|l| {
                let errors: Vec<_> = l.catalog.products.values().filter_map(|p| p.load_error.as_deref()).collect();
                format!("{}={}{}", l.catalog.domain, l.catalog.version, errors.concat())
            })
            .collect();
        format!("{}|{}", parts.join(";"), reach::version(reaches))
    }

    fn view(&self) -> MeshView {
        let mut claims: BTreeMap<DomainName, Vec<(NodeLocation, Arc<DomainCatalog>)>> = BTreeMap::new();
        let mut nodes = vec![NodeEntry {
            location: NodeLocation::Here,
            state: NodeState::Up,
            last_seen: Some(SystemTime::now()),
            error: None,
            domains: self.local.keys().cloned().collect(),
            latency: None,
            bandwidth: None,
        }];
        for (name, local) in &self.local {
            claims.entry(name.clone()).or_default().push((NodeLocation::Here, local.catalog.clone()));
        }
        let mut links = BTreeMap::new();
        for known in &self.peers {
            let link = known.meter.link();
            let (meter, reaches) = (known.meter.clone(), known.reaches.clone());
            links.insert(known.peer.id().clone(), PeerLink { link, meter, reaches });
            let location = NodeLocation::Peer(known.peer.id().to_string());
            for catalog in &known.domains {
                claims.entry(catalog.domain.clone()).or_default().push((location.clone(), catalog.clone()));
            }
            nodes.push(NodeEntry {
                location,
                state: known.state,
                last_seen: known.last_seen,
                error: known.error.clone(),
                domains: known.domains.iter().map(|d| d.domain.clone()).collect(),
                latency: Some(link.latency),
                bandwidth: Some(link.bandwidth),
            });
        }
        for (site, meter) in &self.site_meters {
            let reaches = Arc::default();
            links.insert(site.clone(), PeerLink { link: meter.link(), meter: meter.clone(), reaches });
        }
        let mut snapshot = MeshSnapshot { nodes, ..MeshSnapshot::default() };
        for (domain, mut claimed) in claims {
            if claimed.len() > 1 {
                let claimants = claimed.into_iter().map(|(location, _)| describe(&location)).collect();
                snapshot.conflicts.insert(domain, claimants);
            } else if let Some((node, catalog)) = claimed.pop() {
                snapshot.domains.insert(domain, DomainEntry { catalog, node });
            }
        }
        let ports = self.local.values().flat_map(|l| &l.ports);
        let local = ports.map(|p| (p.name.clone(), p.clone())).collect();
        let peers = self.peers.iter().map(|known| known.peer.clone() as Arc<dyn Site>);
        let sites = peers.chain(self.local_sites().cloned()).map(|site| (site.id().clone(), site)).collect();
        MeshView { snapshot: Arc::new(snapshot), local, sites, links }
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
