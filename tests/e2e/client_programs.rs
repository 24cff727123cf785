//! Clients in Go and for Node, as programs of their own that say which features they find.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};

use portolan_flight_server::hash_password;
use portolan_tests::go::programs;
use portolan_tests::mesh::{Mesh, merged, within};
use portolan_tests::node::{Node, output};
use portolan_tests::npm::scripts;
use serde_json::json;

/// What is tried. Every program leaves out what it does not know.
const FEATURES: &[&str] = &[
    "connect-anonymous",
    "connect-password",
    "browse",
    "metadata-getters",
    "keys",
    "types",
    "schema",
    "parameters",
    "limit-parameter",
    "prepared-reuse",
    "large-results",
    "partitions",
    "poll",
    "empty-results",
    "duplicate-names",
    "transactions",
    "cancel",
    "timeouts",
    "cancel-flight-info",
    "session-close",
];

/// A gateway with a user before the shared domains, and the shared one that takes anybody.
async fn gateways(home: &Path) -> (Node, String) {
    let mesh = Mesh::shared().await;
    let peers: Vec<_> = ["sales", "supply", "geo"].iter().map(|d| json!({ "url": mesh.node(d).url() })).collect();
    let user = json!({ "name": "ann", "password_hash": hash_password("se:cret").unwrap() });
    let gateway = Node::start(home, merged(json!({ "users": [user] }), &json!({ "peers": peers })));
    (gateway, mesh.gateway().url().to_owned())
}

/// Runs a program to its end, which must be a good one; `dashes` are what its flags begin with.
async fn tries(program: impl FnOnce() -> Option<Command> + Send + 'static, dashes: &'static str) {
    within(590, async {
        let Some(mut command) = tokio::task::spawn_blocking(program).await.unwrap() else { return };
        let folder = tempfile::tempdir().unwrap();
        let (gateway, anonymous) = gateways(folder.path()).await;
        let url = |url: &str| url.replace("grpc://", "grpc+tcp://");
        let (url, anonymous, only) = (url(gateway.url()), url(&anonymous), FEATURES.join(","));
        let flags = [("url", url.as_str()), ("user", "ann"), ("password", "se:cret"), ("only", &only)];
        for (flag, value) in flags.into_iter().chain([("anonymous", anonymous.as_str())]) {
            command.arg(format!("{dashes}{flag}")).arg(value);
        }
        command.stdin(Stdio::null());
        let (code, out, err) = tokio::task::spawn_blocking(|| output(command)).await.unwrap();
        assert_eq!((code, out.lines().last()), (Some(0), Some("fine")), "{out}{err}{}", gateway.log());
        assert!(!gateway.log().contains("se:cret"), "{}", gateway.log());
    })
    .await;
}

fn in_go(name: &'static str) -> impl FnOnce() -> Option<Command> {
    move || Some(Command::new(programs()?.join(name)))
}

fn for_node(script: &'static str) -> impl FnOnce() -> Option<Command> {
    move || {
        let mut node = Command::new("node");
        node.arg(scripts()?.join(script));
        Some(node)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adbc_in_go_finds_its_features() {
    tries(in_go("adbc"), "-").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_sql_in_go_finds_its_features() {
    tries(in_go("database"), "-").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flight_sql_in_go_finds_its_features() {
    tries(in_go("flight"), "-").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gizmosql_for_node_finds_its_features() {
    tries(for_node("gizmosql.js"), "--").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lakehouse_for_node_finds_its_features() {
    tries(for_node("lakehouse.js"), "--").await;
}
