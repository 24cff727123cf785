//! `EXPLAIN (POLICY)`: what the policies decide for a principal, and which rules decided. It shows no condition and
//! nothing that depends on hidden rows.

use portolan_engine::ErrorKind;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, OWNER, STRANGER, login};
use portolan_tests::governance::outcomes::{Outcome, observed};
use portolan_tests::governance::people::HiddenRows;
use portolan_tests::mesh::within;
use portolan_tests::rows::{assert_says, failure};

/// Words of the conditions of policies, and of raw values. No column of them is in the statements, except as the subject
/// of a decision.
const SECRETS: &[&str] = &["clearance ==", "clearance = 1", "upper(", "bucket <", "of person 1003", "003-33-1003"];

const QUERIES: &[&str] = &[
    "SELECT id FROM hr.samples.people WHERE salary = 1003000",
    "SELECT rating FROM hr.samples.people",
    "SELECT count(*), sum(amount) FROM hr.samples.rare JOIN shop.samples.orders ON person = id",
    "SELECT 1 FROM hr.samples.by_function WHERE id IN (SELECT id FROM hr.samples.most)",
    "SELECT count(*) FROM hr.samples.audited",
];

/// Returns the rows without the version of the policies, which depends on the folder.
async fn explained(mesh: &GovernedMesh, at_gateway: bool, user: &str, sql: &str) -> Vec<String> {
    let client = login(if at_gateway { mesh.gateway() } else { mesh.hr() }, user).await;
    let sql = format!("EXPLAIN (POLICY) {sql}");
    let outcome = observed(&client, &sql).await;
    let Outcome::Rows(_, rows) = &outcome else { panic!("{user}: {sql}: {}", outcome.text()) };
    let row = |row: &String| {
        let mut parts: Vec<&str> = row.split('|').collect();
        let version = parts.remove(5);
        assert!(version == "NULL" || version.len() == 64, "{row}");
        mesh.without_addresses(&parts.join("|"))
    };
    rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn decisions_are_explained_and_do_not_depend_on_hidden_rows() {
    within(300, async {
        let (a, b) =
            tokio::join!(GovernedMesh::start(HiddenRows::AsTheyAre), GovernedMesh::start(HiddenRows::Changed),);
        for user in [OWNER, ANALYST, STRANGER] {
            for sql in QUERIES {
                for at_gateway in [false, true] {
                    let rows = explained(&a, at_gateway, user, sql).await;
                    assert_eq!(rows, explained(&b, at_gateway, user, sql).await, "{user}: {sql}");
                    let text = rows.join("\n");
                    for secret in SECRETS {
                        assert!(!text.contains(secret), "{user}: {sql}\n{text}");
                    }
                }
            }
        }
        the_decisions_are_right(&a).await;
        a_refusal_has_its_own_text(&a).await;
    })
    .await;
}

async fn the_decisions_are_right(mesh: &GovernedMesh) {
    for (at_gateway, hr, shop) in [(false, "this node", "<shop>"), (true, "<hr>", "<shop>")] {
        let rows = async |user: &str, sql: &str| explained(mesh, at_gateway, user, sql).await;
        let starts = |row: &str, of: &str, decision: &str| {
            let found = row.starts_with(&format!("hr.samples.{of}|")) && row.contains(&format!("|{decision}"));
            assert!(found && row.split('|').nth(1).is_some_and(|owner| owner.ends_with(hr)), "{row}");
        };
        let people = rows(ANALYST, "SELECT id FROM hr.samples.people").await;
        starts(&people[0], "people", "rows|filtered|people.cedar:1|NULL");
        let subjects: Vec<&str> = people.iter().filter_map(|row| row.split('|').nth(2)).collect();
        let columns = ["rows", "id", "dept", "bucket", "salary", "ssn", "born", "note", "clearance", "rating"];
        assert_eq!(subjects, columns);
        starts(&people[4], "people", "salary|visible|NULL");
        starts(&people[5], "people", "ssn|masked by `show-last-4`|ssn of people|NULL");
        starts(&people[9], "people", "rating|hidden|rating of people|NULL");
        let all = rows(OWNER, "SELECT id FROM hr.samples.people").await;
        starts(&all[0], "people", "rows|all|owners|NULL");
        assert!(all[1..].iter().all(|row| row.contains("|visible|")), "{all:#?}");
        // A statement over two owners.
        let both = rows(ANALYST, QUERIES[2]).await;
        let open = both.last().unwrap();
        let is_open = open.starts_with("shop.samples.orders|") && open.ends_with("|rows|open|NULL|NULL");
        assert!(is_open && open.contains(shop), "{both:#?}");
    }
    // The purpose of the session decides.
    for node in [mesh.hr(), mesh.gateway()] {
        let client = login(node, ANALYST).await;
        let sql = "EXPLAIN (POLICY) SELECT count(*) FROM hr.samples.audited";
        let decision = async || observed(&client, sql).await.text();
        assert!(decision().await.contains("denied: `ann` may not read"), "{}", decision().await);
        client.query("SET portolan.purpose = 'audit'").await.unwrap();
        let text = decision().await;
        // The agreement ends at the end of the year 2999.
        assert!(text.contains("|rows|all|") && text.contains("|3000-01-01"), "{text}");
    }
}

async fn a_refusal_has_its_own_text(mesh: &GovernedMesh) {
    for at_gateway in [false, true] {
        let rows = explained(mesh, at_gateway, STRANGER, "SELECT id FROM hr.samples.people").await;
        let [row] = rows.as_slice() else { panic!("{rows:#?}") };
        let said = row.split_once("|denied: ").unwrap().1.strip_suffix("|NULL|NULL").unwrap();
        let client = login(if at_gateway { mesh.gateway() } else { mesh.hr() }, STRANGER).await;
        let error = failure(&client, "SELECT id FROM hr.samples.people").await;
        assert_says(&error, ErrorKind::PermissionDenied, &[said]);
    }
    let client = login(mesh.gateway(), STRANGER).await;
    let error = failure(&client, "EXPLAIN (POLICY, ANALYZE) SELECT 1").await;
    assert_says(&error, ErrorKind::InvalidQuery, &["leave out ANALYZE, VERBOSE and FORMAT"]);
}
