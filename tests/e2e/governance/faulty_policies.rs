//! Policies that cannot be applied, and sources that fail: a port is closed to everybody rather than open, and no error
//! shows a policy, a path or a value.

use std::fs;

use portolan_engine::ErrorKind;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, OWNER, SOON, login, policies, start_owner};
use portolan_tests::governance::people::{HiddenRows, PEOPLE};
use portolan_tests::mesh::{until, within};
use portolan_tests::rows::{assert_says, count, failure};

const COUNT: &str = "SELECT count(*) FROM hr.samples.people";

/// Policies that no node can apply: the name of the fault, and the text.
const FAULTY: &[(&str, &str)] = &[
    ("syntax", "permit("),
    ("unknown column", "permit(principal, action, resource is hr::samples::people) when { resource.nothing == 1 };"),
    ("unknown port", "permit(principal, action, resource is hr::samples::peeple);"),
    (
        "mask of another type",
        "@mask(\"show-last-4\") forbid(principal, action == Action::\"read\", \
         resource == Column::\"hr.samples.people.salary\");",
    ),
    (
        "column without a test for NULL",
        "permit(principal, action, resource is hr::samples::people) when { resource.bucket < 5 };",
    ),
    ("unknown mask", "@mask(\"half\") forbid(principal, action, resource == Column::\"hr.samples.people.ssn\");"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faulty_policies_close_the_ports() {
    within(600, async {
        for (fault, text) in FAULTY {
            let folder = tempfile::tempdir().unwrap();
            let all: Vec<_> = policies().into_iter().chain([("faulty.cedar".to_owned(), (*text).to_owned())]).collect();
            let node = start_owner(folder.path(), &all);
            for user in [OWNER, ANALYST] {
                let error = failure(&login(&node, user).await, COUNT).await;
                assert_says(&error, ErrorKind::SiteUnavailable, &["hr.samples.people"]);
                assert!(!error.chain().contains("clearance"), "{fault}: {}", error.chain());
            }
            assert!(node.log().contains("faulty.cedar"), "{fault}: {}", node.log());
            // Without the fault, the ports are open.
            fs::remove_file(folder.path().join("products/policies/faulty.cedar")).unwrap();
            let client = login(&node, OWNER).await;
            let is_open = async || count(&client, COUNT).await == Ok(PEOPLE);
            until(&format!("the port is open ({fault})"), SOON, is_open).await;
        }
    })
    .await;
}

/// Access can be revoked while the descriptors of another product have faults. Policies of a product whose own
/// descriptors have changed wait for these.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn access_is_revoked_while_descriptors_have_faults() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let node = start_owner(folder.path(), &policies());
        let client = login(&node, ANALYST).await;
        assert!(count(&client, COUNT).await.is_ok());
        let products = folder.path().join("products");
        let broken = products.join("broken.odps.yaml");
        fs::write(&broken, "kind: [").unwrap();
        until("the fault is in the log", SOON, async || node.log().contains("descriptors were not reloaded")).await;
        let revoked = products.join("policies/revoked.cedar");
        let forbid =
            "forbid(principal in Group::\"analysts\", action == Action::\"read\", resource is hr::samples::people);";
        fs::write(&revoked, forbid).unwrap();
        until("the access is revoked", SOON, async || count(&client, COUNT).await.is_err()).await;
        assert_says(&failure(&client, COUNT).await, ErrorKind::PermissionDenied, &["hr.samples.people"]);
        assert!(count(&login(&node, OWNER).await, COUNT).await.is_ok());

        let descriptor = products.join("samples.odps.yaml");
        let text = fs::read_to_string(&descriptor).unwrap();
        fs::write(&descriptor, format!("{text}\n# changed\n")).unwrap();
        fs::remove_file(&revoked).unwrap();
        let waits = "the policies of the product `samples` were not reloaded";
        until("the policies wait", SOON, async || node.log().contains(waits)).await;
        assert_says(&failure(&client, COUNT).await, ErrorKind::PermissionDenied, &["hr.samples.people"]);
        fs::remove_file(&broken).unwrap();
        until("the policies apply", SOON, async || count(&client, COUNT).await.is_ok()).await;
    })
    .await;
}

const FAULTY_FILTERS: &[&str] = &[
    "1 / salary > 171717",
    "nothing = 171717",
    "CAST(note AS INT) > 171717",
    "random() > 0.171717",
    "id IN (SELECT 171717)",
    "salary",
];

/// A row filter that can fail for a row, or that reads something else than the port's columns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faulty_row_filters_show_no_part_of_the_policy() {
    within(600, async {
        for filter in FAULTY_FILTERS.iter().copied() {
            let folder = tempfile::tempdir().unwrap();
            let text = format!(
                "@row_filter(\"{filter}\")\nforbid(principal, action == Action::\"read\", resource is hr::samples::people);"
            );
            let all: Vec<_> = policies().into_iter().chain([("filter.cedar".to_owned(), text)]).collect();
            let node = start_owner(folder.path(), &all);
            let error = failure(&login(&node, ANALYST).await, COUNT).await;
            let said = error.chain();
            assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{filter}: {said}");
            assert!(said.contains("hr.samples.people"), "{filter}: {said}");
            for secret in [filter, "salary", "nothing", "171717", "random", "filter.cedar"] {
                assert!(!said.contains(secret), "`{secret}` of the policy shows in: {said}");
            }
        }
    })
    .await;
}

/// An error of the source names neither the file nor a value in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn errors_of_the_source_show_no_path() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let file = mesh.data().join("people.parquet");
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        // The footer stays whole, and the pages do not.
        let pages = damaged.len() * 3 / 4;
        damaged[4..pages].fill(0x5a);
        for damage in [None, Some(damaged)] {
            match damage {
                None => fs::remove_file(&file).unwrap(),
                Some(bytes) => fs::write(&file, bytes).unwrap(),
            }
            for path in mesh.paths(ANALYST).await {
                let error =
                    failure(&path.client, "SELECT max(note), sum(salary), max(ssn) FROM hr.samples.people").await;
                let said = error.chain();
                let is_of_source = matches!(error.kind(), ErrorKind::SiteUnavailable | ErrorKind::InvalidData);
                assert!(is_of_source, "{}: {:?}: {said}", path.name, error.kind());
                let folder = mesh.data().display().to_string();
                for secret in [folder.as_str(), "people.parquet", "Parquet", "parquet", "clearance"] {
                    assert!(!said.contains(secret), "{}: `{secret}` shows in {said}", path.name);
                }
            }
        }
    })
    .await;
}
