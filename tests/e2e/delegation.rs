//! The principal of a query travels from node to node, signed, and nodes that are not trusted get nothing. The tests
//! run real processes, and search for secrets in all of their output.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, merged, until, within};
use portolan_tests::node::{Node, run};
use portolan_tests::rows::{assert_says, count, failure, text};
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSWORD: &str = "correct-horse-battery";
const SOON: Duration = Duration::from_secs(60);
const NATIONS: &str = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
const SUPPLIERS: &str = "SELECT count(*) FROM supply.suppliers.supplier WHERE s_name <> 'x'";
const BOTH: &str = "SELECT count(*) FROM geo.places.nation, supply.suppliers.supplier WHERE n_nationkey = s_nationkey";

/// The keys of nodes of two domains and of gateways.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    /// Creates a key with `portolan node-key`, and returns the public key that it prints for other nodes.
    fn made(&self, name: &str) -> String {
        let file = self.file(name);
        let (code, out, err) =
            run(&["node-key", "--name", name, "--out", file.to_str().unwrap()], &[("XDG_CACHE_HOME", Path::new("/"))]);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.starts_with(&format!("trusted_nodes:\n- name: {name}\n  key: |\n")), "{out}");
        let (_, pem) = out.split_once("key: |\n").unwrap();
        pem.lines().map(|line| format!("{}\n", line.trim())).collect()
    }

    /// Returns the entry for the node's own key in its config.
    fn own(&self, name: &str) -> Value {
        json!({ "name": name, "key": self.file(name) })
    }

    fn owner(&self, domain: &'static str, config: &Value) -> Node {
        let home = self.folder.path().join(domain);
        descriptors::write(domain, &data(), &home).unwrap();
        let necessary = json!({ "domain": domain, "log": "debug", "refresh_interval": "500ms" });
        Node::start(&home, merged(necessary, config))
    }

    /// Starts a gateway where the analyst `ann` may log in, and logs in as `ann`.
    async fn gateway(&self, home: &str, config: &Value) -> (Node, Client) {
        let ann = json!({ "name": "ann", "password_hash": hash_password(PASSWORD).unwrap(), "groups": ["analysts"] });
        let necessary = json!({ "log": "debug", "refresh_interval": "500ms", "users": [ann] });
        let node = Node::start(&self.folder.path().join(home), merged(necessary, config));
        let options = ConnectOptions { credentials: Some(("ann".into(), PASSWORD.into())), ca: None };
        let client = node.client_with(&options).await;
        (node, client)
    }

    /// Asserts that none of the output contains a key, a token or a password.
    fn assert_no_secret(&self, said: &[String]) {
        let mut secrets = vec!["PRIVATE".to_owned(), PASSWORD.to_owned()];
        for entry in fs::read_dir(self.folder.path()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|e| e == "pem") {
                // The part that differs from key to key.
                let pem = fs::read_to_string(entry.path()).unwrap();
                secrets.push(pem.lines().nth(1).unwrap()[24..].to_owned());
            }
        }
        assert!(secrets.len() > 3, "there are keys");
        // The header of every token.
        secrets.push("eyJhbGciOi".to_owned());
        for said in said {
            assert!(!said.is_empty());
            for secret in &secrets {
                assert!(!said.contains(secret), "`{secret}` shows in\n{said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_principal_reaches_the_owner_through_two_nodes() {
    within(180, async {
        let keys = Keys::new();
        let trusted = |name: &str| json!({ "name": name, "key": keys.made(name) });
        let gateway = trusted("gateway");
        let supplier = trusted("supply-node");
        // Nodes' tokens look like those of an identity provider, but are not mistaken for them.
        let tokens = json!([{ "issuer": "https://id.test", "audience": "mesh", "jwks": "https://id.test/keys" }]);
        let geo = keys.owner("geo", &json!({ "trusted_nodes": [gateway, supplier], "tokens": tokens }));
        let peers = json!([{ "url": geo.url() }]);
        let supply = keys
            .owner("supply", &json!({ "node": keys.own("supply-node"), "trusted_nodes": [gateway], "peers": peers }));
        let peers = json!([{ "url": geo.url() }, { "url": supply.url() }]);
        let (node, ann) = keys.gateway("gateway", &json!({ "node": keys.own("gateway"), "peers": peers })).await;
        until("the gateway reads both", SOON, async || {
            count(&ann, NATIONS).await == Ok(25) && count(&ann, SUPPLIERS).await == Ok(100)
        })
        .await;
        let arrived = "principal=ann via=\"gateway\" hops=1";
        assert!(fragments(&geo).contains(arrived), "{}", fragments(&geo));

        // The supplier's node fetches rows of the other domain, for `ann`.
        let arrived = "principal=ann via=\"gateway supply-node\" hops=2";
        until("the join is done by the supplier's node", SOON, async || {
            for strategy in ["delegate_to_left", "delegate_to_right"] {
                ann.query(&format!("SET portolan.strategy = {strategy}")).await.unwrap();
                assert_eq!(count(&ann, BOTH).await, Ok(100));
            }
            fragments(&geo).contains(arrived)
        })
        .await;

        // One connection carries many fragments, and each is signed separately.
        for _ in 0..5 {
            assert_eq!(count(&ann, NATIONS).await, Ok(25));
        }
        let mut said = vec![geo.log(), supply.log(), node.log()];
        for sql in ["SELECT * FROM mesh.nodes", &format!("EXPLAIN ANALYZE {BOTH}"), "SHOW portolan.all"] {
            said.push(text(&ann, sql).await);
        }
        keys.assert_no_secret(&said);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untrusted_nodes_get_nothing() {
    within(180, async {
        let keys = Keys::new();
        let limited = json!({ "name": "limited", "key": keys.made("limited"), "may_act_for": ["bob"] });
        let mesh = json!({ "name": "mesh", "password_hash": hash_password(PASSWORD).unwrap(), "node": true });
        let geo = keys.owner("geo", &json!({ "trusted_nodes": [limited], "users": [mesh] }));
        let peer = |more: Value| json!([merged(json!({ "url": geo.url() }), &more)]);
        let known = async |client: &Client| {
            let catalog = "SELECT count(*) FROM mesh.ports WHERE domain = 'geo'";
            until("the catalog is known", SOON, async || count(client, catalog).await == Ok(2)).await;
        };
        let mut said = vec![];

        // A node that logs in as a user, and does not sign.
        let by_password = json!({ "user": "mesh", "password": PASSWORD });
        let (unsigned, ann) = keys.gateway("unsigned", &json!({ "peers": peer(by_password) })).await;
        known(&ann).await;
        let error = failure(&ann, NATIONS).await;
        let parts = [geo.url(), "`mesh` sent has no signed principal", "trusted_nodes"];
        assert_says(&error, ErrorKind::PermissionDenied, &parts);
        said.extend([error.chain(), unsigned.log()]);

        // A node that is trusted, but not for every principal.
        let config = json!({ "node": keys.own("limited"), "peers": peer(json!({})) });
        let (node, ann) = keys.gateway("limited", &config).await;
        known(&ann).await;
        let error = failure(&ann, NATIONS).await;
        assert_says(&error, ErrorKind::PermissionDenied, &[geo.url(), "`limited` may not act for `ann`"]);
        said.extend([error.chain(), node.log()]);

        // A node that uses another name for the owner.
        let config = json!({ "node": keys.own("limited"), "peers": peer(json!({ "audience": "grpc://elsewhere:1" })) });
        let (elsewhere, ann) = keys.gateway("elsewhere", &config).await;
        said.push(down(&ann, &["`grpc://elsewhere:1`", geo.url()]).await);
        said.push(elsewhere.log());

        // Nodes whose keys are not the trusted ones.
        keys.made("stranger");
        for (home, name, says) in [
            ("stranger", "stranger", "node `stranger` is not trusted here"),
            ("impostor", "limited", "is not signed with its key"),
        ] {
            let own = json!({ "name": name, "key": keys.file("stranger") });
            let (node, ann) = keys.gateway(home, &json!({ "node": own, "peers": peer(json!({})) })).await;
            said.push(down(&ann, &[says]).await);
            said.push(failure(&ann, NATIONS).await.chain());
            said.push(node.log());
        }
        assert_eq!(fragments(&geo), "", "no fragment was accepted");
        said.push(geo.log());
        keys.assert_no_secret(&said);
    })
    .await;
}

/// Returns the accepted fragments in a node's log, without colours.
fn fragments(node: &Node) -> String {
    let log = node.log();
    let mut parts = log.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    let plain = parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest));
    plain.lines().filter(|line| line.contains("principal=")).map(|line| format!("{line}\n")).collect()
}

/// Waits until the gateway reports why its peer is down.
async fn down(client: &Client, parts: &[&str]) -> String {
    let down = "SELECT count(*) FROM mesh.nodes WHERE state = 'down' AND error IS NOT NULL";
    until("the peer is known to be down", SOON, async || count(client, down).await == Ok(1)).await;
    let nodes = text(client, "SELECT url, error FROM mesh.nodes").await;
    for part in parts {
        assert!(nodes.contains(part), "{part}\n{nodes}");
    }
    nodes
}
