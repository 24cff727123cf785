#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use portolan_catalog::{
    DomainCatalog, DomainName, KeyUse, NodeLocation, NodeState, PortName, PortRef, ProductName, ServedBy,
};
use portolan_connectors::{
    CatalogAnswer, FragmentRequest, FragmentStream, LocalDomain, OwnerKey, Peer, PeerCatalog, Reach, Site, SiteId,
};

use super::link::Pace;
use super::{CatalogReader, Link, LinkOverride, Mesh, Owners, PeerOptions};
use crate::ErrorKind;
use crate::fake_mesh::{FakePeer, owned, tpch_domain};

mod changes;
mod learned;
mod owners;
mod replicas;
mod reported;

const FULL: CatalogReader = CatalogReader::TrustedNode;

fn mesh(peers: &[&Arc<FakePeer>]) -> Arc<Mesh> {
    mesh_of(vec![], peers)
}

/// Returns the mesh of an engine without a key that owns these domains.
fn mesh_of(domains: Vec<LocalDomain>, peers: &[&Arc<FakePeer>]) -> Arc<Mesh> {
    Mesh::new(domains, peers.iter().map(|p| unmeasured(p)).collect(), Owners::default()).unwrap()
}

fn unmeasured(peer: &Arc<FakePeer>) -> (Arc<dyn Peer>, PeerOptions) {
    (peer.clone(), PeerOptions::default())
}

fn domains(mesh: &Mesh) -> Vec<String> {
    mesh.snapshot().domains.keys().map(ToString::to_string).collect()
}

/// Returns a domain without ports.
fn empty(domain: &str) -> DomainCatalog {
    DomainCatalog::new(domain, [])
}

/// Returns `geo` with one port less.
fn geo_without_regions() -> DomainCatalog {
    let mut catalog = tpch_domain("geo");
    catalog.products.get_mut(&ProductName::new("places")).unwrap().ports.remove(&PortName::new("region"));
    catalog
}

#[tokio::test]
async fn a_peer_is_unknown_until_it_answers() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let mesh = mesh(&[&peer]);
    assert_eq!(mesh.snapshot().nodes[1].state, NodeState::Unknown);
    assert_eq!(domains(&mesh), Vec::<String>::new());
    mesh.refresh_all().await;
    let snapshot = mesh.snapshot();
    assert_eq!(snapshot.nodes[1].state, NodeState::Up);
    assert!(snapshot.nodes[1].last_seen.is_some());
    assert_eq!(snapshot.nodes[1].domains, [DomainName::new("geo")]);
    assert_eq!(snapshot.domains[&DomainName::new("geo")].served_by, ServedBy::Peers(vec!["grpc://geo".into()]));
    assert!(snapshot.port(&PortRef::new("geo", "places", "region")).is_some());
}

#[tokio::test]
async fn an_unchanged_catalog_stays_and_a_changed_one_takes_its_place() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let mesh = mesh(&[&peer]);
    mesh.refresh_all().await;
    let first = mesh.snapshot();
    mesh.refresh_all().await;
    let second = mesh.snapshot();
    let geo = DomainName::new("geo");
    assert!(Arc::ptr_eq(&first.domains[&geo].catalog, &second.domains[&geo].catalog));

    peer.publish("2", vec![geo_without_regions()]);
    mesh.refresh_all().await;
    assert!(mesh.snapshot().port(&PortRef::new("geo", "places", "region")).is_none());
    assert!(first.port(&PortRef::new("geo", "places", "region")).is_some(), "a snapshot never changes");
    assert_eq!(peer.asked(), [None, Some("1".to_owned()), Some("1".to_owned())]);
}

#[tokio::test]
async fn a_peer_that_goes_down_keeps_its_catalog_and_says_why() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let mesh = mesh(&[&peer]);
    mesh.refresh_all().await;
    let seen = mesh.snapshot().nodes[1].last_seen;
    peer.go_down();
    mesh.refresh_all().await;
    let snapshot = mesh.snapshot();
    assert_eq!(snapshot.nodes[1].state, NodeState::Down);
    assert!(snapshot.nodes[1].error.as_deref().unwrap().contains("connection refused"));
    assert_eq!(snapshot.nodes[1].last_seen, seen);
    assert!(snapshot.port(&PortRef::new("geo", "places", "region")).is_some());

    peer.publish("1", vec![tpch_domain("geo")]);
    mesh.refresh_all().await;
    assert_eq!(mesh.snapshot().nodes[1].state, NodeState::Up);
    assert_eq!(mesh.snapshot().nodes[1].error, None);
}

#[test]
fn two_local_domains_of_one_name_are_refused() {
    let domains = vec![owned(tpch_domain("geo")), owned(tpch_domain("geo"))];
    let error = Mesh::new(domains, vec![], Owners::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(error.chain().contains("`geo`"));
}

#[test]
fn a_replaced_domain_is_what_new_queries_see() {
    let mesh = mesh_of(vec![owned(tpch_domain("geo"))], &[]);
    let before = mesh.view();
    mesh.replace_local(owned(geo_without_regions()));
    let region = PortRef::new("geo", "places", "region");
    assert!(!mesh.view().local.contains_key(&region));
    assert!(before.local.contains_key(&region), "a running query keeps its view");
}

#[test]
fn a_load_error_is_told_until_a_good_version_comes() {
    let mesh = mesh_of(vec![owned(tpch_domain("geo"))], &[]);
    let geo = DomainName::new("geo");
    let told = |mesh: &Mesh| {
        let products = &mesh.snapshot().domains[&DomainName::new("geo")].catalog.products;
        products[&ProductName::new("places")].load_error.clone()
    };
    let before = mesh.answer(None, FULL);
    mesh.report_load_error(&geo, "line 3: unknown key");
    assert_eq!(told(&mesh).as_deref(), Some("line 3: unknown key"));
    assert!(mesh.snapshot().port(&PortRef::new("geo", "places", "region")).is_some());
    assert_ne!(mesh.answer(None, FULL), before, "peers are told, too");
    mesh.replace_local(owned(tpch_domain("geo")));
    assert_eq!(told(&mesh), None);
    mesh.report_load_error(&DomainName::new("elsewhere"), "nobody's");
    assert_eq!(told(&mesh), None);
}

#[test]
fn an_answer_is_small_where_nothing_changed() {
    let mesh = mesh_of(vec![owned(tpch_domain("geo"))], &[]);
    let CatalogAnswer::Changed { version, domains, .. } = mesh.answer(None, FULL) else { panic!("never asked before") };
    assert_eq!(domains, [tpch_domain("geo")]);
    assert_eq!(mesh.answer(Some(&version), FULL), CatalogAnswer::Unchanged);
    assert!(matches!(mesh.answer(Some("another"), FULL), CatalogAnswer::Changed { .. }));
}

#[test]
fn an_answer_without_classified_statistics_has_a_version_of_its_own() {
    let mut catalog = tpch_domain("geo");
    let places = catalog.products.get_mut(&ProductName::new("places")).unwrap();
    let nation = places.ports.get_mut(&PortName::new("nation")).unwrap();
    nation.columns.iter_mut().find(|c| c.name == "n_regionkey").unwrap().classification = Some("restricted".into());
    let mesh = mesh_of(vec![owned(catalog)], &[]);
    let told = |answer: CatalogAnswer| {
        let CatalogAnswer::Changed { version, domains, .. } = answer else { panic!("never asked before") };
        let statistics = domains[0].ports().next().unwrap().statistics.clone();
        (version, ["n_nationkey", "n_regionkey"].map(|name| statistics.columns[name].min.is_some()))
    };
    let node = CatalogReader::Node;
    let (full, redacted) = (told(mesh.answer(None, FULL)), told(mesh.answer(None, node)));
    assert_eq!((full.1, redacted.1), ([true, true], [true, false]));
    assert_eq!(mesh.answer(Some(&redacted.0), node), CatalogAnswer::Unchanged);
    assert!(matches!(mesh.answer(Some(&redacted.0), FULL), CatalogAnswer::Changed { .. }), "it became a trusted node");
    assert!(matches!(mesh.answer(Some(&full.0), node), CatalogAnswer::Changed { .. }), "it is no longer trusted");
}

#[test]
fn no_node_gets_statistics_with_values_that_must_not_leave() {
    let mut catalog = tpch_domain("geo");
    let places = catalog.products.get_mut(&ProductName::new("places")).unwrap();
    let nation = places.ports.get_mut(&PortName::new("nation")).unwrap();
    nation.columns.iter_mut().find(|c| c.name == "n_regionkey").unwrap().key_use = Some(KeyUse::Never);
    let mesh = mesh_of(vec![owned(catalog)], &[]);
    for reader in [FULL, CatalogReader::Node, CatalogReader::Other] {
        let CatalogAnswer::Changed { domains, .. } = mesh.answer(None, reader) else { panic!("never asked before") };
        let statistics = domains[0].ports().next().unwrap().statistics.clone();
        let known = ["n_nationkey", "n_regionkey"].map(|name| statistics.columns[name].min.is_some());
        assert_eq!(known, [true, false], "{reader:?}");
        assert_eq!(statistics.columns["n_regionkey"].distinct, Some(5));
    }
}

#[tokio::test]
async fn catalogs_of_others_are_not_passed_on() {
    let peer = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let mesh = mesh_of(vec![owned(tpch_domain("geo"))], &[&peer]);
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    let CatalogAnswer::Changed { domains, .. } = mesh.answer(None, FULL) else { panic!("never asked before") };
    assert_eq!(domains.len(), 1);
}

#[tokio::test]
async fn refreshing_ends_with_the_mesh() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let mesh = mesh(&[&peer]);
    mesh.start_refreshing(Duration::from_millis(1)).unwrap();
    while peer.asked().len() < 2 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(mesh);
    // The refreshing task has dropped the peer.
    while Arc::strong_count(&peer) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn reaches(mesh: &Mesh) -> Vec<String> {
    let CatalogAnswer::Changed { reaches, .. } = mesh.answer(None, FULL) else { panic!("never asked before") };
    reaches.iter().map(|r| r.domain.to_string()).collect()
}

fn version(mesh: &Mesh) -> String {
    let CatalogAnswer::Changed { version, .. } = mesh.answer(None, FULL) else { panic!("never asked before") };
    version
}

#[tokio::test]
async fn a_node_tells_whom_it_reaches_while_they_are_up() {
    let sales = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let supply = FakePeer::new("grpc://supply", vec![tpch_domain("supply")]);
    let mesh = mesh_of(vec![owned(tpch_domain("geo"))], &[&supply, &sales]);
    assert_eq!(reaches(&mesh), Vec::<String>::new());
    let alone = version(&mesh);
    mesh.refresh_all().await;
    assert_eq!(reaches(&mesh), ["sales", "supply"]);
    let together = version(&mesh);
    assert_ne!(together, alone);
    for _ in 0..3 {
        mesh.refresh_all().await;
        assert_eq!(mesh.answer(Some(&together), FULL), CatalogAnswer::Unchanged);
    }
    sales.go_down();
    mesh.refresh_all().await;
    assert_eq!(reaches(&mesh), ["supply"]);
    assert_ne!(version(&mesh), together);
    supply.publish("2", vec![tpch_domain("geo")]);
    mesh.refresh_all().await;
    assert_eq!(reaches(&mesh), Vec::<String>::new(), "a domain of this node is not reached at another one");
}

/// Returns the mesh of an engine with one peer, over this link.
fn linked(peer: &Arc<FakePeer>, link: LinkOverride) -> Arc<Mesh> {
    let peer: Arc<dyn Peer> = peer.clone();
    Mesh::new(vec![], vec![(peer, PeerOptions { link, ..PeerOptions::default() })], Owners::default()).unwrap()
}

#[tokio::test]
async fn a_link_that_trembles_makes_no_new_version() {
    let peer = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let version_at = async |ms, megabytes: f64| {
        let link = LinkOverride { latency: Some(Duration::from_millis(ms)), bandwidth: Some(megabytes * 1e6) };
        let mesh = linked(&peer, link);
        mesh.refresh_all().await;
        version(&mesh)
    };
    let first = version_at(60, 120.0).await;
    assert_eq!(version_at(70, 140.0).await, first);
    assert_ne!(version_at(120, 120.0).await, first);
    assert_ne!(version_at(60, 12.0).await, first);
}

#[tokio::test]
async fn a_link_is_told_anew_when_it_changed_much() {
    let peer = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let mesh = mesh(&[&peer]);
    mesh.refresh_all().await;
    let first = version(&mesh);
    let version_at = async |megabytes: u64| {
        let meter = mesh.view().replicas(peer.id())[0].meter.clone();
        meter.record_stream(megabytes * 1_000_000, Duration::from_secs(1), Pace::Link);
        mesh.refresh_all().await;
        version(&mesh)
    };
    // From the default of 500 MB/s. Each figure is at another power of two.
    assert_eq!(version_at(300).await, first);
    assert_eq!(version_at(800).await, first);
    let fast = version_at(1_100).await;
    assert_ne!(fast, first);
    assert_eq!(version_at(2_000).await, fast);
    assert_eq!(mesh.view().link(peer.id()).bandwidth, 2e9, "plans go by the newest figure");
}

#[tokio::test]
async fn whoever_takes_no_fragments_is_not_reached() {
    let peer = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let mesh = mesh(&[&peer]);
    mesh.refresh_all().await;
    assert_eq!(reaches(&mesh), ["sales"]);
    let before = version(&mesh);
    peer.refuse_fragments();
    mesh.refresh_all().await;
    assert_eq!(reaches(&mesh), Vec::<String>::new());
    assert_ne!(version(&mesh), before);
    assert_eq!(domains(&mesh), ["sales"], "its catalog is known all the same");
}

/// Another mesh as a peer, as if it were reached over a network.
#[derive(Debug)]
struct Through(SiteId, Mutex<Weak<Mesh>>);

#[async_trait::async_trait]
impl Site for Through {
    fn id(&self) -> &SiteId {
        &self.0
    }

    async fn execute(&self, _: FragmentRequest) -> crate::Result<FragmentStream> {
        panic!("it has no rows")
    }
}

#[async_trait::async_trait]
impl Peer for Through {
    async fn catalog(&self, known: Option<&str>) -> crate::Result<PeerCatalog> {
        let answer = self.1.lock().unwrap().upgrade().unwrap().answer(known, FULL);
        Ok(PeerCatalog::without_key(&self.0, answer))
    }
}

#[tokio::test]
async fn two_nodes_that_ask_each_other_come_to_rest() {
    let node = |own: &str, other: &str| {
        let peer = Arc::new(Through(SiteId::new(format!("grpc://{other}")), Mutex::default()));
        let peers: Vec<(Arc<dyn Peer>, _)> = vec![(peer.clone(), PeerOptions::default())];
        (Mesh::new(vec![owned(tpch_domain(own))], peers, Owners::default()).unwrap(), peer)
    };
    let (geo, to_sales) = node("geo", "sales");
    let (sales, to_geo) = node("sales", "geo");
    *to_sales.1.lock().unwrap() = Arc::downgrade(&sales);
    *to_geo.1.lock().unwrap() = Arc::downgrade(&geo);
    for _ in 0..2 {
        geo.refresh_all().await;
        sales.refresh_all().await;
    }
    let versions = (version(&geo), version(&sales));
    assert_eq!((reaches(&geo), reaches(&sales)), (vec!["sales".to_owned()], vec!["geo".to_owned()]));
    // Without a key, an engine cannot know that its own domain is the one that the other node reaches.
    assert!(geo.view().reach(&SiteId::new("grpc://sales"), &DomainName::new("geo")).is_none());
    for _ in 0..3 {
        geo.refresh_all().await;
        sales.refresh_all().await;
        assert_eq!((version(&geo), version(&sales)), versions);
    }
}

#[tokio::test]
async fn a_peer_says_whom_it_reaches_and_nonsense_is_left_out() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let owner = OwnerKey::new("grpc://owner");
    let told = |domain: &str, latency_ms, bandwidth| {
        let domain = DomainName::new(domain);
        Reach { domain, owner: owner.clone(), latency_ms, bandwidth }
    };
    peer.reach(vec![
        told("sales", 50.0, 12.5e6),
        told("late", f64::MAX, 1e6),
        told("before", -1.0, 1e6),
        told("still", 1.0, 0.0),
        told("nowhere", f64::NAN, f64::NAN),
    ]);
    let mesh = mesh(&[&peer]);
    let site = SiteId::new("grpc://geo");
    assert_eq!(mesh.view().reach(&site, &DomainName::new("sales")), None, "it was not asked yet");
    mesh.refresh_all().await;
    let view = mesh.view();
    let link = Link { latency: Duration::from_millis(50), bandwidth: 12.5e6 };
    assert_eq!(view.reach(&site, &DomainName::new("sales")), Some(link));
    for domain in ["late", "before", "still", "nowhere", "geo"] {
        assert_eq!(view.reach(&site, &DomainName::new(domain)), None, "{domain}");
    }
    assert_eq!(view.reach(&SiteId::new("grpc://other"), &DomainName::new("sales")), None);
    peer.reach(vec![]);
    peer.publish("2", vec![tpch_domain("geo")]);
    mesh.refresh_all().await;
    assert_eq!(mesh.view().reach(&site, &DomainName::new("sales")), None);
}

#[tokio::test]
async fn links_are_as_given_or_measured() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let given = LinkOverride { latency: Some(Duration::from_millis(50)), bandwidth: None };
    let mesh = linked(&peer, given);
    let site = SiteId::new("grpc://geo");
    let before = mesh.view();
    before.replicas(&site)[0].meter.record_stream(12_500_000, Duration::from_secs(1), Pace::Link);
    assert_eq!(before.link(&site).bandwidth, Link::default().bandwidth, "a view never changes");
    mesh.refresh_all().await;
    assert_eq!(mesh.view().link(&site), Link { latency: Duration::from_millis(50), bandwidth: 12.5e6 });
    assert_eq!(mesh.view().link(&SiteId::new("grpc://other")), Link::default());
    let nodes = mesh.snapshot().nodes.clone();
    assert_eq!((nodes[0].latency, nodes[0].bandwidth), (None, None));
    assert_eq!((nodes[1].latency, nodes[1].bandwidth), (given.latency, Some(12.5e6)));
}
