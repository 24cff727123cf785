//! Clients from another world: pyarrow's Flight client and ADBC's driver for Flight SQL, with a password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};

use portolan_flight_server::hash_password;
use portolan_tests::mesh::{Mesh, merged, within};
use portolan_tests::node::{Node, output};
use portolan_tests::python::python;
use serde_json::json;

/// Where Python's clients lie, one program each.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/clients/python");

/// A gateway with a user before the shared domains.
async fn gateway(home: &Path) -> Node {
    let mesh = Mesh::shared().await;
    let peers: Vec<_> = ["sales", "geo"].iter().map(|d| json!({ "url": mesh.node(d).url() })).collect();
    let user = json!({ "name": "ann", "password_hash": hash_password("se:cret").unwrap() });
    Node::start(home, merged(json!({ "users": [user] }), &json!({ "peers": peers })))
}

async fn check(script: &'static str) {
    within(590, async {
        let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else { return };
        let folder = tempfile::tempdir().unwrap();
        let gateway = gateway(folder.path()).await;
        let url = gateway.url().replace("grpc://", "grpc+tcp://");
        let mut command = Command::new(python);
        command.arg("-B").arg(Path::new(PYTHON).join(script)).stdin(Stdio::null());
        command.args(["--url", &url, "--user", "ann", "--password", "se:cret"]);
        let (code, out, err) = tokio::task::spawn_blocking(move || output(command)).await.unwrap();
        assert_eq!((code, out.lines().last()), (Some(0), Some("fine")), "{out}{err}{}", gateway.log());
        assert!(!gateway.log().contains("se:cret"), "{}", gateway.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyarrow_asks_over_flight() {
    check("pyarrow_flight.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adbc_asks_over_flight_sql() {
    check("adbc_flightsql.py").await;
}
