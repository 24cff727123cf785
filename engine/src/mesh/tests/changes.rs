//! Peers of the config that come and go while an engine runs.

use portolan_connectors::ReportedPeer;
use tokio::sync::Notify;

use super::*;

/// Returns a peer that owns this domain, and whose key has its name.
fn node(name: &str) -> Arc<FakePeer> {
    let peer = FakePeer::new(&format!("grpc://{name}"), vec![empty(name)]);
    peer.sign_as(name, Ok(&format!("ed25519:{name}")));
    peer
}

fn reported(peer: &Arc<FakePeer>) -> (ReportedPeer, Option<Arc<FakePeer>>) {
    (peer.as_reported(&peer.id().as_str().replace("grpc://", "ed25519:")), Some(peer.clone()))
}

fn learning() -> PeerOptions {
    PeerOptions { learn_peers: true, ..PeerOptions::default() }
}

fn add(mesh: &Mesh, peer: &Arc<FakePeer>, options: PeerOptions) {
    mesh.add_peer(peer.clone(), options);
}

#[tokio::test]
async fn a_peer_is_added_and_removed_while_queries_run() {
    let (geo, sales) = (node("geo"), node("sales"));
    let mesh = mesh(&[&geo]);
    mesh.start_refreshing(Duration::from_millis(10)).unwrap();
    add(&mesh, &sales, PeerOptions::default());
    while domains(&mesh) != ["geo", "sales"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let view = mesh.view();
    assert!(mesh.remove_peer(geo.id()));
    assert_eq!(domains(&mesh), ["sales"]);
    assert_eq!(mesh.snapshot().nodes.len(), 2);
    assert_eq!(view.replicas(geo.id()).len(), 1, "a running query keeps its view");
    assert!(!mesh.remove_peer(geo.id()), "it is gone");
    // The requests to a removed peer end.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = geo.asked().len();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(geo.asked().len(), asked);
}

#[tokio::test]
async fn a_replaced_peer_serves_its_domain_until_it_answers() {
    let geo = node("geo");
    let mesh = mesh(&[&geo]);
    mesh.refresh_all().await;
    let link = LinkOverride { latency: Some(Duration::from_millis(70)), bandwidth: None };
    let (again, other) = (node("geo"), [DomainName::new("other")].into());
    add(&mesh, &again, PeerOptions { link, ..PeerOptions::default() });
    assert_eq!(domains(&mesh), ["geo"]);
    assert_eq!(mesh.snapshot().nodes.len(), 2);
    assert_eq!(mesh.snapshot().nodes[1].latency, Some(Duration::from_millis(70)));
    mesh.refresh_all().await;
    assert_eq!(again.asked(), [None], "the whole catalog is requested");
    assert_eq!((geo.asked().len(), domains(&mesh)), (1, vec!["geo".to_owned()]));
    // The options hold at once.
    add(&mesh, &again, PeerOptions { domains: Some(other), ..PeerOptions::default() });
    assert_eq!(domains(&mesh), Vec::<String>::new());
}

/// A peer that answers when it is notified.
#[derive(Debug)]
struct LatePeer(Arc<FakePeer>, Notify);

#[async_trait::async_trait]
impl Site for LatePeer {
    fn id(&self) -> &SiteId {
        self.0.id()
    }

    async fn execute(&self, _: FragmentRequest) -> crate::Result<FragmentStream> {
        panic!("it has no rows")
    }
}

#[async_trait::async_trait]
impl Peer for LatePeer {
    async fn catalog(&self, known: Option<&str>) -> crate::Result<PeerCatalog> {
        self.1.notified().await;
        self.0.catalog(known).await
    }
}

#[tokio::test]
async fn a_late_answer_of_a_replaced_connection_does_not_count() {
    let late = Arc::new(LatePeer(node("geo"), Notify::new()));
    let peers: Vec<(Arc<dyn Peer>, _)> = vec![(late.clone(), PeerOptions::default())];
    let mesh = Mesh::new(vec![], peers, Owners::default()).unwrap();
    let replace = async {
        add(&mesh, &node("geo"), PeerOptions::default());
        late.1.notify_one();
    };
    tokio::join!(mesh.refresh_all(), replace);
    assert_eq!(mesh.snapshot().nodes[1].state, NodeState::Unknown);
    assert_eq!(domains(&mesh), Vec::<String>::new());
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo"]);
}

#[tokio::test]
async fn learned_peers_go_with_their_reporter_and_give_way_to_the_config() {
    let (geo, sales) = (node("geo"), node("sales"));
    sales.report(vec![reported(&geo)]);
    let mesh = Mesh::new(vec![], vec![(unmeasured(&sales).0, learning())], Owners::default()).unwrap();
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    // The entry in the config takes the place of the learned peer.
    add(&mesh, &geo, PeerOptions::default());
    let learned = |mesh: &Mesh| mesh.snapshot().nodes.iter().filter(|node| node.learned_from.is_some()).count();
    assert_eq!((mesh.snapshot().nodes.len(), learned(&mesh)), (3, 0));
    mesh.refresh_all().await;
    assert_eq!((domains(&mesh), learned(&mesh)), (vec!["geo".to_owned(), "sales".to_owned()], 0));
    // Without the entry, it is learned again.
    assert!(mesh.remove_peer(geo.id()));
    mesh.refresh_all().await;
    assert_eq!((domains(&mesh), learned(&mesh)), (vec!["geo".to_owned(), "sales".to_owned()], 1));
    // Nothing is learned from a peer whose entry no longer permits it.
    add(&mesh, &sales, PeerOptions::default());
    assert_eq!(domains(&mesh), ["sales"]);
    mesh.refresh_all().await;
    assert_eq!((domains(&mesh), learned(&mesh)), (vec!["sales".to_owned()], 0));
    add(&mesh, &sales, learning());
    mesh.refresh_all().await;
    assert_eq!(domains(&mesh), ["geo", "sales"]);
    assert!(mesh.remove_peer(sales.id()));
    assert_eq!(domains(&mesh), Vec::<String>::new());
}

#[tokio::test]
async fn pins_can_change() {
    let geo = node("geo");
    let mesh = mesh(&[&geo]);
    mesh.refresh_all().await;
    mesh.pin_domains([(DomainName::new("geo"), vec![OwnerKey::new("ed25519:other")])].into());
    assert_eq!(domains(&mesh), Vec::<String>::new());
    mesh.pin_domains([].into());
    assert_eq!(domains(&mesh), ["geo"]);
}
