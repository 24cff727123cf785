#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use portolan_catalog::{DomainCatalog, DomainName, NodeLocation, NodeState, PortName, PortRef, ProductName};
use portolan_connectors::{CatalogAnswer, Peer};

use super::Mesh;
use crate::ErrorKind;
use crate::fake_mesh::{FakePeer, owned, tpch_domain};

fn mesh(peers: &[&Arc<FakePeer>]) -> Arc<Mesh> {
    Mesh::new(vec![], peers.iter().map(|p| Arc::clone(p) as Arc<dyn Peer>).collect()).unwrap()
}

fn domains(mesh: &Mesh) -> Vec<String> {
    mesh.snapshot().domains.keys().map(ToString::to_string).collect()
}

/// `geo` with one port less.
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
    assert_eq!(snapshot.domains[&DomainName::new("geo")].node, NodeLocation::Peer("grpc://geo".into()));
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

#[tokio::test]
async fn a_domain_that_two_claim_is_refused_and_both_are_named() {
    let one = FakePeer::new("grpc://one", vec![tpch_domain("geo"), tpch_domain("sales")]);
    let other = FakePeer::new("grpc://other", vec![tpch_domain("geo")]);
    let mesh = mesh(&[&one, &other]);
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["sales"]);
    assert_eq!(mesh.snapshot().conflicts[&DomainName::new("geo")], ["grpc://one", "grpc://other"]);

    other.publish("2", vec![]);
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    assert!(mesh.snapshot().conflicts.is_empty());
}

#[tokio::test]
async fn a_domain_of_this_node_is_not_taken_by_a_peer() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let mesh = Mesh::new(vec![owned(tpch_domain("geo"))], vec![peer]).unwrap();
    assert_eq!(domains(&mesh), ["geo"]);
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), Vec::<String>::new());
    assert_eq!(mesh.snapshot().conflicts[&DomainName::new("geo")], ["this node", "grpc://geo"]);
}

#[test]
fn two_local_domains_of_one_name_are_refused() {
    let error = Mesh::new(vec![owned(tpch_domain("geo")), owned(tpch_domain("geo"))], vec![]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(error.chain().contains("`geo`"));
}

#[test]
fn a_replaced_domain_is_what_new_queries_see() {
    let mesh = Mesh::new(vec![owned(tpch_domain("geo"))], vec![]).unwrap();
    let before = mesh.view();
    mesh.replace_local(owned(geo_without_regions()));
    let region = PortRef::new("geo", "places", "region");
    assert!(!mesh.view().local.contains_key(&region));
    assert!(before.local.contains_key(&region), "a running query keeps its view");
}

#[test]
fn a_load_error_is_told_until_a_good_version_comes() {
    let mesh = Mesh::new(vec![owned(tpch_domain("geo"))], vec![]).unwrap();
    let geo = DomainName::new("geo");
    let told = |mesh: &Mesh| {
        let products = &mesh.snapshot().domains[&DomainName::new("geo")].catalog.products;
        products[&ProductName::new("places")].load_error.clone()
    };
    let before = mesh.answer(None);
    mesh.report_load_error(&geo, "line 3: unknown key");
    assert_eq!(told(&mesh).as_deref(), Some("line 3: unknown key"));
    assert!(mesh.snapshot().port(&PortRef::new("geo", "places", "region")).is_some());
    assert_ne!(mesh.answer(None), before, "peers are told, too");
    mesh.replace_local(owned(tpch_domain("geo")));
    assert_eq!(told(&mesh), None);
    mesh.report_load_error(&DomainName::new("elsewhere"), "nobody's");
    assert_eq!(told(&mesh), None);
}

#[test]
fn an_answer_is_small_where_nothing_changed() {
    let mesh = Mesh::new(vec![owned(tpch_domain("geo"))], vec![]).unwrap();
    let CatalogAnswer::Changed { version, domains } = mesh.answer(None) else { panic!("never asked before") };
    assert_eq!(domains, [tpch_domain("geo")]);
    assert_eq!(mesh.answer(Some(&version)), CatalogAnswer::Unchanged);
    assert!(matches!(mesh.answer(Some("another")), CatalogAnswer::Changed { .. }));
}

#[tokio::test]
async fn catalogs_of_others_are_not_passed_on() {
    let peer = FakePeer::new("grpc://sales", vec![tpch_domain("sales")]);
    let mesh = Mesh::new(vec![owned(tpch_domain("geo"))], vec![peer]).unwrap();
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    let CatalogAnswer::Changed { domains, .. } = mesh.answer(None) else { panic!("never asked before") };
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
    // The task that asked let go of the peer.
    while Arc::strong_count(&peer) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
