//! Claims to domains: which peer owns a domain, and what becomes of the claims of others.

use std::collections::BTreeMap;

use super::*;

/// Returns a mesh where each peer has these domains in its entry of the config.
fn with_allowed(peers: &[(&Arc<FakePeer>, Option<&[&str]>)], owners: Owners) -> Arc<Mesh> {
    let options = |domains: &Option<&[&str]>| PeerOptions {
        domains: domains.map(|names| names.iter().map(|name| DomainName::new(*name)).collect()),
        ..PeerOptions::default()
    };
    let peers = peers.iter().map(|(peer, domains)| (unmeasured(peer).0, options(domains)));
    Mesh::new(vec![], peers.collect(), owners).unwrap()
}

/// Returns the URL of the owner of a domain, or of its replicas.
fn owner(mesh: &Mesh, domain: &str) -> Option<String> {
    mesh.snapshot().domains.get(&DomainName::new(domain)).map(|entry| entry.served_by.to_string())
}

/// Returns the refused parts of the catalog of the peer at `index`.
fn refused(mesh: &Mesh, index: usize) -> Vec<String> {
    mesh.snapshot().nodes[index + 1].refused.clone()
}

/// Asserts that the peer at `index` has one refused part, for a reason with these words.
#[track_caller]
fn assert_refused(mesh: &Mesh, index: usize, parts: &[&str]) {
    let refused = refused(mesh, index);
    assert_eq!(refused.len(), 1, "{refused:?}");
    for part in parts {
        assert!(refused[0].contains(part), "expected `{part}`, got {refused:?}");
    }
}

#[tokio::test]
async fn the_first_owner_keeps_its_domain() {
    let one = FakePeer::new("grpc://one", vec![tpch_domain("geo"), tpch_domain("sales")]);
    let other = FakePeer::new("grpc://other", vec![tpch_domain("geo")]);
    one.sign_as("i1", Ok("ed25519:one"));
    other.sign_as("i2", Ok("ed25519:other"));
    let mesh = mesh(&[&one, &other]);
    for _ in 0..2 {
        mesh.refresh_all().await;
        assert_eq!(owner(&mesh, "geo").as_deref(), Some("grpc://one"));
        assert_eq!(mesh.snapshot().nodes[1].domains.len(), 2);
        assert_eq!(mesh.snapshot().nodes[2].domains.len(), 0);
        assert_eq!(refused(&mesh, 0), Vec::<String>::new());
        assert_refused(&mesh, 1, &["domain `geo`", "ed25519:one", "ed25519:other", "`domains.geo.key`"]);
        assert!(mesh.snapshot().refused.is_empty(), "the domain has an owner");
    }

    // The owner goes, and nobody takes its place.
    one.publish("2", vec![tpch_domain("sales")]);
    mesh.refresh_all().await;
    assert_eq!(owner(&mesh, "geo"), None);
    let claims = mesh.snapshot().refused[&DomainName::new("geo")].clone();
    assert_eq!(claims.len(), 1, "{claims:?}");
    assert_eq!(claims[0].node, "grpc://other");
    assert!(claims[0].reason.contains("the first owner of the domain had the key ed25519:one"), "{claims:?}");
}

#[tokio::test]
async fn an_owner_that_is_down_is_not_replaced() {
    let owner_peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let rogue = FakePeer::new("grpc://rogue", vec![tpch_domain("geo")]);
    rogue.go_down();
    let mesh = mesh(&[&rogue, &owner_peer]);
    mesh.refresh_all().await;
    owner_peer.go_down();
    rogue.publish("1", vec![tpch_domain("geo")]);
    mesh.refresh_all().await;
    assert_eq!(owner(&mesh, "geo").as_deref(), Some("grpc://geo"));
    assert_refused(&mesh, 0, &["domain `geo`"]);
}

#[tokio::test]
async fn owners_are_remembered_by_the_next_engine() {
    let folder = tempfile::tempdir().unwrap();
    let owners = || Owners::open(None, BTreeMap::new(), Some(folder.path().join("owners.json"))).unwrap();
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let rogue = FakePeer::new("grpc://rogue", vec![tpch_domain("geo")]);
    rogue.go_down();
    let first = with_allowed(&[(&geo, None), (&rogue, None)], owners());
    first.refresh_all().await;
    drop(first);
    geo.go_down();
    rogue.publish("1", vec![tpch_domain("geo")]);
    let second = with_allowed(&[(&geo, None), (&rogue, None)], owners());
    second.refresh_all().await;
    assert_eq!(owner(&second, "geo"), None);
    assert_refused(&second, 1, &["the key grpc://geo", "`owners.json`"]);
    geo.publish("1", vec![tpch_domain("geo")]);
    second.refresh_all().await;
    assert_eq!(owner(&second, "geo").as_deref(), Some("grpc://geo"));
}

#[tokio::test]
async fn a_domain_of_this_engine_stays_its_own() {
    let rogue = FakePeer::new("grpc://rogue", vec![tpch_domain("geo")]);
    let replica = FakePeer::new("grpc://replica", vec![tpch_domain("geo")]);
    rogue.sign_as("i1", Ok("ed25519:rogue"));
    replica.sign_as("i2", Ok("ed25519:own"));
    let owners = Owners::open(Some(OwnerKey::new("ed25519:own")), BTreeMap::new(), None).unwrap();
    let peers = vec![unmeasured(&rogue), unmeasured(&replica)];
    let mesh = Mesh::new(vec![owned(tpch_domain("geo"))], peers, owners).unwrap();
    mesh.refresh_all().await;
    assert_eq!(mesh.snapshot().domains[&DomainName::new("geo")].served_by, ServedBy::Here);
    assert!(mesh.snapshot().refused.is_empty());
    assert_refused(&mesh, 0, &["domain `geo`", "this node owns the domain"]);
    assert_eq!(refused(&mesh, 1), Vec::<String>::new());
    assert_eq!(mesh.snapshot().nodes[2].domains, [DomainName::new("geo")]);
    assert_eq!(reaches(&mesh), Vec::<String>::new(), "other nodes reach the domain here");
}

#[tokio::test]
async fn the_config_says_who_may_claim_a_domain() {
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo"), tpch_domain("sales")]);
    let rogue = FakePeer::new("grpc://rogue", vec![tpch_domain("geo")]);
    let mesh = with_allowed(&[(&rogue, None), (&geo, Some(&["geo"]))], Owners::default());
    mesh.refresh_all().await;
    assert_eq!(owner(&mesh, "geo").as_deref(), Some("grpc://geo"));
    assert_eq!(owner(&mesh, "sales"), None);
    assert_refused(&mesh, 0, &["domain `geo`", "gives the domain to other peers"]);
    assert_refused(&mesh, 1, &["domain `sales`", "does not name it in `domains` of this peer"]);
    assert_eq!(mesh.snapshot().refused.keys().collect::<Vec<_>>(), [&DomainName::new("sales")]);
}

#[tokio::test]
async fn a_pinned_domain_belongs_to_its_key() {
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let rogue = FakePeer::new("grpc://rogue", vec![tpch_domain("geo")]);
    geo.sign_as("i1", Ok("ed25519:geo"));
    rogue.sign_as("i2", Ok("ed25519:rogue"));
    let pinned = [(DomainName::new("geo"), vec![OwnerKey::new("ed25519:geo")])].into();
    let mesh = with_allowed(&[(&rogue, None), (&geo, None)], Owners::open(None, pinned, None).unwrap());
    mesh.refresh_all().await;
    assert_eq!(owner(&mesh, "geo").as_deref(), Some("grpc://geo"));
    assert_refused(&mesh, 0, &["domain `geo`", "pins the domain to another key", "ed25519:rogue"]);
}

#[tokio::test]
async fn a_peer_that_proves_no_key_owns_nothing() {
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    geo.sign_as("i1", Err("its catalog is signed for another URL"));
    let mesh = mesh(&[&geo]);
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), Vec::<String>::new());
    assert_refused(&mesh, 0, &["domain `geo`: its catalog is signed for another URL"]);
    assert_eq!(mesh.snapshot().nodes[1].key, None);

    // Proof comes with an answer, also if the catalog has not changed.
    geo.sign_as("i1", Ok("ed25519:geo"));
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo"]);
    assert_eq!(mesh.snapshot().nodes[1].key.as_deref(), Some("ed25519:geo"));
}

#[tokio::test]
async fn an_unchanged_catalog_of_another_process_is_requested_again() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    peer.sign_as("i1", Ok("ed25519:geo"));
    let mesh = mesh(&[&peer]);
    mesh.refresh_all().await;
    // Another node has the address, and says that nothing has changed.
    peer.sign_as("i2", Ok("ed25519:rogue"));
    mesh.refresh_all().await;
    assert_eq!(peer.asked(), [None, Some("1".to_owned()), None]);
    assert_eq!(domains(&mesh), Vec::<String>::new());
    assert_refused(&mesh, 0, &["domain `geo`", "ed25519:rogue"]);

    // The owner restarts: its process is another one, and its key is the same.
    peer.sign_as("i3", Ok("ed25519:geo"));
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo"]);
}

#[tokio::test]
async fn a_node_recognises_itself() {
    let itself = FakePeer::new("grpc://here", vec![tpch_domain("geo")]);
    let sales = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let mesh = mesh_of(vec![owned(tpch_domain("geo"))], &[&itself, &sales]);
    itself.sign_as(mesh.instance(), Ok("ed25519:geo"));
    for _ in 0..2 {
        mesh.refresh_all().await;
        let snapshot = mesh.snapshot();
        assert_eq!(snapshot.nodes[1].state, NodeState::Itself);
        assert_eq!((snapshot.nodes[1].domains.len(), snapshot.nodes[1].refused.len()), (0, 0));
        assert_eq!(snapshot.domains[&DomainName::new("geo")].served_by, ServedBy::Here);
        assert_eq!(reaches(&mesh), ["sales"]);
    }
    assert_eq!(itself.asked(), [None, Some("1".to_owned())], "the catalog is not sent again and again");

    // Another node takes the address.
    itself.sign_as("i2", Ok("ed25519:sales"));
    itself.publish("1", vec![tpch_domain("supply")]);
    mesh.refresh_all().await;
    assert_eq!(mesh.snapshot().nodes[1].state, NodeState::Up);
    assert_eq!(domains(&mesh), ["geo", "sales", "supply"]);
}

#[tokio::test]
async fn invalid_names_are_refused_and_nothing_of_them_is_known() {
    let mut geo = tpch_domain("geo");
    let places = geo.products.get_mut(&ProductName::new("places")).unwrap();
    let region = places.ports.get_mut(&PortName::new("region")).unwrap();
    region.name = PortRef::new("people", "customers", "planted");
    let mut reserved = tpch_domain("sales");
    reserved.domain = DomainName::new("portolan");
    let peer = FakePeer::new("grpc://geo", vec![geo, reserved, tpch_domain("supply"), tpch_domain("supply")]);
    let mesh = mesh(&[&peer]);
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo"]);
    let ports: Vec<_> = mesh.snapshot().ports().map(|port| port.name.to_string()).collect();
    assert_eq!(ports, ["geo.places.nation"]);
    let refused = refused(&mesh, 0);
    assert_eq!(refused.len(), 4, "{refused:?}");
    for part in ["people.customers.planted", "`portolan`", "two catalogs"] {
        assert!(refused.iter().any(|entry| entry.contains(part)), "{part}: {refused:?}");
    }
}

#[tokio::test]
async fn the_refused_parts_that_are_shown_are_bounded() {
    let domains = (0..100).map(|i| DomainCatalog::new(format!("d{i}"), []));
    let peer = FakePeer::new("grpc://geo", domains.collect());
    let mesh = with_allowed(&[(&peer, Some(&["other"]))], Owners::default());
    mesh.refresh_all().await;
    let refused = refused(&mesh, 0);
    assert_eq!(refused.len(), 17);
    assert_eq!(refused[16], "84 more entries are refused");
}

#[tokio::test]
async fn a_node_with_another_owner_in_mind_is_not_a_way_to_the_domain() {
    let sales = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let told = |owner: &str| {
        let (domain, owner) = (DomainName::new("geo"), OwnerKey::new(owner));
        vec![Reach { domain, owner, latency_ms: 1.0, bandwidth: 1e6 }]
    };
    let mesh = mesh(&[&sales, &geo]);
    for (version, owner, is_reached) in [("2", "grpc://rogue", false), ("3", "grpc://geo", true)] {
        sales.reach(told(owner));
        sales.publish(version, vec![tpch_domain("sales")]);
        mesh.refresh_all().await;
        let reach = mesh.view().reach(sales.id(), &DomainName::new("geo"));
        assert_eq!(reach.is_some(), is_reached, "{owner}");
    }
}
