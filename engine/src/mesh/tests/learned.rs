//! Peers that a node learns from its peers: which ones, what they may own, and when they leave.

mod reporters;

use portolan_connectors::ReportedPeer;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::mesh::refresh;

/// A reported peer, as `FakePeer::report` takes it.
type Reported = (ReportedPeer, Option<Arc<FakePeer>>);

/// Returns a peer that owns these domains, and whose key has its name.
fn node(name: &str, domains: &[&str]) -> Arc<FakePeer> {
    let peer = FakePeer::new(&format!("grpc://{name}"), domains.iter().map(|domain| empty(domain)).collect());
    peer.sign_as(name, Ok(&format!("ed25519:{name}")));
    peer
}

/// Returns a peer as it is reported, with this key and all domains that it claims.
fn with_key(peer: &Arc<FakePeer>, key: &str) -> Reported {
    (peer.as_reported(key), Some(peer.clone()))
}

/// Returns the peer of this name as it is reported.
fn reported(peer: &Arc<FakePeer>) -> Reported {
    with_key(peer, &peer.id().as_str().replace("grpc://", "ed25519:"))
}

/// Returns the options of a peer whose peers are learned.
fn learning(domains: Option<&[&str]>) -> PeerOptions {
    let domains = domains.map(|names| names.iter().map(|name| DomainName::new(*name)).collect());
    PeerOptions { domains, learn_peers: true, ..PeerOptions::default() }
}

/// Returns the mesh of an engine that learns peers from `reporter`, and has `others` in its config too.
fn learning_from(reporter: &Arc<FakePeer>, others: &[&Arc<FakePeer>], owners: Owners) -> Arc<Mesh> {
    let first = (unmeasured(reporter).0, learning(None));
    Mesh::new(vec![], std::iter::once(first).chain(others.iter().map(|p| unmeasured(p))).collect(), owners).unwrap()
}

/// Returns the URLs of the learned peers, without their scheme.
fn learned(mesh: &Mesh) -> Vec<String> {
    let snapshot = mesh.snapshot();
    let learned = snapshot.nodes.iter().filter(|node| node.learned_from.is_some());
    learned.map(|node| url(&node.location).trim_start_matches("grpc://").to_owned()).collect()
}

fn url(location: &NodeLocation) -> &str {
    match location {
        NodeLocation::Here => "here",
        NodeLocation::Peer(url) => url,
    }
}

/// Returns the refused parts of the node with this name, in one text.
fn refused(mesh: &Mesh, name: &str) -> String {
    let snapshot = mesh.snapshot();
    let node = snapshot.nodes.iter().find(|node| url(&node.location) == format!("grpc://{name}")).expect(name);
    node.refused.join("\n")
}

#[tokio::test]
async fn a_reported_peer_is_used_while_it_is_reported() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    sales.report(vec![reported(&geo)]);
    let mesh = learning_from(&sales, &[], Owners::default());
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    let snapshot = mesh.snapshot();
    assert_eq!(snapshot.nodes[1].learned_from, None);
    assert_eq!(snapshot.nodes[2].learned_from.as_deref(), Some("grpc://sales"));
    assert_eq!(snapshot.nodes[2].state, NodeState::Up);
    assert_eq!(reaches(&mesh), ["geo", "sales"]);

    let view = mesh.view();
    sales.report(vec![]);
    sales.publish("2", vec![empty("sales")]);
    for _ in 0..3 {
        mesh.refresh_all().await;
        assert_eq!(domains(&mesh), ["geo", "sales"], "the reporter may have restarted");
    }
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["sales"]);
    assert_eq!(mesh.snapshot().nodes.len(), 2);
    assert_eq!(view.replicas(geo.id()).len(), 1, "a running query keeps its view");

    // A node with another key does not get the domain in the meantime.
    let rogue = node("rogue", &["geo"]);
    sales.report(vec![reported(&rogue), reported(&geo)]);
    sales.publish("3", vec![empty("sales")]);
    mesh.refresh_all().await;
    let geo = mesh.snapshot().domains[&DomainName::new("geo")].served_by.clone();
    assert_eq!(geo, ServedBy::Peers(vec!["grpc://geo".to_owned()]));
    assert!(refused(&mesh, "rogue").contains("the first owner of the domain had the key ed25519:geo"));
}

#[tokio::test]
async fn a_reporter_that_is_down_keeps_its_peers() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    sales.report(vec![reported(&geo)]);
    let mesh = learning_from(&sales, &[], Owners::default());
    mesh.refresh_all().await;
    sales.go_down();
    for _ in 0..8 {
        mesh.refresh_all().await;
    }
    assert_eq!(learned(&mesh), ["geo"]);

    // Another process has the address of the reporter, and reports nothing.
    sales.sign_as("other", Ok("ed25519:other"));
    sales.report(vec![]);
    sales.publish("1", vec![]);
    for _ in 0..4 {
        mesh.refresh_all().await;
    }
    assert_eq!(learned(&mesh), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_learned_without_permission() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    sales.report(vec![reported(&geo)]);
    let mesh = mesh(&[&sales]);
    mesh.refresh_all().await;
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["sales"]);
    assert!(geo.asked().is_empty());
}

#[tokio::test]
async fn learning_is_one_step() {
    let (far, geo, sales) = (node("far", &["far"]), node("geo", &["geo"]), node("sales", &["sales"]));
    geo.report(vec![reported(&far)]);
    sales.report(vec![reported(&geo)]);
    let mesh = learning_from(&sales, &[], Owners::default());
    mesh.refresh_all().await;
    mesh.refresh_all().await;
    assert_eq!(learned(&mesh), ["geo"]);
    let CatalogAnswer::Changed { peers, .. } = mesh.answer(None, FULL) else { panic!("never asked before") };
    assert_eq!(peers, [reported(&sales).0], "a node does not report the peers that it has learned");
}

#[tokio::test]
async fn claims_of_learned_peers_follow_the_rules_for_all_peers() {
    let sales = node("sales", &["sales"]);
    let pinned = [(DomainName::new("pinned"), vec![OwnerKey::new("ed25519:owner")])].into();
    let owners = Owners::open(None, pinned, None).unwrap();
    let given = node("given", &[]);
    let rogue = node("rogue", &["given", "pinned", "sales"]);
    sales.report(vec![reported(&rogue)]);
    let allowed: &[&str] = &["given"];
    let peers = vec![
        (unmeasured(&sales).0, learning(None)),
        (unmeasured(&given).0, PeerOptions { learn_peers: false, ..learning(Some(allowed)) }),
    ];
    let mesh = Mesh::new(vec![], peers, owners).unwrap();
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["sales"]);
    let refused = refused(&mesh, "rogue");
    for part in [
        "domain `given`: the config gives the domain to other peers",
        "domain `pinned`: its key is ed25519:rogue, but the config pins the domain to another key",
        "domain `sales`: its key is ed25519:rogue, but the first owner of the domain had the key ed25519:sales",
    ] {
        assert!(refused.contains(part), "{part}\n{refused}");
    }
}

#[tokio::test]
async fn the_domains_of_a_reporter_bound_those_of_its_peers() {
    let (geo, sales) = (node("geo", &["geo", "people"]), node("sales", &["sales"]));
    sales.report(vec![reported(&geo)]);
    let allowed: &[&str] = &["sales", "geo"];
    let mesh = Mesh::new(vec![], vec![(unmeasured(&sales).0, learning(Some(allowed)))], Owners::default()).unwrap();
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    let expected = "domain `people`: the config does not name it in `domains` of the node that reports this peer";
    assert_eq!(refused(&mesh, "geo"), expected);
}

#[tokio::test]
async fn a_learned_peer_owns_only_the_domains_for_which_it_is_reported() {
    let (people, partner) = (node("people", &["people"]), node("partner", &["partner", "people"]));
    let entry = |peer: &Arc<FakePeer>, domain: &str| {
        let allowed: &[&str] = &[domain];
        (unmeasured(peer).0, PeerOptions { learn_peers: false, ..learning(Some(allowed)) })
    };
    let peers = vec![entry(&people, "people"), entry(&partner, "partner")];
    let hub = Mesh::new(vec![], peers, Owners::default()).unwrap();
    hub.refresh_all().await;
    let CatalogAnswer::Changed { peers, .. } = hub.answer(None, FULL) else { panic!("never asked before") };
    let with_fake = |peer: ReportedPeer| {
        let fake = [&people, &partner].into_iter().find(|fake| fake.id().as_str() == peer.url).cloned();
        (peer, fake)
    };
    let reporter = node("hub", &[]);
    reporter.report(peers.into_iter().map(with_fake).collect());

    // The partner is the first one to claim the domain.
    people.go_down();
    let mesh = learning_from(&reporter, &[], Owners::default());
    mesh.refresh_all().await;
    assert_eq!(learned(&mesh), ["people", "partner"]);
    assert_eq!(domains(&mesh), ["partner"]);
    let reason = "domain `people`: the node that reports this peer does not report it as the owner of this domain";
    assert!(refused(&mesh, "partner").contains(reason), "{}", refused(&mesh, "partner"));
    people.publish("1", vec![empty("people")]);
    mesh.refresh_all().await;
    let served_by = mesh.snapshot().domains[&DomainName::new("people")].served_by.clone();
    assert_eq!(served_by, ServedBy::Peers(vec!["grpc://people".to_owned()]));
}

#[tokio::test]
async fn a_learned_peer_proves_the_reported_key() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    sales.report(vec![with_key(&geo, "ed25519:old")]);
    let mesh = learning_from(&sales, &[], Owners::default());
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["sales"]);
    assert!(refused(&mesh, "geo").contains("its key is ed25519:geo, but the node that reports it reports the key"));
    assert!(mesh.with_state(|state| state.peers[&1].claims.is_empty()), "the catalog takes no memory");

    // The reporter has noticed the new key.
    sales.report(vec![reported(&geo)]);
    sales.publish("2", vec![empty("sales")]);
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    assert_eq!(geo.asked(), [None, None]);
    assert_eq!(refused(&mesh, "geo"), "");
}

/// Keeps the warnings in the log.
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_wrong_key_is_logged_once() {
    let warnings = Arc::new(Mutex::new(vec![]));
    let _log = tracing::subscriber::set_default(Warnings(warnings.clone()));
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    sales.report(vec![with_key(&geo, "ed25519:old")]);
    let mesh = learning_from(&sales, &[], Owners::default());
    for _ in 0..3 {
        mesh.refresh_all().await;
    }
    let warnings = warnings.lock().unwrap();
    let of_key = warnings.iter().filter(|line| line.contains("its key is ed25519:geo, but the node that reports it"));
    assert_eq!(of_key.count(), 1, "{warnings:?}");
}

#[tokio::test]
async fn a_report_with_a_wrong_key_does_not_hide_the_right_one() {
    let (geo, stale, sales) = (node("geo", &["geo"]), node("stale", &[]), node("sales", &["sales"]));
    stale.report(vec![with_key(&geo, "ed25519:old")]);
    sales.report(vec![reported(&geo)]);
    let peers = [&stale, &sales].map(|peer| (unmeasured(peer).0, learning(None)));
    let mesh = Mesh::new(vec![], peers.into(), Owners::default()).unwrap();
    for _ in 0..4 {
        mesh.refresh_all().await;
        assert_eq!(domains(&mesh), ["geo", "sales"]);
        assert_eq!(mesh.snapshot().nodes[3].learned_from.as_deref(), Some("grpc://sales"));
    }
    assert_eq!(geo.asked().len(), 4);
}

#[tokio::test]
async fn a_learned_peer_that_proves_no_key_takes_no_memory() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    geo.sign_as("geo", Err("its catalog is signed for another URL"));
    sales.report(vec![reported(&geo)]);
    let mesh = learning_from(&sales, &[], Owners::default());
    mesh.refresh_all().await;
    assert_eq!(refused(&mesh, "geo"), "its catalog is signed for another URL");
    assert!(mesh.with_state(|state| state.peers[&1].claims.is_empty()));
}

#[tokio::test]
async fn a_peer_that_proves_no_key_teaches_no_peers() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    sales.report(vec![reported(&geo)]);
    sales.sign_as("sales", Err("its catalog is signed for another URL"));
    let mesh = learning_from(&sales, &[], Owners::default());
    mesh.refresh_all().await;
    assert_eq!(learned(&mesh), Vec::<String>::new());
}

#[tokio::test]
async fn the_claims_of_the_config_come_first() {
    let (owner, rogue, sales) = (node("owner", &["geo"]), node("rogue", &["geo"]), node("sales", &["sales"]));
    sales.report(vec![reported(&rogue)]);
    let mesh = learning_from(&sales, &[&owner], Owners::default());
    for _ in 0..3 {
        refresh::ask(&mesh, 0).await;
    }
    assert_eq!(learned(&mesh), Vec::<String>::new(), "the owner was not asked yet");
    mesh.refresh_all().await;
    assert_eq!(learned(&mesh), ["rogue"]);
    let geo = mesh.snapshot().domains[&DomainName::new("geo")].served_by.clone();
    assert_eq!(geo, ServedBy::Peers(vec!["grpc://owner".to_owned()]));
}

#[tokio::test]
async fn a_node_learns_neither_itself_nor_a_peer_twice() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    // The same process as `geo`, by another URL, and a replica of `geo`.
    let (alias, replica) = (node("alias", &["geo"]), node("replica", &["geo"]));
    alias.sign_as("geo", Ok("ed25519:geo"));
    replica.sign_as("replica", Ok("ed25519:geo"));
    let (itself, own) = (node("itself", &["own"]), node("own", &["own"]));
    let key_of_geo = "ed25519:geo";
    sales.report(vec![
        reported(&geo),
        with_key(&alias, key_of_geo),
        with_key(&replica, key_of_geo),
        reported(&own),
        with_key(&itself, "ed25519:itself"),
    ]);
    let owners = Owners::open(Some(OwnerKey::new("ed25519:own")), [].into(), None).unwrap();
    let mesh = learning_from(&sales, &[&geo], owners);
    itself.sign_as(mesh.instance(), Ok("ed25519:itself"));
    mesh.refresh_all().await;
    assert_eq!(learned(&mesh), ["alias", "replica", "itself"]);
    let replicas = vec!["grpc://geo".to_owned(), "grpc://replica".to_owned()];
    assert_eq!(mesh.snapshot().domains[&DomainName::new("geo")].served_by, ServedBy::Peers(replicas));
    assert!(refused(&mesh, "alias").contains("it is the node grpc://geo, which this node knows already"));
    assert_eq!(mesh.snapshot().nodes[5].state, NodeState::Itself);

    // While the URL in the config does not respond, the node serves its domain under the other one.
    geo.go_down();
    mesh.refresh_all().await;
    assert_eq!(refused(&mesh, "alias"), "");
    assert_eq!(mesh.snapshot().nodes[3].domains, [DomainName::new("geo")]);
    assert!(own.asked().is_empty(), "a node with the key of this engine is this engine, or has nothing more");
}

#[tokio::test]
async fn a_reported_peer_that_is_not_used_is_shown_with_the_reason() {
    let (geo, sales) = (node("geo", &["geo"]), node("sales", &["sales"]));
    let with_domains = |url: String, domains: Vec<String>| {
        let domains = domains.into_iter().map(DomainName::new).collect();
        (ReportedPeer { url, key: OwnerKey::new("ed25519:x"), domains }, None)
    };
    let hostile = with_domains("grpc://\u{1b}]0;evil".to_owned(), vec![]);
    let long = with_domains(format!("grpc://{}", "x".repeat(1_000)), vec![]);
    let long_domain = with_domains("grpc://a".to_owned(), vec!["x".repeat(1_000)]);
    let many = with_domains("grpc://b".to_owned(), (0..257).map(|i| format!("d{i}")).collect());
    sales.report(vec![long, long_domain, many, hostile, reported(&geo)]);
    let mesh = learning_from(&sales, &[], Owners::default());
    mesh.refresh_all().await;
    assert_eq!(learned(&mesh), ["geo"]);
    let shown = refused(&mesh, "sales");
    let long = "a reported peer: its URL, key or a domain has more than 512 bytes";
    assert_eq!(shown.matches(long).count(), 2, "{shown}");
    assert!(shown.contains("a reported peer: expected at most 256 domains, got 257"), "{shown}");
    assert!(shown.contains("reported peer `grpc://\\u{1b}]0;evil`: the URL is not accepted"), "{shown}");

    sales.report(vec![reported(&geo)]);
    sales.publish("2", vec![empty("sales")]);
    mesh.refresh_all().await;
    assert_eq!(refused(&mesh, "sales"), "");
}

#[tokio::test]
async fn learned_peers_are_bounded() {
    let (mut reporters, mut all) = (vec![], vec![]);
    for i in 0..5 {
        let reporter = node(&format!("reporter{i}"), &[]);
        let peers: Vec<_> = (0..65).map(|j| node(&format!("n{i}-{j}"), &[])).collect();
        reporter.report(peers.iter().map(reported).collect());
        reporters.push(reporter);
        all.extend(peers);
    }
    let peers = reporters.iter().map(|reporter| (unmeasured(reporter).0, learning(None))).collect();
    let mesh = Mesh::new(vec![], peers, Owners::default()).unwrap();
    mesh.refresh_all().await;
    assert_eq!(learned(&mesh).len(), 256);
    assert_eq!(all.iter().filter(|peer| !peer.asked().is_empty()).count(), 256);
    let refused: Vec<_> = (0..5).map(|i| refused(&mesh, &format!("reporter{i}"))).collect();
    let with = |text: &str| refused.iter().filter(|refused| refused.contains(text)).count();
    assert_eq!(with("reported peers: expected at most 64, got 65"), 5);
    assert_eq!(with("a node learns at most 256 peers"), 1);
    mesh.refresh_all().await;
    assert_eq!(reporters.iter().map(|reporter| reporter.connections()).sum::<usize>(), 256, "none is made in vain");
}
