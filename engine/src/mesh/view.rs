//! The mesh at one moment. A query plans against one view, and keeps it while the mesh changes.

mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use portolan_catalog::{
    DomainEntry, DomainName, MeshSnapshot, NodeEntry, NodeLocation, NodeState, PortRef, RefusedClaim, ServedBy,
};
use portolan_connectors::{Capabilities, LocalDomain, OpenedPort, OwnerKey, Site, SiteId};
use portolan_governance::Policies;

use super::MeshState;
use super::claims::{Claim, Claims, Refusal};
use super::known_peer::KnownPeer;
use super::link::{Link, LinkMeter};

/// The largest number of refused claims of one node that `mesh.nodes` shows.
const MAX_REFUSED: usize = 16;

/// The mesh at one moment, as a query plans against it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeshView {
    pub(crate) snapshot: Arc<MeshSnapshot>,
    pub(crate) local: BTreeMap<PortRef, OpenedPort>,
    /// The peers, the owners with replicas, and the sites that have rows of local ports.
    sites: BTreeMap<SiteId, ViewedSite>,
    /// The keys of the owners of domains, as far as this engine knows them.
    owners: BTreeMap<DomainName, Vec<OwnerKey>>,
    /// The policies of the local domains that have any.
    pub(crate) policies: BTreeMap<DomainName, Arc<Policies>>,
    /// True if the queries of derived ports are planned in this view.
    pub(crate) is_of_queries: bool,
    /// The number of the view's version. A plan over one view is also one over another view of the same version that hides
    /// the same ports.
    pub(crate) version: u64,
    /// The ports that this view does not have because the principal may not see them.
    pub(crate) hidden: Arc<BTreeSet<PortRef>>,
    /// The ports that policies can hide, once they were listed.
    guarded: OnceLock<Vec<GuardedPorts>>,
}

/// The ports of one owner that its policies can hide from some principals.
#[derive(Clone, Debug)]
pub(crate) struct GuardedPorts {
    /// The site of the owner; `None` for this node.
    pub(crate) site: Option<SiteId>,
    pub(crate) ports: Vec<PortRef>,
}

/// A site of a view.
#[derive(Clone, Debug)]
struct ViewedSite {
    /// The places that run the fragments of the site. The first one is to be tried first.
    replicas: Vec<Replica>,
    /// The link to the first replica.
    link: Link,
    /// The domains that each of the replicas reaches.
    reaches: Vec<Arc<BTreeMap<DomainName, (OwnerKey, Link)>>>,
}

/// A place that runs the fragments of a site: one of the nodes of an owner, or a site without replicas.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) site: Arc<dyn Site>,
    /// The meter of the link, which measures while queries run.
    pub(crate) meter: Arc<LinkMeter>,
}

impl MeshView {
    /// Returns a view of one domain's ports and nothing else, in which the queries of its derived ports are planned.
    pub(crate) fn of_queries(domain: &LocalDomain) -> Self {
        let entry = DomainEntry { catalog: domain.catalog.clone(), served_by: ServedBy::Here };
        let domains = BTreeMap::from([(domain.catalog.domain.clone(), entry)]);
        Self {
            snapshot: Arc::new(MeshSnapshot { domains, ..MeshSnapshot::default() }),
            local: domain.ports.iter().map(|port| (port.name.clone(), port.clone())).collect(),
            is_of_queries: true,
            ..Self::default()
        }
    }

    /// Returns the ports that policies can hide from some principals, by their owners.
    pub(crate) fn guarded(&self) -> &[GuardedPorts] {
        self.guarded.get_or_init(|| {
            let mut guarded: BTreeMap<Option<SiteId>, Vec<PortRef>> = BTreeMap::new();
            for entry in self.snapshot.domains.values() {
                let site = match &entry.served_by {
                    ServedBy::Here => None,
                    peers @ ServedBy::Peers(_) => Some(SiteId::new(peers.to_string())),
                };
                let ports = entry.catalog.ports().filter(|port| port.hidden_from_some);
                let mut ports = ports.map(|port| port.name.clone()).peekable();
                if ports.peek().is_some() {
                    guarded.entry(site).or_default().extend(ports);
                }
            }
            guarded.into_iter().map(|(site, ports)| GuardedPorts { site, ports }).collect()
        })
    }

    /// Returns the view for a principal who may not see these ports.
    pub(crate) fn without_ports(&self, hidden: &BTreeSet<PortRef>) -> Self {
        let mut view = self.clone();
        view.snapshot = Arc::new(self.snapshot.without_ports(hidden));
        view.local.retain(|port, _| !hidden.contains(port));
        view.guarded = OnceLock::new();
        view.hidden = Arc::new(self.hidden.union(hidden).cloned().collect());
        view
    }

    /// Returns the link to a site, as it was known when this view was made: a query compares all alternatives by the
    /// same values.
    pub(crate) fn link(&self, site: &SiteId) -> Link {
        self.sites.get(site).map_or_else(Link::default, |site| site.link)
    }

    /// Returns the link over which a site reports that it reaches a domain of another node. `None` if it reports none,
    /// or if the owner of the domain is another one there than here: the rows could be others.
    pub(crate) fn reach(&self, site: &SiteId, domain: &DomainName) -> Option<Link> {
        let is_owner = |key: &OwnerKey| match self.owners.get(domain) {
            Some(keys) => keys.contains(key),
            // A domain of this engine without a key is not the one that another node reaches.
            None => self.local.keys().all(|port| port.domain != *domain),
        };
        let links = self.sites.get(site)?.reaches.iter().map(|reaches| {
            let (owner, link) = reaches.get(domain)?;
            is_owner(owner).then_some(*link)
        });
        // A fragment may run at any of the replicas.
        links.collect::<Option<Vec<_>>>()?.first().copied()
    }

    /// Returns the domains that are read at a site.
    pub(crate) fn domains_at(&self, site: &SiteId) -> BTreeSet<DomainName> {
        let domains = self.snapshot.domains.iter();
        let there = domains.filter(|(_, entry)| match &entry.served_by {
            ServedBy::Here => false,
            peers @ ServedBy::Peers(_) => peers.to_string() == site.as_str(),
        });
        there.map(|(domain, _)| domain.clone()).collect()
    }

    /// Returns the domains that belong to one of these keys, as far as this engine knows their owners.
    pub(crate) fn domains_of(&self, keys: &[String]) -> BTreeSet<DomainName> {
        let is_owner = |owner: &OwnerKey| keys.iter().any(|key| key == owner.as_str());
        let owned = self.owners.iter().filter(|(_, owners)| owners.iter().any(is_owner));
        owned.map(|(domain, _)| domain.clone()).collect()
    }

    /// Returns what a site can run. An unknown site is a node that has left.
    pub(crate) fn capabilities(&self, site: &SiteId) -> Capabilities {
        let first = self.sites.get(site).and_then(|site| site.replicas.first());
        first.map_or_else(Capabilities::node, |replica| replica.site.capabilities())
    }

    /// Returns the places that run the fragments of a site, the one to try first at the start. Empty if the site is
    /// unknown.
    pub(crate) fn replicas(&self, site: &SiteId) -> Vec<Replica> {
        self.sites.get(site).map_or_else(Vec::new, |site| site.replicas.clone())
    }
}

impl MeshState {
    /// Returns the mesh as it is known now.
    fn view(&self) -> MeshView {
        let claims = self.claims();
        let snapshot =
            MeshSnapshot { nodes: self.nodes(&claims), domains: self.domains(&claims), refused: self.refused(&claims) };
        let ports = self.local.values().flat_map(|l| &l.ports);
        let local = ports.map(|p| (p.name.clone(), p.clone())).collect();
        let (sites, owners) = (self.sites(&claims), self.owner_keys(&claims));
        let policies = self.policies.iter().map(|(domain, policies)| (domain.clone(), policies.resolved.clone()));
        let policies = policies.collect();
        MeshView { snapshot: Arc::new(snapshot), local, sites, owners, policies, ..MeshView::default() }
    }

    fn nodes(&self, claims: &Claims<'_>) -> Vec<NodeEntry> {
        let mut domains: BTreeMap<usize, Vec<DomainName>> = BTreeMap::new();
        for (domain, replicas) in &claims.accepted {
            for claim in replicas {
                domains.entry(claim.index).or_default().push((*domain).clone());
            }
        }
        let here = NodeEntry {
            location: NodeLocation::Here,
            state: NodeState::Up,
            last_seen: Some(SystemTime::now()),
            error: None,
            domains: self.local.keys().cloned().collect(),
            key: self.owners.own().map(ToString::to_string),
            refused: vec![],
            learned_from: None,
            latency: None,
            bandwidth: None,
        };
        let peers = self.peers.iter().map(|(&index, known)| {
            let reporter = known.learned.as_ref().and_then(|learned| self.peers.get(&learned.reporter));
            let link = known.meter.link();
            NodeEntry {
                location: NodeLocation::Peer(known.peer.id().to_string()),
                state: known.state,
                last_seen: known.last_seen,
                error: known.error.clone(),
                domains: domains.remove(&index).unwrap_or_default(),
                key: known.owner.as_ref().and_then(|owner| owner.as_ref().ok()).map(ToString::to_string),
                refused: refused_entries(index, known, claims),
                learned_from: reporter.map(|reporter| reporter.peer.id().to_string()),
                latency: Some(link.latency),
                bandwidth: Some(link.bandwidth),
            }
        });
        std::iter::once(here).chain(peers).collect()
    }

    fn domains(&self, claims: &Claims<'_>) -> BTreeMap<DomainName, DomainEntry> {
        let peers = claims.accepted.iter().filter_map(|(domain, replicas)| {
            let catalog = replicas.first()?.catalog.clone();
            Some(((*domain).clone(), DomainEntry { catalog, served_by: served_by(replicas) }))
        });
        let local = self.local.iter().map(|(name, local)| {
            (name.clone(), DomainEntry { catalog: local.catalog.clone(), served_by: ServedBy::Here })
        });
        // A domain of this engine replaces that of a replica.
        peers.chain(local).collect()
    }

    /// Returns the refused claims to domains without a known owner.
    fn refused(&self, claims: &Claims<'_>) -> BTreeMap<DomainName, Vec<RefusedClaim>> {
        let mut refused: BTreeMap<DomainName, Vec<RefusedClaim>> = BTreeMap::new();
        for Refusal { index, domain, reason } in &claims.refused {
            let is_known = claims.accepted.contains_key(domain) || self.local.contains_key(*domain);
            if let Some(known) = self.peers.get(index).filter(|_| !is_known) {
                let claim = RefusedClaim { node: known.peer.id().to_string(), reason: reason.clone() };
                refused.entry((*domain).clone()).or_default().push(claim);
            }
        }
        refused
    }

    fn sites(&self, claims: &Claims<'_>) -> BTreeMap<SiteId, ViewedSite> {
        let mut sites = BTreeMap::new();
        for known in self.peers.values() {
            sites.insert(known.peer.id().clone(), ViewedSite::of(&[known]));
        }
        for replicas in claims.accepted.values().filter(|replicas| replicas.len() > 1) {
            let site = SiteId::new(served_by(replicas).to_string());
            let peers: Vec<_> = replicas.iter().map(|claim| claim.peer).collect();
            sites.insert(site, ViewedSite::of(&peers));
        }
        for site in self.local_sites() {
            let Some(meter) = self.site_meters.get(site.id()) else { continue };
            let replica = Replica { site: site.clone(), meter: meter.clone() };
            let viewed = ViewedSite { link: meter.link(), replicas: vec![replica], reaches: vec![] };
            sites.insert(site.id().clone(), viewed);
        }
        sites
    }

    fn owner_keys(&self, claims: &Claims<'_>) -> BTreeMap<DomainName, Vec<OwnerKey>> {
        let mut keys: BTreeMap<DomainName, Vec<OwnerKey>> = BTreeMap::new();
        for (domain, replicas) in &claims.accepted {
            keys.insert((*domain).clone(), replicas.iter().map(|claim| claim.key.clone()).collect());
        }
        if let Some(own) = self.owners.own() {
            keys.extend(self.local.keys().map(|domain| (domain.clone(), vec![own.clone()])));
        }
        keys
    }
}

impl ViewedSite {
    /// Returns the site of these peers, the first of which is to be tried first.
    fn of(peers: &[&KnownPeer]) -> Self {
        let replica = |known: &&KnownPeer| Replica { site: known.peer.clone(), meter: known.meter.clone() };
        // Fragments go to the first peer, and to other peers that are up.
        let others = peers.iter().skip(1).filter(|known| known.state == NodeState::Up);
        Self {
            replicas: peers.iter().map(replica).collect(),
            link: peers.first().map_or_else(Link::default, |known| known.meter.link()),
            reaches: peers.iter().take(1).chain(others).map(|known| known.reaches.clone()).collect(),
        }
    }
}

/// Returns the nodes of a domain: those in the config in its order, and then the learned ones.
fn served_by(replicas: &[Claim<'_>]) -> ServedBy {
    let mut in_order: Vec<_> = replicas.iter().collect();
    in_order.sort_by_key(|claim| (claim.peer.learned.is_some(), claim.index));
    ServedBy::Peers(in_order.into_iter().map(|claim| claim.peer.peer.id().to_string()).collect())
}

/// Returns the parts of a peer's catalog and report that this engine refuses, each with the reason. There can be any
/// number of them, and only the first ones are listed.
fn refused_entries(index: usize, known: &KnownPeer, claims: &Claims<'_>) -> Vec<String> {
    let refused = claims.refused_of(index);
    let more = (refused.len() + known.faults.len() + known.unused.len()).saturating_sub(MAX_REFUSED);
    let refused = refused.iter().map(|refusal| format!("domain `{}`: {}", refusal.domain, refusal.reason));
    let others = known.faults.iter().chain(&known.unused).cloned();
    let mut entries: Vec<String> = refused.chain(others).take(MAX_REFUSED).collect();
    if more > 0 {
        entries.push(format!("{more} more entries are refused"));
    }
    entries
}
