//! A peer that sends wrong rows: each kind is an error that describes it, and none passes for a result. The gateway decodes
//! the rows, or relays them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_testbed::descriptors;
use portolan_tests::lying_peer::{Lie, LyingPeer};
use portolan_tests::mesh::{data, until, within};
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, count, failure};
use serde_json::json;

const NATIONS: &str = "SELECT n_name, n_nationkey FROM geo.places.nation";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_responses_of_a_peer_are_detected() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("geo");
        descriptors::write("geo", &data(), &home).unwrap();
        let node = Node::start(&home, json!({ "domain": "geo" }));
        let peer = LyingPeer::in_front_of(node.url()).await;
        // The catalog is that of the real node, which signs it for its own URL.
        let entry = json!({ "url": peer.url(), "audience": node.url() });
        let config = json!({ "peers": [entry], "refresh_interval": "500ms" });
        let gateway = Node::start(&folder.path().join("gateway"), config);
        let client = gateway.client().await;
        let whole = "SELECT count(*) FROM (SELECT DISTINCT n_name FROM geo.places.nation)";
        let soon = Duration::from_secs(30);
        until("the gateway knows the domain", soon, async || count(&client, whole).await == Ok(25)).await;
        client.query("SET portolan.query_timeout = 4").await.unwrap();

        for (lie, kind, said) in [
            (Lie::NoSummary, ErrorKind::SiteUnavailable, "cut short"),
            (Lie::FewerRows, ErrorKind::SiteUnavailable, "cut short"),
            (Lie::OtherColumns, ErrorKind::SiteUnavailable, "columns"),
            (Lie::Garbage, ErrorKind::SiteUnavailable, "cannot be decoded"),
            (Lie::Silence, ErrorKind::DeadlineExceeded, ""),
            (Lie::EndlessWait, ErrorKind::DeadlineExceeded, ""),
        ] {
            peer.tell(lie);
            // The gateway relays no rows that it compresses.
            for (placement, compression) in [("on", "none"), ("on", "lz4"), ("off", "lz4")] {
                client.query(&format!("SET portolan.placement = {placement}")).await.unwrap();
                client.query(&format!("SET portolan.compression = {compression}")).await.unwrap();
                let error = tokio::time::timeout(soon, failure(&client, NATIONS)).await.expect("a deadline of 4 s");
                assert_says(&error, kind, &["geo", peer.url(), said]);
            }
        }
        peer.tell(Lie::None);
        assert_eq!(count(&client, whole).await, Ok(25));
    })
    .await;
}
