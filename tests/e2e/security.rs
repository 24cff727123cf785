//! Users, passwords and TLS between real processes. The tests also check that the output contains no secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, until, within};
use portolan_tests::node::{Node, output, program};
use portolan_tests::rows::{assert_says, count, failure, text};
use serde_json::{Value, json};

const PASSWORD: &str = "correct-horse-battery";
const NODE_PASSWORD: &str = "staple-between-nodes";
const WRONG: &str = "wrong-horse-battery";
const SOON: Duration = Duration::from_secs(60);

/// Writes a self-signed certificate for loopback and its key, and returns their files.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

fn options(password: &str, ca: Option<&Path>) -> ConnectOptions {
    ConnectOptions { credentials: Some(("ann".into(), password.into())), ca: ca.map(Path::to_path_buf) }
}

/// Asserts that the output of the node or an error contains no secret.
fn assert_no_secret(said: &str) {
    for secret in [PASSWORD, NODE_PASSWORD, WRONG, "argon2", "PRIVATE KEY"] {
        assert!(!said.contains(secret), "`{secret}` shows in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_log_in_and_nodes_connect_over_tls() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let (owner_cert, owner_key) = certificate(folder.path(), "owner");
        let (gateway_cert, gateway_key) = certificate(folder.path(), "gateway");
        let user = |name: &str, password: &str, node: bool| {
            json!({ "name": name, "password_hash": hash_password(password).unwrap(), "node": node })
        };
        let home = folder.path().join("geo");
        descriptors::write("geo", &data(), &home).unwrap();
        let owner = Node::start(
            &home,
            json!({
                "domain": "geo", "log": "debug",
                "tls": { "cert": owner_cert, "key": owner_key },
                "users": [user("mesh", NODE_PASSWORD, true), user("ann", PASSWORD, false)],
            }),
        );
        assert!(owner.url().starts_with("grpc+tls://127.0.0.1:"), "{}", owner.url());
        let gateway = |name: &str, peer: Value| {
            let config = json!({
                "log": "debug", "refresh_interval": "500ms", "peers": [peer],
                "tls": { "cert": gateway_cert, "key": gateway_key },
                "users": [user("ann", PASSWORD, false)],
            });
            Node::start(&folder.path().join(name), config)
        };
        let peer = |password: &str, ca: &Path| {
            json!({ "url": owner.url(), "user": "mesh", "password": password, "ca": ca })
        };
        let good = gateway("good", peer(NODE_PASSWORD, &owner_cert));
        let client = Client::connect(good.url(), &options(PASSWORD, Some(&gateway_cert))).await.unwrap();
        let nations = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
        until("the gateway knows the domain", SOON, async || count(&client, nations).await == Ok(25)).await;

        let mut said = vec![];
        for (password, ca, kind) in [
            (WRONG, Some(gateway_cert.as_path()), ErrorKind::Unauthenticated),
            (PASSWORD, Some(owner_cert.as_path()), ErrorKind::SiteUnavailable),
            (PASSWORD, None, ErrorKind::SiteUnavailable),
        ] {
            let error = Client::connect(good.url(), &options(password, ca)).await.unwrap_err();
            assert_says(&error, kind, &[good.url()]);
            said.push(format!("{} {error:?}", error.chain()));
        }
        let anonymous = ConnectOptions { credentials: None, ca: Some(gateway_cert.clone()) };
        let error = Client::connect(good.url(), &anonymous).await.unwrap_err();
        assert_says(&error, ErrorKind::Unauthenticated, &[]);

        // Gateways that may not send fragments, or that do not trust the owner.
        for (name, peer) in [("wrong", peer(WRONG, &owner_cert)), ("stranger", peer(NODE_PASSWORD, &gateway_cert))] {
            let bad = gateway(name, peer);
            let client = Client::connect(bad.url(), &options(PASSWORD, Some(&gateway_cert))).await.unwrap();
            let down = "SELECT count(*) FROM mesh.nodes WHERE state = 'down' AND error IS NOT NULL";
            until("the peer is known to be down", SOON, async || count(&client, down).await == Ok(1)).await;
            said.push(text(&client, "SELECT url, error FROM mesh.nodes").await);
            said.push(failure(&client, nations).await.chain());
            said.push(bad.log());
        }
        said.extend([owner.log(), good.log()]);
        assert!(said.iter().all(|s| !s.is_empty()));
        assert_no_secret(&said.join("\n"));
    })
    .await;
}

#[test]
fn a_check_finds_a_certificate_with_the_key_of_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let ((cert, key), (_, other)) = (certificate(folder.path(), "a"), certificate(folder.path(), "b"));
    let check = |key: &Path| {
        let config = folder.path().join("node.yaml");
        fs::write(&config, json!({ "tls": { "cert": cert, "key": key } }).to_string()).unwrap();
        let mut command = Command::new(program());
        command.args(["serve", "--check", "--config"]).arg(&config).stdin(Stdio::null());
        let (code, _, err) = output(command);
        assert_no_secret(&err);
        (code, err)
    };
    assert_eq!(check(&key).0, Some(0));
    let (code, err) = check(&other);
    assert_eq!(code, Some(2), "{err}");
    let (cert, other) = (cert.display(), other.display());
    let expected = format!("node.yaml: tls: the certificate {cert} and the key {other} cannot be used together");
    assert!(err.contains(&expected), "{err}");
}

#[test]
fn an_error_in_a_config_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.yaml");
    let text = format!(
        "users:\n- {{name: ann, password_hash: {PASSWORD}}}\npeers:\n\
         - {{url: \"grpc://127.0.0.1:1\", user: mesh, password: {NODE_PASSWORD}, pasword: {WRONG}}}\n"
    );
    for text in [text.clone(), text.replace(&format!(", pasword: {WRONG}"), "")] {
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program());
        command.arg("serve").arg("--config").arg(&config).stdin(Stdio::null());
        let (code, out, err) = output(command);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("node.yaml:"), "{err}");
        for secret in [PASSWORD, NODE_PASSWORD, WRONG] {
            assert!(!err.contains(secret) && !out.contains(secret), "{err}");
        }
    }
}
