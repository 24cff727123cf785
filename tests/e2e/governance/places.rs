//! The places of values: what the node of another domain receives of a column whose keys must not leave, the results with
//! and without the rules, and an owner whose rules the other nodes do not know yet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use portolan_connectors::node::NodeKey;
use portolan_engine::ErrorKind;
use portolan_node::client::Client;
use portolan_testbed::mesh::free_addresses;
use portolan_tests::crossed::{document, strategies, strategies_in};
use portolan_tests::mesh::{until, within};
use portolan_tests::node::Node;
use portolan_tests::products::{PortFile, contract, write_contracts};
use portolan_tests::recording_proxy::RecordingProxy;
use portolan_tests::rows::{assert_says, failure, text};
use portolan_tests::ways::{lines, table, write_parquet};
use serde_json::{Value, json};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);
/// The patients of the clinic. The laboratory has results of twice as many.
const PATIENTS: i64 = 60;
const RESULTS: i64 = 6000;
/// The beginning of each patient's number.
const NUMBER: &[u8] = b"patient-0";

const JOIN: &str = "SELECT ward, count(*) AS results, sum(value) AS total FROM clinic.samples.patients \
                    JOIN lab.samples.results ON number = subject WHERE age < 50 GROUP BY ward ORDER BY ward";
/// The same join, of which the laboratory needs nothing that must not leave the clinic.
const WARDS: &str = "SELECT ward, count(*) AS results FROM clinic.samples.patients \
                     JOIN lab.samples.results ON ward = room GROUP BY ward ORDER BY ward";
const SEMI: &str = "SELECT count(*) AS n, sum(value) AS total FROM lab.samples.results \
                    WHERE subject IN (SELECT number FROM clinic.samples.patients WHERE age < 50)";

/// The node of a clinic, the node of a laboratory, and a gateway. Both reach the laboratory through a proxy.
struct Places {
    clinic: Node,
    lab: Node,
    client: Client,
    proxy: RecordingProxy,
    folder: TempDir,
    _gateway: Node,
}

/// The rules of the clinic: `portolan.keys` of the patient's number, and `portolan.processedAt`.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    keys: Option<&'static str>,
    processed_at: Option<&'static str>,
}

fn write_clinic(home: &Path, rules: Rules) {
    fs::create_dir_all(home).unwrap();
    let file = home.join("patients.parquet");
    let numbers = (0..PATIENTS).map(|i| format!("patient-{:05}", i * 2));
    let wards = (0..PATIENTS).map(|i| Some(format!("ward {}", i % 3)));
    let ages = Int64Array::from_iter_values((0..PATIENTS).map(|i| i % 100));
    let rows = table(vec![
        ("number", Arc::new(numbers.map(Some).collect::<StringArray>()) as ArrayRef),
        ("ward", Arc::new(wards.collect::<StringArray>()) as ArrayRef),
        ("age", Arc::new(ages) as ArrayRef),
    ]);
    write_parquet(&file, &rows);
    let columns = [("number", "string"), ("ward", "string"), ("age", "integer")];
    let mut contract = contract("clinic", &PortFile::local("patients", &file, "parquet", &columns));
    let property = |name: &str, value: &str| json!([{ "property": name, "value": value }]);
    if let Some(keys) = rules.keys {
        contract["schema"][0]["properties"][0]["customProperties"] = property("portolan.keys", keys);
    }
    if let Some(processed_at) = rules.processed_at {
        contract["schema"][0]["customProperties"] = property("portolan.processedAt", processed_at);
    }
    write_contracts("clinic", home, &[("patients", contract)]);
}

fn write_lab(home: &Path) {
    fs::create_dir_all(home).unwrap();
    let file = home.join("results.parquet");
    let subjects = (0..RESULTS).map(|i| format!("patient-{:05}", i % (2 * PATIENTS)));
    let rooms = (0..RESULTS).map(|i| Some(format!("ward {}", i % 7)));
    let rows = table(vec![
        ("subject", Arc::new(subjects.map(Some).collect::<StringArray>()) as ArrayRef),
        ("room", Arc::new(rooms.collect::<StringArray>()) as ArrayRef),
        ("value", Arc::new(Int64Array::from_iter_values(0..RESULTS)) as ArrayRef),
    ]);
    write_parquet(&file, &rows);
    let columns = [("subject", "string"), ("room", "string"), ("value", "integer")];
    let contract = contract("lab", &PortFile::local("results", &file, "parquet", &columns));
    write_contracts("lab", home, &[("results", contract)]);
}

impl Places {
    /// Starts the mesh. The gateway and the laboratory fetch catalogs in this interval. Joins run as they are written.
    async fn start(rules: Rules, interval: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-places-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write_clinic(&at("clinic"), rules);
        write_lab(&at("lab"));
        let trusted: Vec<Value> =
            ["gateway", "clinic-node", "lab-node"].map(|name| trusted(folder.path(), name)).into();
        let node = |name: &str| json!({ "name": name, "key": at(&format!("{name}.pem")) });
        let others = |name: &str| trusted.iter().filter(|other| other["name"] != name).cloned().collect::<Vec<_>>();
        // Measured links would change plans from run to run.
        let peer = |url: &str, audience: &str| {
            let (latency, bandwidth) = ("1ms", "10MB");
            json!({ "url": url, "audience": audience, "latency": latency, "bandwidth": bandwidth })
        };
        let addresses = free_addresses(2).unwrap();
        let (to_clinic, to_lab) = (format!("grpc://{}", addresses[0]), format!("grpc://{}", addresses[1]));
        let proxy = RecordingProxy::in_front_of(&to_lab).await;
        let config = |domain: &str, address: &str, peer: Value, interval: &str| {
            let name = format!("{domain}-node");
            json!({
                "domain": domain, "listen": address, "node": node(&name), "trusted_nodes": others(&name),
                "anonymous": true, "peers": [peer], "refresh_interval": interval, "cpu_threads": 1, "log": "debug",
            })
        };
        let lab_peer = peer(proxy.url(), &to_lab);
        let clinic = Node::start(&at("clinic"), config("clinic", &addresses[0], lab_peer.clone(), "500ms"));
        let lab = Node::start(&at("lab"), config("lab", &addresses[1], peer(&to_clinic, &to_clinic), interval));
        let client = lab.client().await;
        let knows = "SELECT count(*) FROM clinic.samples.patients";
        until("the laboratory knows the clinic", SOON, async || client.query(knows).await.is_ok()).await;
        let peers = [peer(&to_clinic, &to_clinic), lab_peer];
        let gateway = Node::start(
            &at("gateway"),
            json!({ "node": node("gateway"), "peers": peers, "refresh_interval": interval, "cpu_threads": 1 }),
        );
        let client = gateway.client().await;
        client.query("SET portolan.join_order = off").await.unwrap();
        until("the gateway knows both", SOON, async || client.query(JOIN).await.is_ok()).await;
        Self { clinic, lab, client, proxy, folder, _gateway: gateway }
    }

    /// Forces a strategy and an encoding of keys.
    async fn force(&self, strategy: &str, form: &str) {
        for setting in [format!("strategy = {strategy}"), format!("key_form = {form}")] {
            self.client.query(&format!("SET portolan.{setting}")).await.unwrap();
        }
    }

    /// Returns the rows of a query, and true if the laboratory has received a patient's number for it.
    async fn ran(&self, sql: &str) -> (Vec<String>, bool) {
        self.proxy.take();
        let (_, batches) = self.client.query(sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
        let received = self.proxy.take();
        (lines(&batches), received.windows(NUMBER.len()).any(|bytes| bytes == NUMBER))
    }
}

/// Creates the key of a node. Returns the entry for the `trusted_nodes` of the others.
fn trusted(folder: &Path, name: &str) -> Value {
    let file = folder.join(format!("{name}.pem"));
    let pem = NodeKey::generate().unwrap();
    fs::write(&file, &pem).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    json!({ "name": name, "key": NodeKey::from_pem(pem.as_bytes()).unwrap().public().to_pem() })
}

/// Strategies and encodings of keys that can be forced.
const FORCED: [(&str, &str); 10] = [
    ("auto", "auto"),
    ("gather", "auto"),
    ("keys_from_left", "literals"),
    ("keys_from_left", "batch"),
    ("keys_from_left", "bloom"),
    ("keys_from_left", "range"),
    ("keys_from_right", "literals"),
    ("keys_from_right", "range"),
    ("delegate_to_left", "auto"),
    ("delegate_to_right", "auto"),
];

/// Returns the strategies of a query's edges with a forced strategy.
async fn forced_strategies(places: &Places, strategy: &str, sql: &str) -> Vec<String> {
    places.force(strategy, "auto").await;
    strategies(&places.client, sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_domain_receives_no_value_of_a_column_whose_keys_stay() {
    within(300, async {
        let open = Places::start(Rules::default(), "500ms").await;
        let mut expected = vec![];
        for sql in [JOIN, SEMI, WARDS] {
            open.force("gather", "auto").await;
            expected.push((sql, open.ran(sql).await.0));
        }
        // Without rules, the numbers leave as keys.
        open.force("keys_from_left", "literals").await;
        assert!(open.ran(JOIN).await.1, "the proxy records no keys");
        drop(open);
        for keys in ["hash", "never"] {
            let places = Places::start(Rules { keys: Some(keys), processed_at: None }, "500ms").await;
            // Rows of the laboratory may still go to the clinic.
            places.force("delegate_to_left", "auto").await;
            let explained = async || text(&places.client, &format!("EXPLAIN {JOIN}")).await;
            until("the gateway can delegate", SOON, async || explained().await.contains("delegate to ")).await;
            for order in ["on", "off"] {
                places.client.query(&format!("SET portolan.join_order = {order}")).await.unwrap();
                for (strategy, form) in FORCED {
                    places.force(strategy, form).await;
                    for (sql, expected) in &expected {
                        let (rows, is_shown) = places.ran(sql).await;
                        assert_eq!(&rows, expected, "{keys}, {strategy} as {form}: {sql}");
                        assert!(!is_shown, "{keys}, {strategy} as {form}: {sql}");
                    }
                }
            }
            assert!(!places.lab.log().contains("patient-0"), "the log of the laboratory");
            places.force("keys_from_left", "auto").await;
            let plan = text(&places.client, &format!("EXPLAIN {JOIN}")).await;
            assert!(
                plan.contains("keys not sent: `number` of clinic.samples.patients may not leave as a key"),
                "{plan}"
            );
            let shown = "SELECT keys FROM mesh.columns WHERE domain = 'clinic' ORDER BY position";
            let (_, batches) = places.client.query(shown).await.unwrap();
            assert_eq!(lines(&batches), [keys, "ship", "ship"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_delegated_only_to_nodes_that_may_process_them() {
    within(300, async {
        for (processed_at, is_allowed) in [(None, true), (Some("mesh"), true), (Some("own"), false)] {
            let places = Places::start(Rules { keys: None, processed_at }, "500ms").await;
            let goes =
                async || forced_strategies(&places, "delegate_to_left", WARDS).await.contains(&"delegate".to_owned());
            until("the gateway can delegate", SOON, goes).await;
            places.force("gather", "auto").await;
            let (expected, _) = places.ran(WARDS).await;
            if is_allowed {
                let goes = async || {
                    forced_strategies(&places, "delegate_to_right", WARDS).await.contains(&"delegate".to_owned())
                };
                until("the gateway delegates to the laboratory", SOON, goes).await;
            }
            places.force("delegate_to_right", "auto").await;
            let (_, batches) = places.client.query(&format!("EXPLAIN (FORMAT JSON) {WARDS}")).await.unwrap();
            let plan = document(&batches).unwrap();
            assert_eq!(strategies_in(&plan).contains(&"delegate".to_owned()), is_allowed, "{processed_at:?}: {plan:#}");
            let reason =
                "the rows of clinic.samples.patients may be processed only where `portolan.processedAt` allows it";
            assert_eq!(plan.to_string().contains(reason), !is_allowed, "{plan:#}");
            assert_eq!(places.ran(WARDS).await.0, expected, "{processed_at:?}");
            let shown = "SELECT processed_at FROM mesh.ports WHERE domain = 'clinic'";
            let (_, batches) = places.client.query(shown).await.unwrap();
            assert_eq!(lines(&batches), [processed_at.unwrap_or("any")]);
        }
    })
    .await;
}

/// The gateway and the laboratory do not know the new rule, because they fetch the catalog once an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_refuses_what_nodes_with_older_catalogs_send() {
    within(300, async {
        let places = Places::start(Rules::default(), "3600s").await;
        places.force("delegate_to_right", "auto").await;
        let plan = strategies(&places.client, WARDS).await;
        assert!(plan.contains(&"delegate".to_owned()), "{plan:?}");
        let (expected, _) = places.ran(WARDS).await;
        write_clinic(&places.folder.path().join("clinic"), Rules { keys: None, processed_at: Some("own") });
        let clinic = places.clinic.client().await;
        let shown = "SELECT processed_at FROM mesh.ports WHERE domain = 'clinic'";
        let is_new = async || clinic.query(shown).await.is_ok_and(|(_, batches)| lines(&batches) == ["own"]);
        until("the clinic has the rule", SOON, is_new).await;
        let plan = strategies(&places.client, WARDS).await;
        assert!(plan.contains(&"delegate".to_owned()), "the gateway has the older catalog: {plan:?}");
        let error = failure(&places.client, WARDS).await;
        let parts = ["node `lab-node` may not fetch these rows for another node", "portolan.processedAt"];
        assert_says(&error, ErrorKind::PermissionDenied, &parts);
        // The node that the client queries may have the rows.
        places.force("gather", "auto").await;
        assert_eq!(places.ran(WARDS).await.0, expected);
    })
    .await;
}
