//! Peers that a gateway learns from another node, the hub.

use std::sync::Arc;

use portolan_connectors::node::{NodeIdentity, NodeOptions, NodeSite};
use portolan_connectors::{CatalogAnswer, Peer};

use super::*;

impl Homes {
    /// Starts the hub with these peers. `listen` is an address, or null for any.
    fn hub(&self, peers: &[&Node], listen: &Value) -> Node {
        let peers: Vec<_> = peers.iter().map(|peer| json!({ "url": peer.url() })).collect();
        let config = json!({ "peers": peers, "listen": listen, "refresh_interval": "500ms" });
        Node::start(&self.path("hub"), config)
    }

    /// Restarts the hub with other peers, at its address.
    fn restart_hub(&self, hub: Node, peers: &[&Node]) -> Node {
        let address = hub.url().rsplit_once('/').unwrap().1.to_owned();
        drop(hub);
        self.hub(peers, &address.into())
    }
}

/// Returns the peers of a gateway that learns from the hub.
fn learning_from(hub: &Node) -> Value {
    json!([{ "url": hub.url(), "learn_peers": true }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_reads_an_owner_that_only_its_peer_knows() {
    within(240, async {
        let homes = Homes::new();
        let owner = homes.people("owner", &json!({}));
        let hub = homes.hub(&[&owner], &Value::Null);
        let (_gateway, client) = homes.gateway(&learning_from(&hub), &json!({})).await;
        until_served_by(&client, "owner").await;
        let from = format!("SELECT learned_from FROM mesh.nodes WHERE url = '{}'", owner.url());
        assert_eq!(value(&client, &from).await.as_deref(), Ok(hub.url()));
        let learned = "SELECT count(*) FROM mesh.nodes WHERE learned_from IS NOT NULL";
        assert_eq!(count(&client, learned).await, Ok(1));

        // Without permission, nothing is learned from the same hub.
        let config = json!({ "peers": [{ "url": hub.url() }], "refresh_interval": "500ms" });
        let plain = Node::start(&homes.path("plain"), config);
        let other = plain.client().await;
        let up = "SELECT count(*) FROM mesh.nodes WHERE state = 'up' AND NOT here";
        until("the hub is up", SOON, async || count(&other, up).await == Ok(1)).await;
        let seen = "SELECT last_seen FROM mesh.nodes WHERE NOT here";
        let first = value(&other, seen).await.unwrap();
        until("the hub has answered again", SOON, async || value(&other, seen).await.unwrap() != first).await;
        assert_eq!(count(&other, "SELECT count(*) FROM mesh.domains").await, Ok(0));

        // The hub drops the owner, and later adds it again.
        let hub = homes.restart_hub(hub, &[]);
        until("the owner is not known", SOON, async || count(&client, learned).await == Ok(0)).await;
        assert_says(&failure(&client, PEOPLE).await, ErrorKind::NotFound, &["people"]);
        let _hub = homes.restart_hub(hub, &[&owner]);
        until_served_by(&client, "owner").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learned_peer_does_not_take_over_a_domain() {
    within(240, async {
        let homes = Homes::new();
        let (owner, rogue) = (homes.people("owner", &json!({})), homes.people("rogue", &json!({})));
        let hub = homes.hub(&[&rogue], &Value::Null);
        let key = value(&owner.client().await, "SELECT key FROM mesh.nodes WHERE here").await.unwrap();
        let learn = json!({ "url": hub.url(), "learn_peers": true });
        let pinned = json!({ "domains": { "people": { "key": key } } });
        for (peers, config, reason) in [
            (json!([learn]), &pinned, "the config pins the domain to another key"),
            (
                json!([learn, { "url": owner.url(), "domains": ["people"] }]),
                &json!({}),
                "the config gives the domain to other peers",
            ),
            (json!([learn, { "url": owner.url() }]), &json!({}), "the first owner of the domain had the key"),
        ] {
            let (gateway, client) = homes.gateway(&peers, config).await;
            until_refused(&client, &[rogue.url(), reason]).await;
            match peers.as_array().unwrap().len() {
                1 => assert_says(&failure(&client, PEOPLE).await, ErrorKind::NotFound, &["`people`", rogue.url()]),
                _ => until_served_by(&client, "owner").await,
            }
            drop((gateway, client));
            // A pinned owner is not remembered, so the folder may not exist.
            let _ = fs::remove_dir_all(homes.path("gateway/node.state"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learned_peer_is_reached_with_the_identity_of_the_gateway() {
    within(240, async {
        let homes = Homes::new();
        let identity = homes.key("gateway");
        let pem = fs::read(homes.path("gateway.pem")).unwrap();
        let key = NodeKey::from_pem(&pem).unwrap();
        // Both accept signed fragments of the gateway only, and send their catalogs to everybody.
        let trusting = json!({
            "trusted_nodes": [{ "name": "gateway", "key": key.public().to_string() }], "anonymous": true,
        });
        let owner = homes.people("owner", &trusting);
        let necessary = json!({ "peers": [{ "url": owner.url() }], "refresh_interval": "500ms" });
        let hub = Node::start(&homes.path("hub"), merged(necessary, &trusting));
        let (_gateway, client) = homes.gateway(&learning_from(&hub), &json!({ "node": identity })).await;
        until_served_by(&client, "owner").await;

        let reported = async |options: NodeOptions| {
            let site = NodeSite::new(hub.url(), options).unwrap();
            let CatalogAnswer::Changed { peers, .. } = site.catalog(None).await.unwrap().answer else {
                panic!("it is the first one")
            };
            peers.into_iter().map(|peer| peer.url).collect::<Vec<_>>()
        };
        let identity = Some(Arc::new(NodeIdentity::new("gateway", key).unwrap()));
        let gateway = NodeOptions { identity, ..NodeOptions::default() };
        assert_eq!(reported(gateway).await, [owner.url()]);
        assert!(reported(NodeOptions::default()).await.is_empty(), "it may not send fragments");
    })
    .await;
}
