//! The label of a result: the highest classification of the columns that were read, the ports with their versions, and the
//! versions of the policies. It travels with the rows, and depends on no hidden row.

use std::fs;

use futures::TryStreamExt;
use portolan_engine::{LabelledPort, ResultLabel};
use portolan_node::client::Client;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, OWNER, SOON, login};
use portolan_tests::governance::outcomes::FlightSession;
use portolan_tests::governance::people::HiddenRows;
use portolan_tests::mesh::{until, within};
use portolan_tests::rows::count;
use serde_json::{Value, json};

/// Returns the label of a statement after its rows have arrived.
async fn labelled(client: &Client, sql: &str) -> ResultLabel {
    let statement = client.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    let rows = client.rows(&statement).try_collect::<Vec<_>>().await;
    rows.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    client.label(&statement).await.expect("the node keeps the statement")
}

/// Starts a mesh whose contract of the people classifies two columns.
async fn mesh(hidden: HiddenRows) -> GovernedMesh {
    let mesh = GovernedMesh::start(hidden).await;
    let file = mesh.data().join("products/people.odcs.yaml");
    let mut contract: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for property in contract["schema"][0]["properties"].as_array_mut().unwrap() {
        match property["name"].as_str() {
            Some("ssn") => property["classification"] = json!("restricted"),
            Some("salary") => property["classification"] = json!("confidential"),
            _ => {}
        }
    }
    fs::write(&file, contract.to_string()).unwrap();
    let known = "SELECT count(*) FROM mesh.columns WHERE domain = 'hr' AND classification IS NOT NULL";
    for node in [mesh.hr(), mesh.shop(), mesh.gateway()] {
        let client = login(node, OWNER).await;
        until("the classifications are known", SOON, async || count(&client, known).await == Ok(2)).await;
    }
    mesh
}

/// The ports of a label, and true for those with a version of policies.
fn ports(label: &ResultLabel) -> Vec<(&str, bool)> {
    label.ports.iter().map(|port| (port.name.as_str(), port.policies.is_some())).collect()
}

const PEOPLE: (&str, bool) = ("hr.samples.people", true);
const ORDERS: (&str, bool) = ("shop.samples.orders", false);

/// A statement, the classifications for the analyst and for the owner, and the ports.
type Case = (&'static str, Option<&'static str>, Option<&'static str>, &'static [(&'static str, bool)]);

const CASES: &[Case] = &[
    ("SELECT count(*) FROM hr.samples.people", None, None, &[PEOPLE]),
    ("SELECT id, dept FROM hr.samples.people", None, None, &[PEOPLE]),
    // The analyst sees masked values.
    ("SELECT ssn FROM hr.samples.people", None, Some("restricted"), &[PEOPLE]),
    ("SELECT ssn, salary FROM hr.samples.people", Some("confidential"), Some("restricted"), &[PEOPLE]),
    // A condition reads a column, too.
    ("SELECT id FROM hr.samples.people WHERE salary > 5000", Some("confidential"), Some("confidential"), &[PEOPLE]),
    (
        "SELECT id FROM hr.samples.people WHERE length(ssn) > 3 AND abs(salary) > 5",
        Some("confidential"),
        Some("restricted"),
        &[PEOPLE],
    ),
    (
        "SELECT max(salary), sum(amount) FROM hr.samples.people JOIN shop.samples.orders ON person = id",
        Some("confidential"),
        Some("confidential"),
        &[PEOPLE, ORDERS],
    ),
    ("SELECT count(*) FROM shop.samples.orders WHERE amount > 5", None, None, &[ORDERS]),
    ("SELECT 1", None, None, &[]),
];

/// Statements whose rows depend on a person that the policy hides.
const PROBES: &[&str] = &[
    "SELECT ssn FROM hr.samples.people WHERE salary = 1003000",
    "SELECT salary FROM hr.samples.people WHERE id = 1003",
    "SELECT max(salary) FROM hr.samples.people WHERE dept = 'b'",
    "SELECT count(*), sum(amount) FROM hr.samples.people JOIN shop.samples.orders ON person = id AND id = 1003",
    "SELECT amount FROM shop.samples.orders WHERE person NOT IN (SELECT id FROM hr.samples.people)",
];

async fn labels_name_what_was_read(mesh: &GovernedMesh) {
    for (user, is_analyst) in [(ANALYST, true), (OWNER, false)] {
        for path in mesh.paths(user).await {
            for (sql, of_analyst, of_owner, expected) in CASES {
                let label = labelled(&path.client, sql).await;
                let classification = if is_analyst { of_analyst } else { of_owner };
                assert_eq!(label.classification.as_deref(), *classification, "{} {user}: {sql}", path.name);
                assert_eq!(ports(&label), *expected, "{} {user}: {sql}", path.name);
                let is_versioned = |port: &LabelledPort| port.version.as_deref() == Some("1.0.0");
                assert!(label.ports.iter().all(is_versioned), "{label:?}");
            }
        }
    }
    // Every node reports the version of the owner's policies.
    let sql = "SELECT count(*) FROM hr.samples.people";
    let mut versions = vec![];
    for node in [mesh.hr(), mesh.shop(), mesh.gateway()] {
        versions.push(labelled(&login(node, ANALYST).await, sql).await);
    }
    assert!(versions.iter().all(|label| *label == versions[0]), "{versions:?}");
}

async fn the_first_message_has_the_label(mesh: &GovernedMesh) {
    for (node, is_owner) in [(mesh.hr(), true), (mesh.gateway(), false)] {
        let mut session = FlightSession::login(node, ANALYST, &[]).await;
        let metadata = session.metadata("SELECT ssn, salary FROM hr.samples.people").await;
        let (first, rest) = metadata.split_first().unwrap();
        let label: ResultLabel = serde_json::from_slice(first).unwrap();
        assert!(!rest.is_empty() && rest.iter().all(|later| later.is_empty()), "{rest:?}");
        let names: Vec<&str> = label.ports.iter().map(|port| port.name.as_str()).collect();
        assert_eq!(names, ["hr.samples.people"]);
        if is_owner {
            // At the gateway, the answer of the owner may come after the first message.
            assert_eq!((label.classification.as_deref(), ports(&label)), (Some("confidential"), vec![PEOPLE]));
        }
        let metadata = session.metadata("SELECT amount FROM shop.samples.orders").await;
        assert!(metadata.iter().all(|part| part.is_empty()), "nothing is governed, and nothing is sensitive");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_label_names_what_was_read() {
    within(600, async {
        let mesh = mesh(HiddenRows::AsTheyAre).await;
        labels_name_what_was_read(&mesh).await;
        the_first_message_has_the_label(&mesh).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_label_depends_on_no_hidden_row() {
    within(900, async {
        let (a, b, c) = tokio::join!(mesh(HiddenRows::AsTheyAre), mesh(HiddenRows::Changed), mesh(HiddenRows::Many));
        let mut seen = vec![];
        for mesh in [&a, &b, &c] {
            let mut labels = vec![];
            for path in mesh.paths(ANALYST).await {
                for sql in CASES.iter().map(|case| case.0).chain(PROBES.iter().copied()) {
                    let mut label = labelled(&path.client, sql).await;
                    // The digest of the policies has the names of their files, and each mesh has a folder of its own.
                    for port in &mut label.ports {
                        port.policies = port.policies.as_ref().map(|digest| format!("{} digits", digest.len()));
                    }
                    labels.push((path.name, sql, label));
                }
            }
            seen.push(labels);
        }
        let [as_they_are, changed, many] = <[_; 3]>::try_from(seen).unwrap();
        for (i, label) in as_they_are.iter().enumerate() {
            assert_eq!((label, label), (&changed[i], &many[i]));
        }
    })
    .await;
}
