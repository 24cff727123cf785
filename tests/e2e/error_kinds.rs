//! Kinds and words of errors: a limit has its own name, a fault blames who can change it, and nobody but the owner sees
//! where files are stored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use portolan_connectors::node::NodeKey;
use portolan_engine::ErrorKind;
use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_tests::mesh::{Mesh, MeshOptions, copy_table, until, within};
use portolan_tests::node::Node;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::rows::{assert_says, count, drain, failure, text};
use serde_json::json;

const PASSWORD: &str = "correct-horse-battery";
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_names_the_limit_of_spilled_data() {
    within(240, async {
        let node = json!({
            "limits": { "query_memory": "36MiB", "spill": "1MB" },
            // By default, a principal reaches its share first.
            "shares": { "default": { "spill": "10MB", "kept_results": "10MB" } },
            "cpu_threads": 2
        });
        let mesh = Mesh::start(MeshOptions { node, ..MeshOptions::of(&["sales"]) }).await;
        let (owner, gateway) = (mesh.node("sales").client().await, mesh.client().await);
        let lines = "SELECT * FROM sales.orders.lineitem";
        let sort = format!("{lines} ORDER BY l_extendedprice, l_orderkey");
        let aggregate = "SELECT n, l_orderkey, l_linenumber, l_comment, count(*) FROM sales.orders.lineitem \
                         CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7)) AS v(n) GROUP BY 1, 2, 3, 4";
        // The gateway has more memory, and may aggregate there.
        for (client, sql) in [(&owner, sort.as_str()), (&gateway, sort.as_str()), (&owner, aggregate)] {
            let error = drain(client, sql).await.expect_err(sql);
            assert_says(&error, ErrorKind::ResourceExhausted, &["limits.spill"]);
            assert!(!error.chain().contains("datafusion"), "{}", error.chain());
        }
        // A kept result is spilled data, too.
        owner.query("SET portolan.endpoints = 2").await.unwrap();
        let error = drain(&owner, lines).await.expect_err("a result beyond the limit");
        assert_says(&error, ErrorKind::ResourceExhausted, &["limits.spill"]);
        assert!(!error.chain().contains("datafusion"), "{}", error.chain());
        owner.query("SET portolan.endpoints = 1").await.unwrap();
        assert_eq!(count(&owner, "SELECT count(*) FROM sales.orders.orders").await, Ok(15_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_that_is_too_large_makes_the_query_invalid() {
    within(120, async {
        let client = Mesh::shared().await.client().await;
        let large = "(a{1000}){1000}";
        for condition in [
            format!("regexp_like(n_name, '{large}')"),
            format!("n_name ~ '{large}'"),
            format!("regexp_count(n_name, '{large}') > 0"),
            "regexp_like(n_name, '(' || n_name)".to_owned(),
        ] {
            let sql = format!("SELECT count(*) FROM geo.places.nation WHERE {condition}");
            let error = failure(&client, &sql).await;
            assert_says(&error, ErrorKind::InvalidQuery, &["regular expression"]);
        }
    })
    .await;
}

fn login(user: &str) -> ConnectOptions {
    ConnectOptions { credentials: Some((user.to_owned(), PASSWORD.to_owned())), ca: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owner_sees_where_a_file_is_stored() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("lab");
        fs::create_dir_all(&home).unwrap();
        let home = home.canonicalize().unwrap();
        let (corrupt, gone) = (copy_table("customer", &home), copy_table("nation", &home));
        let ports = [
            PortFile::local("customer", &corrupt, "parquet", &[("c_custkey", "integer"), ("c_name", "string")]),
            PortFile::local("nation", &gone, "parquet", &[("n_nationkey", "integer"), ("n_name", "string")]),
        ];
        let contracts = products::write(&home, &ports);
        let hash = hash_password(PASSWORD).unwrap();
        let user = |name: &str, node: bool, admin: bool| {
            json!({ "name": name, "password_hash": hash, "node": node, "admin": admin })
        };
        let users = json!([user("ann", false, false), user("root", false, true), user("mesh", true, true)]);
        let owner = Node::start(&home, json!({ "domain": DOMAIN, "users": users }));
        let peer = json!({ "url": owner.url(), "user": "mesh", "password": PASSWORD });
        let config = json!({ "peers": [peer], "refresh_interval": "500ms" });
        let gateway = Node::start(&folder.path().join("gateway"), config);
        let gateway = &gateway.client().await;
        let whole = "SELECT count(*) FROM lab.samples.nation WHERE n_name <> 'x'";
        until("the gateway knows the domain", SOON, async || count(gateway, whole).await == Ok(25)).await;
        let ann = owner.client_with(&login("ann")).await;
        let root = owner.client_with(&login("root")).await;

        // The footer and the length stay intact, and only the pages are corrupt.
        let mut bytes = fs::read(&corrupt).unwrap();
        let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
        let pages = bytes.len() - 8 - footer;
        bytes[4..pages].fill(0xa5);
        fs::write(&corrupt, bytes).unwrap();
        fs::remove_file(&gone).unwrap();

        let place = home.to_str().unwrap();
        for (sql, port, file) in [
            ("SELECT c_name, c_custkey FROM lab.samples.customer", "lab.samples.customer", "customer.parquet"),
            ("SELECT n_name, n_nationkey FROM lab.samples.nation", "lab.samples.nation", "nation.parquet"),
        ] {
            for client in [&ann, gateway] {
                let error = failure(client, sql).await;
                assert_says(&error, ErrorKind::SiteUnavailable, &[port, file]);
                assert!(!error.chain().contains(place), "{}", error.chain());
            }
            let path = format!("{place}/{file}");
            let error = failure(&root, sql).await;
            assert_says(&error, ErrorKind::SiteUnavailable, &[port, &path]);
            assert!(owner.log().contains(&path), "{}", owner.log());
        }
        load_errors_have_no_location(&contracts[0], gateway, place).await;
    })
    .await;
}

/// Breaks a contract, and reads the reason at another node.
async fn load_errors_have_no_location(contract: &Path, gateway: &Client, place: &str) {
    let good = fs::read_to_string(contract).unwrap();
    fs::write(contract, good.replace("customer.parquet", "customers.parquet")).unwrap();
    let errors = "SELECT count(*) FROM mesh.products WHERE load_error IS NOT NULL";
    until("the error is known at the gateway", SOON, async || count(gateway, errors).await == Ok(1)).await;
    let said = text(gateway, "SELECT load_error FROM mesh.products").await;
    assert!(said.contains("customer.odcs.yaml") && !said.contains(place), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_error_says_that_only_nodes_can_log_in() {
    within(60, async {
        let folder = tempfile::tempdir().unwrap();
        let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
        let trusted = json!([{ "name": "gateway", "key": key.public().to_pem() }]);
        let node = Node::start(folder.path(), json!({ "trusted_nodes": trusted }));
        for options in [ConnectOptions::default(), login("ann")] {
            let error = Client::connect(node.url(), &options).await.unwrap_err();
            assert_says(&error, ErrorKind::Unauthenticated, &["only the nodes in its `trusted_nodes` can log in"]);
        }
    })
    .await;
}
