//! A config that changes while its node runs: users, peers, sources and limits are applied, on SIGHUP and by
//! themselves. A config with faults changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array};
use portolan_engine::ErrorKind;
use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, merged, until, within};
use portolan_tests::node::Node;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::rows::{assert_says, count, failure};
use portolan_tests::ways::{table, write_parquet};
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "correct-horse-battery";
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Writes the config of a running node, with the keys that [`Node::start`] adds.
pub(crate) fn write(node: &Node, config: &Value) {
    let mut config = merged(json!({ "listen": "127.0.0.1:0" }), config);
    if config["sources"]["files"]["root"].is_null() {
        config["sources"]["files"]["root"] = "/".into();
    }
    fs::write(node.home().join("node.yaml"), config.to_string()).unwrap();
}

/// Writes the config of a running node, and sends SIGHUP.
pub(crate) fn reload(node: &Node, config: &Value) {
    write(node, config);
    node.signal("HUP");
}

pub(crate) fn user(name: &str) -> Value {
    json!({ "name": name, "password_hash": hash_password(PASSWORD).unwrap() })
}

pub(crate) fn login(name: &str) -> ConnectOptions {
    ConnectOptions { credentials: Some((name.to_owned(), PASSWORD.to_owned())), ca: None }
}

pub(crate) async fn can_log_in(node: &Node, name: &str) -> bool {
    match Client::connect(node.url(), &login(name)).await {
        Ok(client) => count(&client, "SELECT 1").await == Ok(1),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_come_and_go_without_a_restart() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let (ann, bob, eve) = (user("ann"), user("bob"), user("eve"));
        let node = Node::start(folder.path(), json!({ "users": [&ann, &eve] }));
        let session = node.client_with(&login("ann")).await;
        let of_eve = node.client_with(&login("eve")).await;
        session.prepare("CREATE TABLE mine AS SELECT 7 AS n").await.unwrap();
        assert!(!can_log_in(&node, "bob").await);

        reload(&node, &json!({ "users": [&ann, &eve, &bob] }));
        until("the new user can log in", SOON, async || can_log_in(&node, "bob").await).await;
        assert_eq!(count(&session, "SELECT n FROM mine").await, Ok(7), "the session of another user goes on");

        // A changed file counts without a signal, too.
        let admin = merged(eve.clone(), &json!({ "admin": true }));
        write(&node, &json!({ "users": [&ann, admin] }));
        until("the user is gone", SOON, async || !can_log_in(&node, "bob").await).await;
        // The rights of a session are those of its login.
        let closed = failure(&of_eve, "SELECT 1").await;
        assert_eq!(closed.kind(), ErrorKind::Unauthenticated, "{}", closed.chain());
        assert!(can_log_in(&node, "eve").await);
        assert_eq!(count(&session, "SELECT n FROM mine").await, Ok(7));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_come_and_go_without_a_restart() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let homes = ["geo", "supply"].map(|domain| {
            let home = folder.path().join(domain);
            descriptors::write(domain, &data(), &home).unwrap();
            home
        });
        let [geo, supply] = &homes;
        let start = |domain: &str, home: &PathBuf| Node::start(home, json!({ "domain": domain }));
        let (geo, supply) = (start("geo", geo), start("supply", supply));
        let peers = |nodes: &[&Node]| {
            let peers: Vec<_> = nodes.iter().map(|node| json!({ "url": node.url() })).collect();
            json!({ "peers": peers, "refresh_interval": "500ms" })
        };
        let gateway = Node::start(&folder.path().join("gateway"), peers(&[&geo]));
        let client = gateway.client().await;
        let nations = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
        let parts = "SELECT count(*) FROM supply.parts.part WHERE p_name <> 'x'";
        until("the first peer is known", SOON, async || count(&client, nations).await == Ok(25)).await;
        assert_says(&failure(&client, parts).await, ErrorKind::NotFound, &["supply.parts.part"]);

        reload(&gateway, &peers(&[&geo, &supply]));
        until("the new peer is known", SOON, async || count(&client, parts).await.is_ok_and(|n| n > 0)).await;
        assert_eq!(count(&client, nations).await, Ok(25));

        reload(&gateway, &peers(&[&supply]));
        let known = "SELECT count(*) FROM mesh.nodes";
        until("the peer is gone", SOON, async || count(&client, known).await == Ok(2)).await;
        assert_says(&failure(&client, nations).await, ErrorKind::NotFound, &["geo.places.nation"]);
        assert!(count(&client, parts).await.is_ok_and(|n| n > 0), "the other peer stays");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_with_faults_changes_nothing_and_all_faults_are_logged() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let (ann, bob) = (user("ann"), user("bob"));
        let node = Node::start(folder.path(), json!({ "users": [&ann] }));
        let bad = json!({
            "users": [&bob, { "name": "eve", "password_hash": "plain" }],
            "peers": [{ "url": "carrier-pigeon://x" }],
        });
        reload(&node, &bad);
        for fault in ["users[1].password_hash: is not a password hash", "peers[0].url: "] {
            until("the faults are logged", SOON, async || node.log().contains(fault)).await;
        }
        assert!(node.log().contains("the config was not reloaded, the last good one stays"), "{}", node.log());
        assert!(can_log_in(&node, "ann").await && !can_log_in(&node, "bob").await);
        assert!(!node.log().contains("plain"), "{}", node.log());

        // A good config is applied again. The node names the keys that it reads only at its start.
        let good = json!({ "users": [&bob], "cpu_threads": 2, "limits": { "memory": "1GiB", "max_hops": 3 } });
        reload(&node, &good);
        until("the good config is applied", SOON, async || can_log_in(&node, "bob").await).await;
        assert!(!can_log_in(&node, "ann").await);
        let restart = "the node must be restarted for the changes of limits.memory, cpu_threads";
        until("the keys are named", SOON, async || node.log().contains(restart)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_and_limits_change_without_a_restart() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        let rows = home.join("events");
        fs::create_dir_all(&rows).unwrap();
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        write_parquet(&rows.join("a.parquet"), &table(vec![("id", ids)]));
        products::write(&home, &[PortFile::local("events", &rows.join(""), "parquet", &[("id", "integer")])]);
        let config =
            |files: Value, limits: Value| json!({ "domain": DOMAIN, "sources": { "files": files }, "limits": limits });
        let node = Node::start(&home, config(json!({}), json!({})));
        let client = node.client().await;
        let (events, insert) = ("SELECT count(*) FROM lab.samples.events", "INSERT INTO lab.samples.events VALUES (3)");
        assert_eq!(count(&client, events).await, Ok(2));
        let inserted = async || client.prepare(insert).await.is_ok();
        assert!(!inserted().await, "the port has no writers");

        reload(&node, &config(json!({ "root": "/", "writers": ["*"] }), json!({ "session_tables": "1B" })));
        until("the port accepts rows", SOON, async || inserted().await).await;
        assert_eq!(count(&client, events).await, Ok(3));
        let refused = failure(&client, "CREATE TABLE small AS SELECT 1 AS n").await;
        assert_says(&refused, ErrorKind::ResourceExhausted, &["limits.session_tables"]);

        // A root without the data closes the port: its last good version is of a source that the owner no longer permits.
        reload(&node, &config(json!({ "root": folder.path().join(DOMAIN).join("products") }), json!({})));
        until("the port is closed", SOON, async || count(&client, events).await.is_err()).await;
        assert_says(&failure(&client, events).await, ErrorKind::SiteUnavailable, &["lab.samples.events is not open"]);
        reload(&node, &config(json!({}), json!({})));
        until("the port is open", SOON, async || count(&client, events).await == Ok(3)).await;
        assert!(!inserted().await, "the port has no writers again");
    })
    .await;
}
