//! Purposes and attributes: an agreement permits one purpose for a time, and a principal without a purpose, a group or an
//! attribute that a policy reads gets nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use portolan_engine::{ErrorKind, Principal};
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, STRANGER};
use portolan_tests::governance::outcomes::Outcome;
use portolan_tests::governance::owners::{LocalMesh, domain};
use portolan_tests::governance::people::{HiddenRows, PEOPLE};
use portolan_tests::mesh::within;
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::ways::table;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agreement_permits_one_purpose_for_a_time() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        for path in mesh.paths(ANALYST).await {
            let audited = "SELECT count(*) FROM hr.samples.audited";
            let expired = "SELECT count(*) FROM hr.samples.expired";
            let refused = async |sql: &str| {
                let error = failure(&path.client, sql).await;
                assert_says(&error, ErrorKind::PermissionDenied, &[ANALYST, sql.rsplit('.').next().unwrap()]);
                let said = error.chain();
                assert!(!said.contains(".yaml") && !said.contains("2021"), "{}: {said}", path.name);
            };
            refused(audited).await;
            for (purpose, is_permitted) in [("marketing", false), ("audit", true), ("Audit", false), ("", false)] {
                path.client.query(&format!("SET portolan.purpose = '{purpose}'")).await.unwrap();
                match is_permitted {
                    true => {
                        assert_eq!(count(&path.client, audited).await, Ok(PEOPLE), "{}", path.name);
                        // An agreement gives rows. The rules of columns hold for them, too.
                        let row = "SELECT ssn, born FROM hr.samples.audited WHERE id = 1003";
                        let row = text(&path.client, row).await;
                        assert!(row.contains("nnn-nn-1003") && row.contains("-01-01"), "{}: {row}", path.name);
                    }
                    false => refused(audited).await,
                }
                refused(expired).await;
            }
        }
        for path in mesh.paths(STRANGER).await {
            path.client.query("SET portolan.purpose = 'audit'").await.unwrap();
            let error = failure(&path.client, "SELECT count(*) FROM hr.samples.audited").await;
            assert_says(&error, ErrorKind::PermissionDenied, &[STRANGER]);
        }
    })
    .await;
}

/// Policies that read attributes, one by equality and one by inequality.
const BY_ATTRIBUTE: &str = r#"
permit(principal, action == Action::"read", resource is hr::samples::people)
when { principal.hasTag("region") && resource has region && principal.getTag("region").contains(resource.region) };
"#;
const BY_INEQUALITY: &str = r#"
permit(principal, action == Action::"read", resource is hr::samples::people);
forbid(principal, action == Action::"read", resource is hr::samples::people)
unless { principal.hasTag("region") && resource has region && !principal.getTag("region").contains(resource.region) };
"#;

fn regions() -> RecordBatch {
    let regions = [Some("north"), Some("south"), None, Some(""), Some("north")];
    table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..5)) as ArrayRef),
        ("region", Arc::new(StringArray::from(regions.to_vec()))),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_without_an_attribute_gets_nothing() {
    let of = |policies: &str| domain("hr", &[("people", vec![regions()])], policies);
    let shop = domain("shop", &[("orders", vec![regions()])], "");
    let mesh = LocalMesh::start(of(BY_ATTRIBUTE), shop, 2).await;
    let ids = "SELECT id FROM hr.samples.people";
    let with = |values: &[&str]| Principal::new("ann").with_attribute("region", values.to_vec());
    let none: &[&str] = &[];
    for (policies, expected) in [
        (BY_ATTRIBUTE, [(Some(&["north"] as &[&str]), vec![0, 4]), (Some(none), vec![]), (None, vec![])]),
        (BY_INEQUALITY, [(Some(&["north"] as &[&str]), vec![1, 3]), (Some(none), vec![0, 1, 3, 4]), (None, vec![])]),
    ] {
        mesh.replace(of(policies)).await;
        for (attribute, ids_expected) in expected {
            let principal = attribute.map_or_else(|| Principal::new("ann"), with);
            for at_owner in [true, false] {
                let outcome = mesh.observed(at_owner, &principal, &[], ids).await;
                let rows: Vec<String> = ids_expected.iter().map(ToString::to_string).collect();
                match (&outcome, rows.is_empty()) {
                    // No row, or no access: both are right for a principal who gets nothing.
                    (Outcome::Failed(ErrorKind::PermissionDenied, _), true) => {}
                    (Outcome::Rows(_, found), _) => assert_eq!(*found, rows, "{attribute:?}\n{policies}"),
                    (Outcome::Failed(..), _) => panic!("{attribute:?}: {}\n{policies}", outcome.text()),
                }
            }
        }
    }
}
