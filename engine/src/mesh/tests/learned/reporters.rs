//! Several peers that report the same peer, and the places that each of them can use.

use super::*;

/// The name of a reporter, its report, and its domains in the config.
type Reporter = (&'static str, Reported, Option<&'static [&'static str]>);

/// Returns the peer as it is reported with the key, and as the owner of these domains.
fn owning(peer: &Arc<FakePeer>, key: &str, domains: &[&str]) -> Reported {
    let domains = domains.iter().map(|domain| DomainName::new(*domain)).collect();
    (ReportedPeer { domains, ..peer.as_reported(key) }, Some(peer.clone()))
}

/// Returns the mesh of an engine that has asked these reporters.
async fn asked(reporters: &[Reporter]) -> Arc<Mesh> {
    let mut peers = vec![];
    for (name, report, domains) in reporters {
        let reporter = node(name, &[]);
        reporter.report(vec![report.clone()]);
        peers.push((unmeasured(&reporter).0, learning(*domains)));
    }
    let mesh = Mesh::new(vec![], peers, Owners::default()).unwrap();
    mesh.refresh_all().await;
    mesh.refresh_all().await;
    mesh
}

#[tokio::test]
async fn no_reporter_takes_away_the_domains_that_another_one_reports() {
    let geo = node("geo", &["geo"]);
    let right: Reporter = ("right", reported(&geo), None);
    let without: Reporter = ("without", owning(&geo, "ed25519:geo", &[]), None);
    let outside: Reporter = ("outside", reported(&geo), Some(&["other"]));
    for other in [without, outside] {
        // The second reporter is the first one from which the peer is learned, or the other way round.
        for reporters in [[right.clone(), other.clone()], [other.clone(), right.clone()]] {
            let mesh = asked(&reporters).await;
            assert_eq!(learned(&mesh), ["geo"]);
            assert_eq!(domains(&mesh), ["geo"], "{}", refused(&mesh, "geo"));
        }
    }
}

#[tokio::test]
async fn one_report_has_the_key_and_the_domain_and_its_reporter_may_report_it() {
    let geo = node("geo", &["geo"]);
    let without: Reporter = ("without", owning(&geo, "ed25519:geo", &[]), None);
    let wrong_key: Reporter = ("wrong", owning(&geo, "ed25519:old", &["geo"]), None);
    let outside: Reporter = ("outside", reported(&geo), Some(&["other"]));
    for reporters in [[without.clone(), wrong_key.clone()], [wrong_key, without.clone()]] {
        let mesh = asked(&reporters).await;
        assert_eq!(domains(&mesh), Vec::<String>::new());
        let reason = "the node that reports this peer does not report it as the owner of this domain";
        assert!(refused(&mesh, "geo").contains(reason), "{}", refused(&mesh, "geo"));
    }
    for reporters in [[without.clone(), outside.clone()], [outside, without]] {
        let mesh = asked(&reporters).await;
        assert_eq!(domains(&mesh), Vec::<String>::new());
        let reason = "the config does not name it in `domains` of the node that reports this peer";
        assert!(refused(&mesh, "geo").contains(reason), "{}", refused(&mesh, "geo"));
    }
}

#[tokio::test]
async fn one_reporter_leaves_places_for_others() {
    let hasty = node("hasty", &[]);
    let mesh = learning_from(&hasty, &[], Owners::default());
    for list in ["a", "b", "c"] {
        let peers: Vec<_> = (0..64).map(|i| node(&format!("{list}{i}"), &[])).collect();
        hasty.report(peers.iter().map(reported).collect());
        hasty.publish(list, vec![]);
        mesh.refresh_all().await;
        assert_eq!(learned(&mesh).len(), 64, "{list}");
    }
    let reason = "a node learns at most 64 peers from one peer";
    assert!(refused(&mesh, "hasty").contains(reason), "{}", refused(&mesh, "hasty"));
    // Those of the first list leave, and those of the last one come.
    for _ in 0..4 {
        mesh.refresh_all().await;
    }
    assert!(learned(&mesh).len() == 64 && learned(&mesh).iter().all(|name| name.starts_with('c')));
    assert_eq!(refused(&mesh, "hasty"), "");
}

#[tokio::test]
async fn a_right_key_replaces_a_wrong_one_without_a_free_place() {
    let (geo, right) = (node("geo", &["geo"]), node("right", &[]));
    let mut reporters = vec![];
    for i in 0..4 {
        let mut peers: Vec<_> = (0..64).map(|j| reported(&node(&format!("n{i}-{j}"), &[]))).collect();
        if i == 0 {
            peers[0] = with_key(&geo, "ed25519:old");
        }
        let reporter = node(&format!("reporter{i}"), &[]);
        reporter.report(peers);
        reporters.push(reporter);
    }
    reporters.push(right.clone());
    let peers = reporters.iter().map(|reporter| (unmeasured(reporter).0, learning(None))).collect();
    let mesh = Mesh::new(vec![], peers, Owners::default()).unwrap();
    mesh.refresh_all().await;
    assert_eq!((learned(&mesh).len(), domains(&mesh)), (256, vec![]));
    right.report(vec![reported(&geo)]);
    right.publish("2", vec![]);
    mesh.refresh_all().await;
    assert_eq!((learned(&mesh).len(), domains(&mesh)), (256, vec!["geo".to_owned()]));
}
