//! Who owns a domain: nodes that claim the domain of another node, nodes with the same list of peers, and replicas.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod learned_peers;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use portolan_catalog::{Port, PortRef};
use portolan_connectors::node::NodeKey;
use portolan_connectors::testing::{catalog, column, local_domain};
use portolan_engine::{Engine, ErrorKind};
use portolan_flight_server::{Server, ServerOptions};
use portolan_node::client::Client;
use portolan_testbed::mesh::free_addresses;
use portolan_tests::lying_peer::{Lie, LyingPeer};
use portolan_tests::mesh::{merged, until, within};
use portolan_tests::node::Node;
use portolan_tests::products::{PortFile, write_domain};
use portolan_tests::rows::{assert_says, count, failure, text};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(60);
const PEOPLE: &str = "SELECT name FROM people.samples.customer";
const REFUSED: &str = "SELECT url, state, domains, refused FROM mesh.nodes";

/// The folder of the nodes of one test.
struct Homes(TempDir);

impl Homes {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a private key, and returns the entry for the config of a node.
    fn key(&self, name: &str) -> Value {
        let file = self.path(&format!("{name}.pem"));
        fs::write(&file, NodeKey::generate().unwrap()).unwrap();
        json!({ "name": name, "key": file })
    }

    /// Starts a node that claims `people`, whose one row has the name of the node.
    fn people(&self, name: &str, config: &Value) -> Node {
        let home = self.path(name);
        fs::create_dir_all(&home).unwrap();
        let file = home.join("customer.csv");
        fs::write(&file, format!("name\n{name}\n")).unwrap();
        write_domain("people", &home, &[PortFile::local("customer", &file, "csv", &[("name", "string")])]);
        let necessary = json!({ "domain": "people", "refresh_interval": "500ms" });
        Node::start(&home, merged(necessary, config))
    }

    /// Starts the gateway with these peers.
    async fn gateway(&self, peers: &Value, config: &Value) -> (Node, Client) {
        let necessary = json!({ "peers": peers, "refresh_interval": "500ms" });
        let node = Node::start(&self.path("gateway"), merged(necessary, config));
        let client = node.client().await;
        (node, client)
    }
}

/// Returns the one value of the result of a statement, or the error in one line.
async fn value(client: &Client, sql: &str) -> Result<String, String> {
    let (_, batches) = client.query(sql).await.map_err(|e| e.chain())?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).ok_or("no rows came")?;
    assert_eq!(batch.num_rows(), 1, "{sql}");
    array_value_to_string(batch.column(0), 0).map_err(|e| e.to_string())
}

async fn until_served_by(client: &Client, name: &str) {
    let what = format!("the rows are those of {name}");
    until(&what, SOON, async || value(client, PEOPLE).await.as_deref() == Ok(name)).await;
}

async fn until_refused(client: &Client, parts: &[&str]) {
    let what = format!("a claim is refused: {parts:?}");
    until(&what, SOON, async || {
        let shown = text(client, REFUSED).await;
        parts.iter().all(|part| shown.contains(part))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_down_is_not_replaced_after_a_restart() {
    within(180, async {
        let homes = Homes::new();
        let mut owner = homes.people("owner", &json!({}));
        let (gateway, client) = homes.gateway(&json!([{ "url": owner.url() }]), &json!({})).await;
        until_served_by(&client, "owner").await;
        let remembered = homes.path("gateway/node.state/owners.json");
        until("the owner is remembered", SOON, async || remembered.is_file()).await;
        drop((gateway, client));
        owner.kill();

        let rogue = homes.people("rogue", &json!({}));
        let peers = json!([{ "url": rogue.url() }, { "url": owner.url() }]);
        let (_gateway, client) = homes.gateway(&peers, &json!({})).await;
        until_refused(&client, &["the first owner of the domain had the key", "owners.json", "domains.people.key"])
            .await;
        let error = failure(&client, PEOPLE).await;
        assert_says(&error, ErrorKind::NotFound, &["`people`", rogue.url(), "the first owner of the domain"]);
        let state = "SELECT node || ' ' || state FROM mesh.domains WHERE domain = 'people'";
        assert_eq!(value(&client, state).await, Ok(format!("{} refused", rogue.url())));
        assert_eq!(count(&client, "SELECT count(*) FROM mesh.ports").await, Ok(0));

        let owner = owner.restart();
        until_served_by(&client, "owner").await;
        assert_eq!(value(&client, state).await, Ok(format!("{} up", owner.url())));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_claim_does_not_take_over_a_domain() {
    within(180, async {
        let homes = Homes::new();
        let rogue = homes.people("rogue", &json!({}));
        let owner = homes.people("owner", &json!({ "peers": [{ "url": rogue.url() }] }));
        // The owner knows the rogue, and goes on.
        let own = owner.client().await;
        until_refused(&own, &[rogue.url(), "this node owns the domain"]).await;
        assert_eq!(value(&own, PEOPLE).await.as_deref(), Ok("owner"));
        assert_eq!(value(&own, "SELECT state FROM mesh.domains").await.as_deref(), Ok("up"));

        // The gateway has met the owner first.
        let (gateway, client) = homes.gateway(&json!([{ "url": owner.url() }]), &json!({})).await;
        until_served_by(&client, "owner").await;
        let remembered = homes.path("gateway/node.state/owners.json");
        until("the owner is remembered", SOON, async || remembered.is_file()).await;
        drop((gateway, client));
        let peers = json!([{ "url": rogue.url() }, { "url": owner.url() }]);
        let (_gateway, client) = homes.gateway(&peers, &json!({})).await;
        until_refused(&client, &[rogue.url(), "the first owner of the domain had the key"]).await;
        until_served_by(&client, "owner").await;
        assert_eq!(value(&client, "SELECT state FROM mesh.domains").await.as_deref(), Ok("up"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_config_pins_a_domain_to_a_peer_or_to_a_key() {
    within(180, async {
        let homes = Homes::new();
        let owner = homes.people("owner", &json!({}));
        let rogue = homes.people("rogue", &json!({}));
        let key = value(&owner.client().await, "SELECT key FROM mesh.nodes WHERE here").await.unwrap();
        assert!(key.starts_with("ed25519:"), "{key}");
        let plain = json!([{ "url": rogue.url() }, { "url": owner.url() }]);
        let given = json!([{ "url": rogue.url() }, { "url": owner.url(), "domains": ["people"] }]);
        let nothing = json!([{ "url": rogue.url(), "domains": [] }, { "url": owner.url() }]);
        for (peers, config, reason) in [
            (&plain, json!({ "domains": { "people": { "key": key } } }), "the config pins the domain to another key"),
            (&given, json!({}), "the config gives the domain to other peers"),
            (&nothing, json!({}), "the config does not name it in `domains` of this peer"),
        ] {
            let (gateway, client) = homes.gateway(peers, &config).await;
            until_refused(&client, &[rogue.url(), reason]).await;
            until_served_by(&client, "owner").await;
            drop((gateway, client));
            // A pinned owner is not remembered, so the folder may not exist.
            let _ = fs::remove_dir_all(homes.path("gateway/node.state"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_with_a_new_key_is_refused_until_an_operator_accepts_it() {
    within(180, async {
        let homes = Homes::new();
        let owner = homes.people("owner", &json!({}));
        let peers = json!([{ "url": owner.url() }]);
        let (gateway, client) = homes.gateway(&peers, &json!({})).await;
        until_served_by(&client, "owner").await;
        let owner = owner.restart();
        until_served_by(&client, "owner").await;

        // The key is lost with the state folder.
        fs::remove_dir_all(homes.path("owner/node.state")).unwrap();
        let owner = owner.restart();
        until_refused(&client, &[owner.url(), "remove the domain from `owners.json`"]).await;
        drop((gateway, client));
        fs::write(homes.path("gateway/node.state/owners.json"), "{}").unwrap();
        let (_gateway, client) = homes.gateway(&peers, &json!({})).await;
        until_served_by(&client, "owner").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_can_have_the_same_list_of_peers() {
    within(180, async {
        let homes = Homes::new();
        let addresses = free_addresses(3).unwrap();
        let peers: Vec<_> = addresses.iter().map(|address| json!({ "url": format!("grpc://{address}") })).collect();
        let config = |i: usize| json!({ "peers": peers, "listen": addresses[i], "refresh_interval": "500ms" });
        let home = homes.path("geo");
        let file = home.join("place.csv");
        fs::create_dir_all(&home).unwrap();
        fs::write(&file, "name\nplace\n").unwrap();
        write_domain("geo", &home, &[PortFile::local("place", &file, "csv", &[("name", "string")])]);
        let people = homes.people("people", &config(0));
        let geo = Node::start(&home, merged(json!({ "domain": "geo" }), &config(1)));
        let gateway = Node::start(&homes.path("gateway"), config(2));
        for (node, itself) in [&people, &geo, &gateway].into_iter().zip(&addresses) {
            let client = node.client().await;
            let sql = format!("SELECT count(*) FROM mesh.nodes WHERE state = 'self' AND url = 'grpc://{itself}'");
            until("the node recognises itself", SOON, async || count(&client, &sql).await == Ok(1)).await;
            let both = "SELECT count(*) FROM people.samples.customer, geo.samples.place";
            until("the node reads both domains", SOON, async || count(&client, both).await == Ok(1)).await;
            let others = "SELECT count(*) FROM mesh.nodes WHERE state = 'up' AND NOT here";
            until("the others are up", SOON, async || count(&client, others).await == Ok(2)).await;
            let refused = "SELECT count(*) FROM mesh.nodes WHERE cardinality(refused) > 0";
            assert_eq!(count(&client, refused).await, Ok(0), "{}", text(&client, REFUSED).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cannot_present_the_catalog_of_another_node_as_its_own() {
    within(120, async {
        let homes = Homes::new();
        let owner = homes.people("owner", &json!({}));
        // It forwards the request for the catalog, and would send rows of its own.
        let forwarder = LyingPeer::in_front_of(owner.url()).await;
        let peers = json!([{ "url": forwarder.url() }, { "url": owner.url() }]);
        let (_gateway, client) = homes.gateway(&peers, &json!({})).await;
        until_refused(&client, &[forwarder.url(), "its catalog is signed for", owner.url(), "node.audiences"]).await;
        until_served_by(&client, "owner").await;
        let nodes = "SELECT node FROM mesh.domains WHERE domain = 'people'";
        assert_eq!(value(&client, nodes).await.as_deref(), Ok(owner.url()), "no replica");
    })
    .await;
}

/// Returns a port without rows, with this full name.
fn port(domain: &str, product: &str, port: &str) -> Port {
    Port::new(PortRef::new(domain, product, port)).with_columns([column("id", DataType::Int64)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_names_in_a_catalog_are_refused() {
    within(120, async {
        let homes = Homes::new();
        let domains = [
            ("lab", vec![port("lab", "samples", "good"), port("people", "customers", "planted")]),
            ("portolan", vec![port("portolan", "samples", "reserved")]),
            ("a.b", vec![port("a.b", "samples", "dotted")]),
            ("two\n\u{1b}]0;lines", vec![port("two\n\u{1b}]0;lines", "samples", "control")]),
            ("peo\u{200b}ple", vec![port("peo\u{200b}ple", "samples", "hidden")]),
        ];
        let mut engine = Engine::builder();
        for (domain, ports) in domains {
            engine = engine.local_domain(local_domain(catalog(domain, ports), |_| vec![]));
        }
        let engine = engine.build().unwrap();
        let server = Server::bind(ServerOptions::new("127.0.0.1:0")).await.unwrap();
        let url = server.url();
        let mut serving = JoinSet::new();
        // Serves until the test ends.
        serving.spawn(server.serve(engine, std::future::pending()));

        let (gateway, client) = homes.gateway(&json!([{ "url": url }]), &json!({})).await;
        let good = "SELECT count(*) FROM lab.samples.good";
        until("the valid port is known", SOON, async || count(&client, good).await == Ok(0)).await;
        assert_eq!(value(&client, "SELECT domain FROM mesh.domains").await.as_deref(), Ok("lab"));
        assert_eq!(value(&client, "SELECT port FROM mesh.ports").await.as_deref(), Ok("good"));
        let shown = text(&client, REFUSED).await;
        for part in ["people.customers.planted", "`portolan`", "a.b", "two\\n\\u{1b}]0;lines", "peo\\u{200b}ple"] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        let error = failure(&client, "SELECT * FROM lab.customers.plantet").await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.chain());
        assert!(!error.chain().contains("planted"), "{}", error.chain());
        let error = failure(&client, "SELECT * FROM people.customers.planted").await;
        assert_says(&error, ErrorKind::NotFound, &["there is no port `people.customers.planted`"]);
        assert!(!gateway.log().contains("\u{1b}]0;"), "{}", gateway.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_without_a_name_or_with_two_catalogs_is_refused() {
    within(120, async {
        let homes = Homes::new();
        let owner = homes.people("owner", &json!({}));
        let liar = LyingPeer::in_front_of(owner.url()).await;
        liar.tell(Lie::RepeatedDomain);
        let (_gateway, client) = homes.gateway(&json!([{ "url": liar.url() }]), &json!({})).await;
        until_refused(&client, &[liar.url(), "`people`: the node sends two catalogs of it", "domain ``: "]).await;
        assert_eq!(count(&client, "SELECT count(*) FROM mesh.ports").await, Ok(0));
        assert_eq!(count(&client, "SELECT count(*) FROM mesh.domains").await, Ok(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_goes_to_a_replica_that_is_up() {
    within(240, async {
        let homes = Homes::new();
        let key = json!({ "node": homes.key("people") });
        let (mut one, mut two) = (homes.people("one", &key), homes.people("two", &key));
        // The figures decide which one is the nearer.
        let entry = |node: &Node, latency: &str| json!({ "url": node.url(), "latency": latency, "bandwidth": "500MB" });
        let peers = json!([entry(&two, "20ms"), entry(&one, "1ms")]);
        let (_gateway, client) = homes.gateway(&peers, &json!({})).await;
        let replicas = "SELECT node || ' ' || state FROM mesh.domains WHERE domain = 'people'";
        let both = format!("{}, {} up", two.url(), one.url());
        until("both replicas are known", SOON, async || value(&client, replicas).await.as_ref() == Ok(&both)).await;
        until_served_by(&client, "one").await;

        // The gateway may not know yet that it is down.
        one.kill();
        assert_eq!(value(&client, PEOPLE).await.as_deref(), Ok("two"));
        let down = format!("SELECT count(*) FROM mesh.nodes WHERE url = '{}' AND state = 'down'", one.url());
        until("the replica is known to be down", SOON, async || count(&client, &down).await == Ok(1)).await;
        assert_eq!(value(&client, replicas).await.as_ref(), Ok(&both), "one node is enough");
        assert_eq!(value(&client, PEOPLE).await.as_deref(), Ok("two"));

        two.kill();
        let error = failure(&client, PEOPLE).await;
        assert_says(&error, ErrorKind::SiteUnavailable, &["domain people", one.url(), two.url()]);
        let _one = one.restart();
        until_served_by(&client, "one").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_differ_return_no_wrong_rows() {
    within(180, async {
        let homes = Homes::new();
        let key = json!({ "node": homes.key("people") });
        let mut one = homes.people("one", &key);
        // The second replica has a further column before the other one.
        let home = homes.path("two");
        fs::create_dir_all(&home).unwrap();
        let file = home.join("customer.csv");
        fs::write(&file, "city,name\nParis,two\n").unwrap();
        let columns = [("city", "string"), ("name", "string")];
        write_domain("people", &home, &[PortFile::local("customer", &file, "csv", &columns)]);
        let two = Node::start(&home, merged(json!({ "domain": "people" }), &key));
        let peers = json!([{ "url": one.url(), "latency": "1ms" }, { "url": two.url(), "latency": "20ms" }]);
        let (_gateway, client) = homes.gateway(&peers, &json!({})).await;
        until_served_by(&client, "one").await;

        one.kill();
        let all = "SELECT * FROM people.samples.customer";
        until("the catalog is that of the second replica", SOON, async || match value(&client, PEOPLE).await {
            Ok(name) => {
                assert_eq!(name, "two");
                true
            }
            Err(said) => {
                assert!(said.contains("domain people"), "{said}");
                false
            }
        })
        .await;
        assert_eq!(client.query(all).await.unwrap().0.fields().len(), 2);
    })
    .await;
}
