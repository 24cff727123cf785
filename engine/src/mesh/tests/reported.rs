//! The peers that a node reports to other nodes.

use super::*;

/// Returns the URLs and keys of the peers that an engine reports.
fn reported(mesh: &Mesh, reader: CatalogReader) -> Vec<(String, String)> {
    let CatalogAnswer::Changed { peers, .. } = mesh.answer(None, reader) else { panic!("never asked before") };
    peers.into_iter().map(|peer| (peer.url, peer.key.to_string())).collect()
}

#[tokio::test]
async fn peers_that_own_a_domain_are_reported_to_nodes() {
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    geo.sign_as("i1", Ok("ed25519:geo"));
    let gateway = FakePeer::new("grpc://gateway", vec![]);
    let rogue = FakePeer::new("grpc://rogue", vec![tpch_domain("geo")]);
    let secret = FakePeer::new("grpc://user:password@sales", vec![tpch_domain("sales")]);
    let mesh = mesh(&[&geo, &gateway, &rogue, &secret]);
    let alone = version(&mesh);
    assert!(reported(&mesh, FULL).is_empty(), "no peer has answered");
    mesh.refresh_all().await;
    let expected = [("grpc://geo".to_owned(), "ed25519:geo".to_owned())];
    assert_eq!(reported(&mesh, FULL), expected);
    assert_eq!(reported(&mesh, CatalogReader::Node), expected);
    assert!(reported(&mesh, CatalogReader::Other).is_empty());
    assert_ne!(version(&mesh), alone);

    geo.go_down();
    mesh.refresh_all().await;
    assert_eq!(reported(&mesh, FULL), expected, "its catalog stays in use");
    geo.publish("2", vec![]);
    mesh.refresh_all().await;
    assert!(reported(&mesh, FULL).is_empty(), "the domain still belongs to its first owner");
}

#[tokio::test]
async fn a_peer_is_reported_for_the_domains_that_it_owns() {
    let geo = FakePeer::new("grpc://geo", vec![empty("geo")]);
    let sales = FakePeer::new("grpc://sales/", vec![empty("geo"), empty("sales")]);
    let mesh = mesh(&[&geo, &sales]);
    let domains = || {
        let CatalogAnswer::Changed { peers, .. } = mesh.answer(None, FULL) else { panic!("never asked before") };
        peers.into_iter().map(|peer| peer.domains.into_iter().collect()).collect::<Vec<Vec<DomainName>>>()
    };
    mesh.refresh_all().await;
    assert_eq!(domains(), [vec![DomainName::new("geo")], vec![DomainName::new("sales")]]);
    assert_eq!(reported(&mesh, FULL)[1].0, "grpc://sales", "a reported URL has no slash at its end");
    let before = version(&mesh);
    sales.publish("2", vec![empty("geo"), empty("sales"), empty("supply")]);
    mesh.refresh_all().await;
    assert_eq!(domains()[1], [DomainName::new("sales"), DomainName::new("supply")]);
    assert_ne!(version(&mesh), before);
}

#[tokio::test]
async fn a_caller_that_becomes_a_node_gets_the_peers() {
    let geo = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let mesh = mesh(&[&geo]);
    mesh.refresh_all().await;
    let CatalogAnswer::Changed { version, .. } = mesh.answer(None, CatalogReader::Other) else {
        panic!("never asked before")
    };
    assert_eq!(mesh.answer(Some(&version), CatalogReader::Other), CatalogAnswer::Unchanged);
    assert!(matches!(mesh.answer(Some(&version), CatalogReader::Node), CatalogAnswer::Changed { .. }));
}

#[tokio::test]
async fn a_report_is_bounded() {
    let peer = |i: usize| FakePeer::new(&format!("grpc://n{i}"), vec![empty(&format!("d{i}"))]);
    let peers: Vec<_> = (0..70).map(peer).collect();
    let mesh = mesh(&peers.iter().collect::<Vec<_>>());
    mesh.refresh_all().await;
    let reported = reported(&mesh, FULL);
    assert_eq!(reported.len(), 64);
    assert_eq!(reported[63].0, "grpc://n63");
}
