//! Domains with several nodes: which of them gets a fragment, and what happens if it fails.

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;

use super::*;
use crate::Engine;

const REGIONS: &str = "SELECT r_name FROM geo.places.region";

/// Returns a replica of the owner of `geo`.
fn replica(url: &str) -> Arc<FakePeer> {
    let peer = FakePeer::new(url, vec![tpch_domain("geo")]);
    peer.sign_as(url, Ok("ed25519:geo"));
    peer
}

/// Returns the options of a peer over a link of this latency, in milliseconds. It is not measured.
fn at(latency: u64) -> PeerOptions {
    let link = LinkOverride { latency: Some(Duration::from_millis(latency)), bandwidth: None };
    PeerOptions { link, ..PeerOptions::default() }
}

/// Returns the mesh of an engine with these peers, over links of these latencies.
fn mesh_at<const N: usize>(peers: [(&Arc<FakePeer>, u64); N]) -> Arc<Mesh> {
    let peers = peers.map(|(peer, latency)| (unmeasured(peer).0, at(latency)));
    Mesh::new(vec![], peers.into(), Owners::default()).unwrap()
}

/// Returns the URLs of the nodes that get a fragment of the domain, in their order.
fn tried(mesh: &Mesh) -> Vec<String> {
    let view = mesh.view();
    let site = view.snapshot.domains[&DomainName::new("geo")].served_by.to_string();
    view.replicas(&SiteId::new(site)).iter().map(|replica| replica.site.id().to_string()).collect()
}

#[tokio::test]
async fn peers_with_one_key_are_replicas() {
    let (one, two) = (replica("grpc://one"), replica("grpc://two"));
    let mesh = mesh_at([(&one, 1), (&two, 1)]);
    mesh.refresh_all().await;
    let snapshot = mesh.snapshot();
    let urls = vec!["grpc://one".to_owned(), "grpc://two".to_owned()];
    assert_eq!(snapshot.domains[&DomainName::new("geo")].served_by, ServedBy::Peers(urls));
    assert!(snapshot.nodes.iter().all(|node| node.refused.is_empty()));
    assert_eq!((snapshot.nodes[1].domains.len(), snapshot.nodes[2].domains.len()), (1, 1));
    assert_eq!(tried(&mesh), ["grpc://one", "grpc://two"]);
    assert_eq!(reaches(&mesh), ["geo"], "once, though two nodes serve it");

    one.go_down();
    mesh.refresh_all().await;
    assert_eq!(tried(&mesh), ["grpc://two", "grpc://one"]);
    assert_eq!(reaches(&mesh), ["geo"]);
    two.go_down();
    mesh.refresh_all().await;
    assert_eq!(reaches(&mesh), Vec::<String>::new());
    one.publish("1", vec![tpch_domain("geo")]);
    mesh.refresh_all().await;
    assert_eq!(tried(&mesh), ["grpc://one", "grpc://two"]);
}

#[tokio::test]
async fn the_nearest_replica_that_takes_fragments_is_first() {
    let (far, near, deaf) = (replica("grpc://far"), replica("grpc://near"), replica("grpc://deaf"));
    deaf.refuse_fragments();
    let mesh = mesh_at([(&deaf, 1), (&far, 50), (&near, 5)]);
    mesh.refresh_all().await;
    assert_eq!(tried(&mesh), ["grpc://near", "grpc://far", "grpc://deaf"]);
    let view = mesh.view();
    let site = SiteId::new(view.snapshot.domains[&DomainName::new("geo")].served_by.to_string());
    assert_eq!(view.link(&site).latency, Duration::from_millis(5));
}

#[tokio::test]
async fn the_catalog_is_that_of_the_replica_that_is_asked_first() {
    let (one, two) = (replica("grpc://one"), replica("grpc://two"));
    two.publish("2", vec![geo_without_regions()]);
    let mesh = mesh(&[&one, &two]);
    mesh.refresh_all().await;
    let region = PortRef::new("geo", "places", "region");
    assert!(mesh.snapshot().port(&region).is_some());
    one.go_down();
    mesh.refresh_all().await;
    assert!(mesh.snapshot().port(&region).is_none());
}

#[tokio::test]
async fn replicas_reach_what_each_of_them_reaches() {
    let (one, two) = (replica("grpc://one"), replica("grpc://two"));
    let told = |domain: &str| Reach {
        domain: DomainName::new(domain),
        owner: OwnerKey::new("ed25519:other"),
        latency_ms: 1.0,
        bandwidth: 1e6,
    };
    one.reach(vec![told("sales"), told("supply")]);
    two.reach(vec![told("sales")]);
    let mesh = mesh(&[&one, &two]);
    mesh.refresh_all().await;
    let site = SiteId::new("grpc://one, grpc://two");
    let reached = |domain: &str| mesh.view().reach(&site, &DomainName::new(domain)).is_some();
    assert!(reached("sales") && !reached("supply"));
    // A replica that is down gets no fragment.
    two.go_down();
    mesh.refresh_all().await;
    assert!(reached("sales") && reached("supply"));
}

/// Returns an engine over two replicas. The first one has a row `ONE`, and the second one a row `TWO`.
async fn engine(one: &Arc<FakePeer>, two: &Arc<FakePeer>) -> Engine {
    for (peer, name) in [(one, "ONE"), (two, "TWO")] {
        let names: ArrayRef = Arc::new(StringViewArray::from_iter_values([name]));
        peer.give(RecordBatch::try_from_iter([("r_name", names)]).unwrap());
    }
    let peers = Engine::builder().cpu_threads(1).peer_with(one.clone(), at(1)).peer_with(two.clone(), at(1));
    let engine = peers.build().unwrap();
    engine.refresh().await;
    engine
}

async fn regions(engine: &Engine) -> crate::Result<Vec<String>> {
    let batches: Vec<RecordBatch> = engine.sql(REGIONS).await?.try_collect().await?;
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    Ok(rows.map(|(batch, row)| array_value_to_string(batch.column(0), row).unwrap()).collect())
}

#[tokio::test]
async fn a_fragment_goes_to_the_next_replica_before_its_first_row() {
    let (one, two) = (replica("grpc://one"), replica("grpc://two"));
    let engine = engine(&one, &two).await;
    assert_eq!(regions(&engine).await.unwrap(), ["ONE"]);
    one.break_streams(false);
    assert_eq!(regions(&engine).await.unwrap(), ["TWO"]);
    assert_eq!((one.requests().len(), two.requests().len()), (2, 1));
    assert_eq!(one.requests()[1].plan, two.requests()[0].plan);
}

#[tokio::test]
async fn a_fragment_stays_with_its_replica_after_its_first_row() {
    let (one, two) = (replica("grpc://one"), replica("grpc://two"));
    let engine = engine(&one, &two).await;
    one.break_streams(true);
    let error = regions(&engine).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.chain());
    assert!(error.chain().contains("node grpc://one: the stream broke"), "{}", error.chain());
    assert_eq!(two.requests().len(), 0);
}

#[tokio::test]
async fn an_error_names_every_replica_that_failed() {
    let (one, two) = (replica("grpc://one"), replica("grpc://two"));
    let engine = engine(&one, &two).await;
    one.break_streams(false);
    two.break_streams(false);
    let error = regions(&engine).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.chain());
    for part in ["domain geo", "node grpc://one: the stream broke", "node grpc://two: the stream broke"] {
        assert!(error.chain().contains(part), "{}", error.chain());
    }
}
