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
use portolan_tests::mesh::{Mesh, MeshOptions, copy_table, data, merged, until, within};
use portolan_tests::node::Node;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::rows::{assert_says, count, drain, failure, text};
use serde_json::{Value, json};

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
        // Eight times the rows need more than the memory, whatever the threads do first.
        let more = "sales.orders.lineitem CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7)) AS v(n)";
        let sort = format!("SELECT * FROM {more} ORDER BY l_extendedprice, l_orderkey, n");
        let aggregate =
            format!("SELECT n, l_orderkey, l_linenumber, l_comment, count(*) AS c FROM {more} GROUP BY 1, 2, 3, 4");
        let largest = format!("SELECT max(c) FROM ({aggregate})");
        // The gateway has more memory, and would return the rows itself. One row comes from the owner.
        for (client, sql) in [(&owner, sort.as_str()), (&owner, aggregate.as_str()), (&gateway, largest.as_str())] {
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
        let (owner, gateway) = lab(folder.path(), &home);
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
            location_is_for_the_owner(&owner, [&ann, gateway, &root], sql, &[port, file], &format!("{place}/{file}"))
                .await;
        }
        load_errors_have_no_location(&contracts[0], gateway, place).await;
    })
    .await;
}

/// Starts an owner with the users `ann`, `root` and `mesh`, and a gateway.
fn lab(folder: &Path, home: &Path) -> (Node, Node) {
    let hash = hash_password(PASSWORD).unwrap();
    let user = |name: &str, more: Value| merged(json!({ "name": name, "password_hash": hash }), &more);
    let (root, mesh) = (json!({ "admin": true }), json!({ "node": true, "admin": true }));
    let users = json!([user("ann", json!({})), user("root", root), user("mesh", mesh)]);
    let owner = Node::start(home, json!({ "domain": DOMAIN, "users": users }));
    let peer = json!({ "url": owner.url(), "user": "mesh", "password": PASSWORD });
    let config = json!({ "peers": [peer], "refresh_interval": "500ms" });
    let gateway = Node::start(&folder.join("gateway"), config);
    (owner, gateway)
}

/// Asserts that a statement fails, and that only the last client, an administrator of the owner, sees the path.
async fn location_is_for_the_owner(owner: &Node, clients: [&Client; 3], sql: &str, parts: &[&str], path: &str) {
    let (folder, _) = path.rsplit_once('/').unwrap();
    let [ann, gateway, root] = clients;
    for client in [ann, gateway] {
        let error = failure(client, sql).await;
        assert_says(&error, ErrorKind::SiteUnavailable, parts);
        assert!(!error.chain().contains(folder), "{}", error.chain());
    }
    let error = failure(root, sql).await;
    let parts: Vec<&str> = parts.iter().copied().chain([path]).collect();
    assert_says(&error, ErrorKind::SiteUnavailable, &parts);
    assert!(owner.log().contains(path), "{}", owner.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owner_sees_where_other_files_were_stored() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("lab");
        fs::create_dir_all(home.join("orders")).unwrap();
        let home = home.canonicalize().unwrap();
        let orders = home.join("orders");
        copy_table("orders", &orders);
        let (truncated, replaced) = (copy_table("region", &home), copy_table("supplier", &home));
        let ports = [
            PortFile::local("orders", &orders.join(""), "parquet", &[("o_orderkey", "integer")]),
            PortFile::local("region", &truncated, "parquet", &[("r_regionkey", "integer"), ("r_name", "string")]),
            PortFile::local("supplier", &replaced, "parquet", &[("s_suppkey", "integer"), ("s_name", "string")]),
        ];
        products::write(&home, &ports);
        let (owner, gateway) = lab(folder.path(), &home);
        let gateway = &gateway.client().await;
        let whole = "SELECT count(*) FROM lab.samples.region WHERE r_name <> 'x'";
        until("the gateway knows the domain", SOON, async || count(gateway, whole).await == Ok(5)).await;
        let (ann, root) = (owner.client_with(&login("ann")).await, owner.client_with(&login("root")).await);

        let bytes = fs::read(&truncated).unwrap();
        fs::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
        fs::copy(data().join("nation.parquet"), home.join("new")).unwrap();
        fs::rename(home.join("new"), &replaced).unwrap();
        fs::remove_dir_all(&orders).unwrap();

        let place = home.to_str().unwrap();
        for (sql, port, file) in [
            ("SELECT r_name, r_regionkey FROM lab.samples.region", "lab.samples.region", "region.parquet"),
            ("SELECT s_name, s_suppkey FROM lab.samples.supplier", "lab.samples.supplier", "supplier.parquet"),
            ("SELECT o_orderkey FROM lab.samples.orders", "lab.samples.orders", "orders"),
        ] {
            location_is_for_the_owner(&owner, [&ann, gateway, &root], sql, &[port, file], &format!("{place}/{file}"))
                .await;
        }
    })
    .await;
}

/// Breaks a contract, and reads the reason at another node.
async fn load_errors_have_no_location(contract: &Path, gateway: &Client, place: &str) {
    let good = fs::read_to_string(contract).unwrap();
    fs::write(contract, good.replace("customer.parquet", "customers.parquet")).unwrap();
    let errors = "SELECT count(*) FROM mesh.ports WHERE load_error LIKE '%customer.odcs.yaml%'";
    until("the error is known at the gateway", SOON, async || count(gateway, errors).await == Ok(1)).await;
    for table in ["mesh.ports", "mesh.products"] {
        let said = text(gateway, &format!("SELECT load_error FROM {table}")).await;
        assert!(said.contains("customer.odcs.yaml") && !said.contains(place), "{said}");
    }
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
