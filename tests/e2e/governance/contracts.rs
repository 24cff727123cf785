//! Contracts that change under their policies, and products that loosen a rule of the mesh: a rule stays bound, or the port
//! is closed.

use std::fs;
use std::path::Path;

use portolan_engine::ErrorKind;
use portolan_tests::governance::meshes::{
    ANALYST, OWNER, SOON, STRANGER, login, policies, start_owner, users, write_hr,
};
use portolan_tests::governance::people::{HiddenRows, PEOPLE, port};
use portolan_tests::mesh::{until, within};
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, count, failure};
use serde_json::{Value, json};

const COUNT: &str = "SELECT count(*) FROM hr.samples.people";

/// A change of the properties of a contract.
type Change = fn(&mut Vec<Value>);

/// Changes of the columns that the policies read or mask.
const CHANGES: &[(&str, Change)] = &[
    ("the column of the row filter has another name", |columns| rename(columns, "clearance")),
    ("the column of the row filter has another type", |columns| {
        of(columns, "clearance")["logicalType"] = json!("string");
    }),
    ("the column of the row filter is gone", |columns| columns.retain(|column| column["name"] != "clearance")),
    ("the masked column has another name", |columns| rename(columns, "ssn")),
    ("the masked column is gone", |columns| columns.retain(|column| column["name"] != "ssn")),
    ("the hidden column has another name", |columns| rename(columns, "rating")),
];

fn of<'a>(columns: &'a mut [Value], name: &str) -> &'a mut Value {
    columns.iter_mut().find(|column| column["name"] == name).expect("a column of the contract")
}

/// Gives a column the name `other`. It is the same column of the file.
fn rename(columns: &mut [Value], name: &str) {
    let column = of(columns, name);
    column["physicalName"] = json!(name);
    column["name"] = json!("other");
}

/// Changes the contract of the port `people`, and returns its text before.
fn change_contract(home: &Path, change: Change) -> String {
    let file = home.join("products/people.odcs.yaml");
    let before = fs::read_to_string(&file).unwrap();
    let mut contract: Value = serde_json::from_str(&before).unwrap();
    change(contract["schema"][0]["properties"].as_array_mut().expect("columns"));
    fs::write(&file, contract.to_string()).unwrap();
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_contract_that_does_not_fit_its_policies_closes_the_port() {
    within(600, async {
        for (what, change) in CHANGES {
            let folder = tempfile::tempdir().unwrap();
            write_hr(folder.path(), HiddenRows::AsTheyAre, &policies());
            change_contract(folder.path(), *change);
            let node = Node::start(folder.path(), json!({ "domain": "hr", "users": users(), "cpu_threads": 2 }));
            for user in [OWNER, ANALYST] {
                let client = login(&node, user).await;
                for sql in [COUNT, "SELECT max(other) FROM hr.samples.people", "SELECT id FROM hr.samples.people"] {
                    // A closed port may have no columns.
                    let error = failure(&client, sql).await;
                    let is_closed = matches!(error.kind(), ErrorKind::SiteUnavailable | ErrorKind::InvalidQuery);
                    assert!(is_closed || error.kind() == ErrorKind::NotFound, "{what}, {user}: {}", error.chain());
                }
                assert_says(&failure(&client, COUNT).await, ErrorKind::SiteUnavailable, &["hr.samples.people"]);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_changed_contract_opens_nothing_while_the_node_runs() {
    within(900, async {
        for (what, change) in CHANGES {
            let folder = tempfile::tempdir().unwrap();
            let node = start_owner(folder.path(), &policies());
            let (client, visible) = (login(&node, ANALYST).await, port("people").visible_rows());
            assert_eq!(count(&client, COUNT).await, Ok(visible), "{what}");
            let logged = node.log().len();
            let before = change_contract(folder.path(), *change);
            // The last good contract with its policies, or a closed port.
            let sees_no_more = async || {
                let seen = count(&client, COUNT).await;
                assert!(seen.is_err() || seen == Ok(visible), "{what}: {seen:?}");
                failure(&client, "SELECT max(other) FROM hr.samples.people").await;
                failure(&client, "SELECT max(rating) FROM hr.samples.people").await;
                let raw = count(&client, "SELECT count(*) FROM hr.samples.people WHERE ssn = '000-30-1000'").await;
                assert!(raw.is_err() || raw == Ok(0), "{what}: {raw:?}");
            };
            until(&format!("the node has seen the change ({what})"), SOON, async || {
                sees_no_more().await;
                let log = node.log();
                ["people.cedar", "people.odcs.yaml"].iter().any(|file| log[logged..].contains(file))
            })
            .await;
            sees_no_more().await;
            fs::write(folder.path().join("products/people.odcs.yaml"), before).unwrap();
            until("the port is as before", SOON, async || count(&client, COUNT).await == Ok(visible)).await;
        }
    })
    .await;
}

/// A product that permits everything, and masks a column less than the mesh does.
const OPEN: &str = r#"
permit(principal, action, resource);
@mask("show-last-4")
forbid(principal, action == Action::"read", resource == Column::"hr.samples.people.ssn");
"#;

/// Rules of the mesh about rows and columns.
const RULES: &str = r#"
forbid(principal in Group::"analysts", action == Action::"read", resource is hr::samples::people)
when { resource has bucket && resource.bucket >= 50 };
@mask("replace-with-null")
forbid(principal, action == Action::"read", resource == Column::"hr.samples.people.ssn")
unless { principal in Group::"owners" };
forbid(principal, action == Action::"read", resource == Column::"hr.samples.people.rating")
unless { principal in Group::"owners" };
"#;

/// Starts an owner whose product permits everything, with these policies of the mesh.
fn start_with_mesh(home: &Path, mesh: &str) -> Node {
    write_hr(home, HiddenRows::AsTheyAre, &[("open.cedar".to_owned(), OPEN.to_owned())]);
    let folder = home.join("mesh");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mesh.cedar"), mesh).unwrap();
    Node::start(home, json!({ "domain": "hr", "users": users(), "policies": folder, "cpu_threads": 2 }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_product_cannot_loosen_a_rule_of_the_mesh() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let node = start_with_mesh(folder.path(), RULES);
        // The buckets have the same number of people.
        for (user, rows, shown) in [(OWNER, PEOPLE, PEOPLE), (ANALYST, PEOPLE / 2, 0), (STRANGER, PEOPLE, 0)] {
            let client = login(&node, user).await;
            assert_eq!(count(&client, COUNT).await, Ok(rows), "{user}");
            assert_eq!(count(&client, "SELECT count(ssn) FROM hr.samples.people").await, Ok(shown), "{user}");
            let raw = "SELECT count(*) FROM hr.samples.people WHERE ssn LIKE '0%'";
            assert_eq!(count(&client, raw).await, Ok(0), "{user}: the mask of the product holds for everybody");
            let rating = count(&client, "SELECT count(*) FROM hr.samples.people WHERE rating >= 0").await;
            match user {
                OWNER => assert_eq!(rating, Ok(PEOPLE)),
                _ => assert!(rating.is_err(), "{user}: {rating:?}"),
            }
        }
        let analyst = login(&node, ANALYST).await;
        let high = "SELECT count(*) FROM hr.samples.people WHERE bucket >= 50";
        assert_eq!(count(&analyst, high).await, Ok(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_permit_of_the_mesh_denies_by_default() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let node = start_with_mesh(folder.path(), "permit(principal in Group::\"owners\", action, resource);");
        assert_eq!(count(&login(&node, OWNER).await, COUNT).await, Ok(PEOPLE));
        for user in [ANALYST, STRANGER] {
            let error = failure(&login(&node, user).await, COUNT).await;
            assert_says(&error, ErrorKind::PermissionDenied, &[user, "hr.samples.people"]);
        }
    })
    .await;
}
