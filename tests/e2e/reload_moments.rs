//! Changes of the config at the wrong moment: while the node starts, while a source does not respond, while the
//! descriptors have faults, and before the files that the config names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_tests::mesh::{until, within};
use portolan_tests::node::Node;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::recording_server::{Answer, RecordingServer};
use portolan_tests::rows::{assert_says, count, failure};
use serde_json::{Value, json};

use crate::authentication::caller::Caller;
use crate::reload::{PASSWORD, SOON, can_log_in, login, reload, user, write};

const EVENTS: &str = "SELECT count(*) FROM lab.samples.events WHERE id > 0";

/// Writes two rows, and returns a port over them.
fn events(home: &Path) -> PortFile {
    let file = home.join("events.csv");
    fs::create_dir_all(home).unwrap();
    fs::write(&file, "id\n1\n2\n").unwrap();
    PortFile::local("events", &file, "csv", &[("id", "integer")])
}

/// Returns a port over a file of a web server.
fn remote(server: &RecordingServer) -> PortFile {
    let location = format!("{}/x.csv", server.url());
    let server = json!({ "server": "web", "type": "custom", "location": location, "format": "csv" });
    PortFile { name: "remote", server, columns: vec![("id", "integer", false)] }
}

/// Returns the config of a node that reads from a web server.
fn config(server: &RecordingServer, users: &[&Value]) -> Value {
    let web = json!({ "http": { "allow_http": true, "hosts": [server.host()] } });
    json!({ "domain": DOMAIN, "users": users, "sources": { "web": web } })
}

/// Writes a certificate and its key, and returns a peer that needs both. Nothing listens there.
fn peer_with_files(cert: &Path, key: &Path) -> Value {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(cert, made.cert.pem()).unwrap();
    fs::write(key, made.signing_key.serialize_pem()).unwrap();
    json!({ "url": "grpc+tls://127.0.0.1:1", "ca": cert, "cert": cert, "key": key })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_the_node_starts_is_applied() {
    within(240, async {
        let server = RecordingServer::start(Answer::Silence).await;
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        products::write(&home, &[events(&home), remote(&server)]);
        let (ann, bob) = (user("ann"), user("bob"));
        let mut starting = config(&server, &[&ann]);
        starting["open_timeout"] = "5s".into();
        let node = Node::spawn(&home, starting.clone());
        until("the port is being opened", SOON, async || !server.requests().is_empty()).await;
        starting["users"] = json!([&ann, &bob]);
        reload(&node, &starting);
        // The signal has not ended the process.
        let node = node.ready();
        until("the new user can log in", SOON, async || can_log_in(&node, "bob").await).await;
        assert!(can_log_in(&node, "ann").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_does_not_respond_delays_no_change_of_users() {
    within(240, async {
        let server = RecordingServer::start(Answer::Silence).await;
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        let port = events(&home);
        products::write(&home, std::slice::from_ref(&port));
        let (ann, bob) = (user("ann"), user("bob"));
        let node = Node::start(&home, config(&server, &[&ann, &bob]));
        let of_ann = node.client_with(&login("ann")).await;
        assert_eq!(count(&of_ann, EVENTS).await, Ok(2));

        products::write(&home, &[port, remote(&server)]);
        until("the new port is being opened", SOON, async || !server.requests().is_empty()).await;
        // The source has a minute to respond.
        reload(&node, &config(&server, &[&bob]));
        until("the user is gone", SOON / 3, async || !can_log_in(&node, "ann").await).await;
        assert_eq!(failure(&of_ann, EVENTS).await.kind(), ErrorKind::Unauthenticated);
        let of_bob = node.client_with(&login("bob")).await;
        assert_eq!(count(&of_bob, "SELECT count(*) FROM mesh.ports WHERE domain = 'lab'").await, Ok(1));
    })
    .await;
}

/// What the owner no longer permits ends, whatever the descriptors are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_change_while_the_descriptors_have_faults() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        products::write(&home, &[events(&home)]);
        let with_root = |root: &Path| json!({ "domain": DOMAIN, "sources": { "files": { "root": root } } });
        let node = Node::start(&home, with_root(&home));
        let client = node.client().await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));

        let broken = home.join("products/broken.yaml");
        fs::write(&broken, "kind: [").unwrap();
        let faults = "SELECT count(*) FROM mesh.products WHERE load_error LIKE '%broken.yaml%'";
        until("the fault is known", SOON, async || count(&client, faults).await == Ok(1)).await;
        assert_eq!(count(&client, EVENTS).await, Ok(2), "the last good version stays");
        reload(&node, &with_root(&home.join("products")));
        until("the port is closed", SOON, async || count(&client, EVENTS).await.is_err()).await;
        assert_says(&failure(&client, EVENTS).await, ErrorKind::SiteUnavailable, &["lab.samples.events is not open"]);
        until("the fault is known again", SOON, async || count(&client, faults).await == Ok(1)).await;

        fs::remove_file(&broken).unwrap();
        until("the descriptors are good again", SOON, async || count(&client, faults).await == Ok(0)).await;
        assert_says(&failure(&client, EVENTS).await, ErrorKind::SiteUnavailable, &["lab.samples.events is not open"]);
        reload(&node, &with_root(&home));
        until("the port is open", SOON, async || count(&client, EVENTS).await == Ok(2)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_in_a_folder_with_data_is_no_data() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        let (cert, key) = (home.join("cert.csv"), home.join("key.csv"));
        let port = events(&home);
        let peer = peer_with_files(&cert, &key);
        let mut lines = PortFile::local("lines", &key, "csv", &[("line", "string")]);
        lines.server["customProperties"] = json!([{ "property": "portolan.header", "value": false }]);
        products::write(&home, &[port, lines]);
        let plain = json!({ "domain": DOMAIN });
        let node = Node::start(&home, plain.clone());
        let client = node.client().await;
        let lines = "SELECT count(*) FROM lab.samples.lines WHERE line <> ''";
        assert!(count(&client, lines).await.is_ok_and(|lines| lines > 1));

        reload(&node, &json!({ "domain": DOMAIN, "peers": [peer] }));
        until("the key is no data", SOON, async || count(&client, lines).await.is_err()).await;
        assert_says(&failure(&client, lines).await, ErrorKind::SiteUnavailable, &["lab.samples.lines is not open"]);
        assert_eq!(count(&client, EVENTS).await, Ok(2));
        reload(&node, &plain);
        until("the file is data again", SOON, async || count(&client, lines).await.is_ok()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_is_applied_when_the_files_that_it_names_appear() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(folder.path(), json!({}));
        let client = node.client().await;
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let peer = json!({ "url": "grpc+tls://127.0.0.1:1", "ca": cert, "cert": cert, "key": key });
        write(&node, &json!({ "peers": [peer] }));
        let faults = ["peers[0].ca: cannot read", "peers[0].cert: cannot read", "peers[0].key: cannot read"];
        let has_all = |log: &str| faults.iter().all(|fault| log.contains(fault));
        until("all faults are logged", SOON, async || has_all(&node.log())).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(node.log().matches(faults[0]).count(), 1, "{}", node.log());

        peer_with_files(&cert, &key);
        let known = "SELECT count(*) FROM mesh.nodes";
        until("the peer is known", SOON, async || count(&client, known).await == Ok(2)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_gone_also_if_a_file_of_a_key_that_needs_a_restart_is_missing() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let (ann, bob) = (user("ann"), user("bob"));
        let node = Node::start(folder.path(), json!({ "users": [&ann] }));
        assert!(can_log_in(&node, "ann").await);
        let missing = folder.path().join("missing.pem");
        reload(&node, &json!({ "users": [&bob], "tls": { "cert": missing, "key": missing } }));
        until("the new user can log in", SOON, async || can_log_in(&node, "bob").await).await;
        assert!(!can_log_in(&node, "ann").await);
        let logged = ["a node with it does not start: ", "tls.key: cannot read", "restarted for the changes of tls"];
        until("the fault is logged", SOON, async || logged.iter().all(|part| node.log().contains(part))).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_gone_gets_no_more_rows_without_a_session() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let (ann, bob) = (user("ann"), user("bob"));
        let node = Node::start(folder.path(), json!({ "users": [&ann, &bob] }));
        // This client logs in with each call.
        let of_ann = Caller::connect(node.url(), None).await.unwrap().basic("ann", PASSWORD);
        let endless = "SELECT count(*) FROM generate_series(1, 100000000000) AS g(n) WHERE n % 7 = 3";
        let ticket = of_ann.plan(endless).await.unwrap();
        let rows = tokio::spawn(async move { of_ann.fetch(ticket).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!rows.is_finished());
        reload(&node, &json!({ "users": [&bob] }));
        assert_eq!(rows.await.unwrap().unwrap_err().code(), tonic::Code::Unauthenticated);
    })
    .await;
}
