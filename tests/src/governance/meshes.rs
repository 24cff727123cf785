//! A mesh of processes: the owner `hr`, whose policies hide rows, the owner `shop` without policies, and a gateway. The
//! principal of a query travels signed, with its groups.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_connectors::node::NodeKey;
use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_testbed::mesh::free_addresses;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::people::{self, HiddenRows, ORDER_COLUMNS, ORDERS, PORTS, PeoplePort};
use crate::mesh::{merged, until};
use crate::node::Node;
use crate::products::{PortFile, write_domain};
use crate::rows::count;

/// The password of every user.
pub const PASSWORD: &str = "correct-horse-battery";
/// The key of the node of `hr` for masks.
pub const MASK_KEY: &str = "the key of the mesh, for its tests only";
/// The time limit for a change to reach a node.
pub const SOON: Duration = Duration::from_secs(60);

/// The permit of the owners. Analysts and owners have a group each, strangers and the administrator have none.
pub const OWNERS: &str = "@id(\"owners\")\npermit(principal in Group::\"owners\", action, resource);\n";

/// The names of the principals.
pub const OWNER: &str = "olga";
/// A principal who may read some rows, masked.
pub const ANALYST: &str = "ann";
/// A principal without any permit.
pub const STRANGER: &str = "eve";
/// An administrator of every node, without any permit.
pub const ADMIN: &str = "root";

/// A mesh of processes.
#[derive(Debug)]
pub struct GovernedMesh {
    hr: Node,
    shop: Node,
    gateway: Node,
    folder: TempDir,
}

/// A session in which a query runs in one way: at the owner or at the gateway, with the settings that force a plan.
#[derive(Debug)]
pub struct QueryPath {
    /// The name.
    pub name: &'static str,
    /// The session.
    pub client: Client,
    /// True if the session is at the owner.
    pub is_at_owner: bool,
    /// The settings of the session.
    pub settings: &'static [(&'static str, &'static str)],
}

/// The name of a way to run a query, true for the owner, and the settings.
type Way = (&'static str, bool, &'static [(&'static str, &'static str)]);

/// The ways to run a query: the name, true for the owner, and the settings.
pub const PATHS: &[Way] = &[
    ("at the owner", true, &[]),
    ("at the owner, delegated", true, &[("portolan.strategy", "delegate_to_right")]),
    ("at the gateway", false, &[]),
    ("at the gateway, unplaced", false, &[("portolan.placement", "off")]),
    ("at the gateway, scans only", false, &[("portolan.pushdown", "scans")]),
    ("at the gateway, delegated to the left", false, &[("portolan.strategy", "delegate_to_left")]),
    ("at the gateway, delegated to the right", false, &[("portolan.strategy", "delegate_to_right")]),
    ("at the gateway, keys from the left", false, &[("portolan.strategy", "keys_from_left")]),
    ("at the gateway, keys from the right", false, &[("portolan.strategy", "keys_from_right")]),
];

impl GovernedMesh {
    /// Starts the mesh. The policies of a mesh without hidden rows permit everything.
    pub async fn start(hidden: HiddenRows) -> Self {
        let policies = match hidden {
            HiddenRows::Absent => vec![],
            _ => policies(),
        };
        Self::start_with(hidden, &policies).await
    }

    /// Starts the mesh with these policies, each in a file.
    pub async fn start_with(hidden: HiddenRows, policies: &[(String, String)]) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-governed-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write_hr(&at("hr"), hidden, policies);
        write_shop(&at("shop"));
        let trusted: Vec<Value> = ["gateway", "hr-node", "shop-node"].map(|name| trusted(folder.path(), name)).into();
        let addresses = free_addresses(2).unwrap();
        // Measured links would change plans from run to run.
        let peer =
            |address: &str| json!({ "url": format!("grpc://{address}"), "latency": "1ms", "bandwidth": "100MB" });
        let identity = |name: &str| json!({ "name": name, "key": folder.path().join(format!("{name}.pem")) });
        let config = |name: &str, domain: &str, here: usize| {
            let others: Vec<&Value> = trusted.iter().filter(|other| other["name"] != name).collect();
            json!({
                "domain": domain, "listen": addresses[here], "peers": [peer(&addresses[1 - here])],
                "node": identity(name), "trusted_nodes": others, "users": users(), "cpu_threads": 1,
                "refresh_interval": "500ms", "statistics_interval": "300ms",
            })
        };
        fs::write(at("mask.key"), format!("{MASK_KEY}\n")).unwrap();
        let key = json!({ "mask_key": at("mask.key") });
        let hr = Node::spawn(&at("hr"), merged(config("hr-node", "hr", 0), &key));
        let shop = Node::spawn(&at("shop"), config("shop-node", "shop", 1));
        let (hr, shop) = (hr.ready(), shop.ready());
        let peers = [peer(&addresses[0]), peer(&addresses[1])];
        let gateway = Node::start(
            &at("gateway"),
            json!({
                "peers": peers, "node": identity("gateway"), "users": users(), "cpu_threads": 1,
                "refresh_interval": "500ms",
            }),
        );
        let mesh = Self { hr, shop, gateway, folder };
        mesh.until_known().await;
        mesh
    }

    /// Waits until the nodes know one another, and the statistics of the orders.
    async fn until_known(&self) {
        let known = "SELECT count(*) FROM mesh.ports WHERE domain = 'hr' OR port = 'orders'";
        let counted = "SELECT rows FROM mesh.ports WHERE port = 'orders'";
        for node in [&self.hr, &self.shop, &self.gateway] {
            let client = login(node, OWNER).await;
            let ports = PORTS.len() as i64 + 1;
            until("the ports are known", SOON, async || count(&client, known).await == Ok(ports)).await;
            until("the statistics are known", SOON, async || count(&client, counted).await == Ok(ORDERS)).await;
        }
        let client = login(&self.gateway, OWNER).await;
        client.query("SET portolan.strategy = delegate_to_right").await.unwrap();
        let join = "SELECT count(*) FROM hr.samples.people JOIN shop.samples.orders ON person = id";
        let plan = format!("EXPLAIN {join}");
        let is_delegated = async || {
            let Ok((_, batches)) = client.query(&plan).await else { return false };
            crate::ways::lines(&batches).join("\n").contains("delegate")
        };
        until("the gateway can delegate", SOON, is_delegated).await;
    }

    /// Returns the node of the governed domain.
    pub fn hr(&self) -> &Node {
        &self.hr
    }

    /// Returns the node of the domain without policies.
    pub fn shop(&self) -> &Node {
        &self.shop
    }

    /// Returns the gateway.
    pub fn gateway(&self) -> &Node {
        &self.gateway
    }

    /// Returns the folder with the file of each port of `hr`.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("hr")
    }

    /// Returns the folder of the policies.
    pub fn policies(&self) -> PathBuf {
        self.folder.path().join("hr/products/policies")
    }

    /// Opens a session of a principal in each way.
    pub async fn paths(&self, user: &str) -> Vec<QueryPath> {
        let mut paths = vec![];
        for (name, is_at_owner, settings) in PATHS {
            let client = login(if *is_at_owner { &self.hr } else { &self.gateway }, user).await;
            for (setting, value) in *settings {
                client.query(&format!("SET {setting} = {value}")).await.unwrap();
            }
            paths.push(QueryPath { name, client, is_at_owner: *is_at_owner, settings });
        }
        paths
    }

    /// Replaces what differs between meshes with the same data: the addresses of nodes, and the folder.
    pub fn without_addresses(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder.path().display().to_string(), "<folder>");
        for (node, name) in [(&self.hr, "hr"), (&self.shop, "shop"), (&self.gateway, "gateway")] {
            let url = node.url();
            let address = url.rsplit_once('/').map_or(url, |(_, address)| address);
            text = text.replace(url, &format!("<{name}>")).replace(address, &format!("<{name}>"));
        }
        // The width of a table depends on the addresses in it.
        text.split(['─', ' ']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Starts the owner of the governed domain alone, with these policies.
pub fn start_owner(home: &Path, policies: &[(String, String)]) -> Node {
    start_owner_with(home, policies, false)
}

/// Starts the owner as [`start_owner`] does. If `is_strict`, no condition of a statement goes below a barrier.
pub fn start_owner_with(home: &Path, policies: &[(String, String)], is_strict: bool) -> Node {
    write_hr(home, HiddenRows::AsTheyAre, policies);
    Node::start(home, json!({ "domain": "hr", "users": users(), "cpu_threads": 2, "policy_strict": is_strict }))
}

/// Opens a session of a user.
pub async fn login(node: &Node, user: &str) -> Client {
    let options = ConnectOptions { credentials: Some((user.to_owned(), PASSWORD.to_owned())), ca: None };
    node.client_with(&options).await
}

/// Returns the policies of the domain: the name and the text of each file.
pub fn policies() -> Vec<(String, String)> {
    let ports = PORTS.iter().map(|port| (format!("{}.cedar", port.name), port.policies()));
    std::iter::once(("owners.cedar".to_owned(), OWNERS.to_owned())).chain(ports).collect()
}

/// Returns the users of each node, for its config.
pub fn users() -> Value {
    let hash = hash_password(PASSWORD).unwrap();
    let user = |name: &str, groups: &[&str], admin: bool| json!({ "name": name, "password_hash": hash, "groups": groups, "admin": admin });
    json!([
        user(OWNER, &["owners"], false),
        user(ANALYST, &["analysts"], false),
        user(STRANGER, &[], false),
        user(ADMIN, &[], true),
    ])
}

/// Creates the key of a node, in a folder. Returns the entry for the `trusted_nodes` of the others.
pub fn trusted(folder: &Path, name: &str) -> Value {
    let file = folder.join(format!("{name}.pem"));
    let pem = NodeKey::generate().unwrap();
    fs::write(&file, &pem).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    json!({ "name": name, "key": NodeKey::from_pem(pem.as_bytes()).unwrap().public().to_pem() })
}

/// Writes the domain `hr`: rows, contracts and policies.
pub fn write_hr(home: &Path, hidden: HiddenRows, policies: &[(String, String)]) {
    let products = home.join("products");
    fs::create_dir_all(products.join("policies")).unwrap();
    fs::create_dir_all(products.join("agreements")).unwrap();
    let file = |port: &PeoplePort| home.join(format!("{}.parquet", port.name));
    let ports: Vec<PortFile> = PORTS
        .iter()
        .map(|port| {
            port.write(&file(port), hidden);
            PortFile::local(port.name, &file(port), "parquet", port.columns(hidden))
        })
        .collect();
    write_domain("hr", home, &ports);
    for (name, text) in policies {
        fs::write(products.join("policies").join(name), text).unwrap();
    }
    if hidden != HiddenRows::Absent {
        for (port, from, until) in [("audited", "2020-01-01", "2999-12-31"), ("expired", "2020-01-01", "2021-12-31")] {
            let agreement =
                format!("port: {port}\nwho: {{groups: [analysts]}}\npurpose: audit\nfrom: {from}\nuntil: {until}\n");
            fs::write(products.join("agreements").join(format!("{port}.yaml")), agreement).unwrap();
        }
    }
}

fn write_shop(home: &Path) {
    fs::create_dir_all(home).unwrap();
    let file = home.join("orders.parquet");
    people::write_orders(&file);
    write_domain("shop", home, &[PortFile::local("orders", &file, "parquet", &ORDER_COLUMNS)]);
}
