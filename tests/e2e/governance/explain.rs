//! EXPLAIN in every form: no policy and no hidden value shows, and nothing depends on the hidden rows, on their number or
//! on the literals of a policy. EXPLAIN ANALYZE measures the rows that the principal sees.

use portolan_tests::governance::measures::{remove_measures, without_measures};
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, login, policies};
use portolan_tests::governance::outcomes::{Outcome, observed};
use portolan_tests::governance::people::HiddenRows;
use portolan_tests::mesh::within;
use serde_json::Value;

const FORMS: &[&str] =
    &["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN (FORMAT JSON)", "EXPLAIN (FORMAT SVG)", "EXPLAIN (FORMAT GRAPHVIZ)"];
const MEASURED: &[&str] = &["EXPLAIN ANALYZE", "EXPLAIN (ANALYZE, FORMAT JSON)"];

const QUERIES: &[&str] = &[
    "SELECT id FROM hr.samples.people WHERE salary = 1003000",
    "SELECT id FROM hr.samples.people WHERE id = 1003 AND note LIKE '%1003%'",
    "SELECT count(*) FROM hr.samples.people WHERE ssn LIKE '003%' AND salary > 5000",
    "SELECT count(*), min(salary) FROM hr.samples.people",
    "SELECT dept, count(*), max(ssn) FROM hr.samples.people GROUP BY dept",
    "SELECT ssn, id FROM hr.samples.people ORDER BY ssn, id LIMIT 3",
    "SELECT count(*) FROM hr.samples.people a JOIN hr.samples.people b ON a.id = b.bucket",
    "SELECT count(*), sum(amount) FROM hr.samples.people JOIN shop.samples.orders ON person = id WHERE salary > 900000",
    "SELECT count(*) FROM shop.samples.orders LEFT JOIN hr.samples.people ON person = id WHERE amount < 5",
    "SELECT count(*) FROM shop.samples.orders WHERE person NOT IN (SELECT id FROM hr.samples.people)",
    "SELECT count(*) FROM hr.samples.by_function WHERE salary > 5",
    "SELECT count(*) FROM hr.samples.rare WHERE salary > 5",
];

/// Settings of the sessions, beside none.
const SETTINGS: &[&str] =
    &["portolan.strategy = keys_from_left", "portolan.strategy = delegate_to_right", "portolan.placement = off"];

/// Words of the policies, of raw values and of operators below the barrier.
const SECRETS: &[&str] = &["clearance", "upper(", "bucket <", "of person 1003", "003-33-1003"];

/// Returns the text of a statement at the gateway or at the owner.
async fn explained(mesh: &GovernedMesh, at_gateway: bool, setting: Option<&str>, sql: &str) -> String {
    let client = login(if at_gateway { mesh.gateway() } else { mesh.hr() }, ANALYST).await;
    if let Some(setting) = setting {
        client.query(&format!("SET {setting}")).await.unwrap();
    }
    let outcome = observed(&client, sql).await;
    assert!(matches!(outcome, Outcome::Rows(..)), "{sql}: {}", outcome.text());
    let text = match sql.contains("ANALYZE") {
        false => outcome.text(),
        true if sql.contains("JSON") => measured_document(&outcome),
        true => without_measures(&outcome.text()),
    };
    mesh.without_addresses(&text)
}

fn measured_document(outcome: &Outcome) -> String {
    let Outcome::Rows(_, rows) = outcome else { panic!("{outcome:?}") };
    let (_, text) = rows[0].split_once('|').unwrap();
    let mut document: Value = serde_json::from_str(text).unwrap();
    remove_measures(&mut document);
    serde_json::to_string_pretty(&document).unwrap()
}

fn assert_no_secret(sql: &str, text: &str) {
    for secret in SECRETS.iter().filter(|secret| !sql.contains(**secret)) {
        assert!(!text.contains(secret), "`{secret}` shows in\n{text}\n{sql}");
    }
}

/// Compares the plans of two meshes for the analyst.
async fn assert_same_plans(meshes: [&GovernedMesh; 2], forms: &[&str]) {
    let settings: Vec<Option<&str>> = std::iter::once(None).chain(SETTINGS.iter().copied().map(Some)).collect();
    let mut differences = vec![];
    for query in QUERIES {
        for form in forms {
            let sql = format!("{form} {query}");
            for at_gateway in [false, true] {
                for setting in settings.iter().filter(|setting| at_gateway || setting.is_none()) {
                    let [a, b] = meshes;
                    let (before, after) = tokio::join!(
                        explained(a, at_gateway, *setting, &sql),
                        explained(b, at_gateway, *setting, &sql)
                    );
                    assert_no_secret(&sql, &before);
                    if before != after {
                        differences
                            .push(format!("{sql}\nat the gateway: {at_gateway}, {setting:?}\n{before}\n\n{after}"));
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_plan_depends_on_hidden_rows() {
    within(900, async {
        let (a, b) =
            tokio::join!(GovernedMesh::start(HiddenRows::AsTheyAre), GovernedMesh::start(HiddenRows::Changed),);
        assert_same_plans([&a, &b], FORMS).await;
        assert_same_plans([&a, &b], MEASURED).await;
        assert_same_catalogs([&a, &b]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_plan_depends_on_the_number_of_hidden_rows() {
    within(900, async {
        let (a, b) = tokio::join!(GovernedMesh::start(HiddenRows::AsTheyAre), GovernedMesh::start(HiddenRows::Many));
        assert_same_plans([&a, &b], FORMS).await;
        assert_same_plans([&a, &b], MEASURED).await;
        assert_same_catalogs([&a, &b]).await;
    })
    .await;
}

/// A policy that compares a column with a literal and a query that compares the same column contradict each other or
/// not. The plan must not show which.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_plan_depends_on_the_literals_of_a_policy() {
    within(600, async {
        let with = |literal: &str| {
            let mut policies = policies();
            for (name, text) in &mut policies {
                if name == "people.cedar" {
                    *text = text.replace("resource has clearance && resource.clearance == 1", literal);
                }
            }
            policies
        };
        let [of_a, of_b] = ["a", "b"].map(|dept| with(&format!("resource has dept && resource.dept == \"{dept}\"")));
        let (a, b) = tokio::join!(
            GovernedMesh::start_with(HiddenRows::AsTheyAre, &of_a),
            GovernedMesh::start_with(HiddenRows::AsTheyAre, &of_b),
        );
        for query in
            ["SELECT count(*) FROM hr.samples.people WHERE dept = 'b'", "SELECT max(id) FROM hr.samples.people"]
        {
            for form in FORMS {
                let sql = format!("{form} {query}");
                for at_gateway in [false, true] {
                    let before = explained(&a, at_gateway, None, &sql).await;
                    let after = explained(&b, at_gateway, None, &sql).await;
                    assert_eq!(before, after, "at the gateway: {at_gateway}\n{sql}");
                }
            }
        }
    })
    .await;
}

/// Compares what the catalogs show: statistics are those of rows that nobody in particular may see.
async fn assert_same_catalogs(meshes: [&GovernedMesh; 2]) {
    for sql in [
        "SELECT * FROM mesh.ports WHERE domain = 'hr' ORDER BY port",
        "SELECT domain, port, rows FROM mesh.ports WHERE domain = 'hr' ORDER BY port",
        "SELECT * FROM mesh.columns WHERE domain = 'hr' ORDER BY port, position",
        "SELECT count(*) FROM mesh.columns WHERE domain = 'hr' AND (min IS NOT NULL OR distinct_values IS NOT NULL)",
        "SELECT table_name, column_name, is_nullable, data_type FROM information_schema.columns \
         WHERE table_catalog = 'hr' ORDER BY 1, 2",
    ] {
        let mut shown = vec![];
        for mesh in meshes {
            for node in [mesh.hr(), mesh.shop(), mesh.gateway()] {
                let client = login(node, ANALYST).await;
                let outcome = observed(&client, sql).await.map_text(|text| mesh.without_addresses(text));
                shown.push(outcome.text());
            }
        }
        let (before, after) = shown.split_at(3);
        assert_eq!(before, after, "{sql}");
    }
}

/// The bytes on the wire and the information before the first row do not depend on hidden values, either.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_bytes_depend_on_hidden_rows() {
    within(600, async {
        let (a, b) =
            tokio::join!(GovernedMesh::start(HiddenRows::AsTheyAre), GovernedMesh::start(HiddenRows::Changed),);
        for query in [
            "SELECT note FROM hr.samples.people",
            "SELECT id, dept, note FROM hr.samples.people WHERE id < 2000",
            "SELECT note, amount FROM hr.samples.people JOIN shop.samples.orders ON person = id",
        ] {
            let sql = format!("EXPLAIN (ANALYZE, FORMAT JSON) {query}");
            let mut seen = vec![];
            for mesh in [&a, &b] {
                let client = login(mesh.gateway(), ANALYST).await;
                let Outcome::Rows(_, rows) = observed(&client, &sql).await else { panic!("{sql}") };
                let document: Value = serde_json::from_str(rows[0].split_once('|').unwrap().1).unwrap();
                let fragments = document["fragments"].as_array().unwrap().iter();
                seen.push(fragments.map(|f| f["actual"]["bytes"].clone()).collect::<Vec<_>>());
            }
            assert_eq!(seen[0], seen[1], "{query}");
        }
    })
    .await;
}
