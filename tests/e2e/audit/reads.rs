//! Reads and inserts: at the owner with and without policies, and through a gateway.

use std::collections::BTreeSet;

use portolan_audit::{Account, Action, PortRead, Verdict};
use portolan_tests::governance::meshes::{ADMIN, ANALYST, GovernedMesh, OWNER, STRANGER, login, policies, start_owner};
use portolan_tests::governance::outcomes::FlightSession;
use portolan_tests::governance::people::{HiddenRows, port};
use portolan_tests::mesh::within;
use portolan_tests::node::Node;
use portolan_tests::rows::{count, drain, failure};
use serde_json::json;

use super::{EVENTS, accounts, end, is_completed, records, write_lab};

fn read(port: &str, columns: &[&str]) -> Vec<PortRead> {
    vec![PortRead { port: port.to_owned(), columns: columns.iter().map(|column| (*column).to_owned()).collect() }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_records_who_read_what_by_which_rules() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let node = start_owner(folder.path(), &policies());
        let ann = login(&node, ANALYST).await;
        ann.query("SET portolan.purpose = 'audit'").await.unwrap();
        let rows = drain(&ann, "SELECT id FROM hr.samples.people WHERE bucket < 50").await.unwrap() as u64;
        let mut session = FlightSession::login(&node, OWNER, &[]).await;
        session.prepared("SELECT note FROM hr.samples.people").await;
        session.update("CREATE TABLE kept AS SELECT dept FROM hr.samples.people").await.unwrap();

        let found = accounts(&node, |all| all.iter().filter(|account| is_completed(account)).count() >= 4).await;
        let of = |name: &str| -> Vec<&Account> {
            found.iter().filter(|account| is_completed(account) && account.request.principal == name).collect()
        };
        let of_ann = of(ANALYST);
        assert_eq!(of_ann.len(), 1, "{found:?}");
        let request = &of_ann[0].request;
        // The policy also reads `clearance`, which ann does not see.
        assert_eq!(request.ports, read("hr.samples.people", &["bucket", "id"]));
        assert_eq!((request.action, request.purpose.as_deref()), (Action::Read, Some("audit")));
        assert_eq!((&request.fragment, request.via.len()), (&None, 0));
        assert_eq!(request.decision.verdict, Verdict::Permit);
        assert!(!request.decision.version.is_empty() && !request.decision.rules.is_empty(), "{request:?}");
        let end = end(of_ann[0]).unwrap();
        assert!(rows > 0 && end.rows == rows && end.bytes >= 8 * rows, "{end:?}, {rows} rows");
        // The statement was prepared once and run twice.
        let ports: Vec<_> = of(OWNER).iter().map(|account| account.request.ports.clone()).collect();
        let (notes, depts) = (read("hr.samples.people", &["note"]), read("hr.samples.people", &["dept"]));
        assert_eq!(ports, [notes.clone(), notes, depts]);

        // A principal sees its own reads, and an administrator sees all.
        let others = format!("SELECT count(*) FROM mesh.audit WHERE principal <> '{ANALYST}' OR sequence IS NOT NULL");
        assert_eq!(count(&ann, &others).await, Ok(0));
        assert_eq!(count(&ann, "SELECT count(*) FROM mesh.audit WHERE outcome = 'completed'").await, Ok(1));
        let root = login(&node, ADMIN).await;
        let all = "SELECT count(*) FROM mesh.audit WHERE outcome = 'completed' AND cardinality(rules) > 0";
        assert_eq!(count(&root, all).await, Ok(4));
        portolan_audit::verify(&records(&node), None).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_without_policies_derived_ports_and_inserts_are_recorded() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        write_lab(folder.path(), 10);
        let node = Node::start(folder.path(), json!({ "domain": "lab", "sources": { "files": { "writers": ["*"] } } }));
        let client = node.client().await;
        for sql in ["SELECT * FROM mesh.ports", "EXPLAIN SELECT id FROM lab.samples.events", "SELECT 1"] {
            client.query(sql).await.unwrap();
        }
        assert_eq!(drain(&client, "SELECT id FROM lab.samples.events").await.unwrap(), 10);
        assert_eq!(drain(&client, "SELECT number FROM lab.samples.kinds WHERE number < 4").await.unwrap(), 4);
        let insert = "INSERT INTO lab.samples.events VALUES (10, 'a'), (11, NULL)";
        assert_eq!(client.prepare(insert).await.unwrap().changed(), Some(2));

        let found = accounts(&node, |all| all.iter().filter(|account| is_completed(account)).count() >= 3).await;
        let found: Vec<_> = found.iter().filter(|account| is_completed(account)).collect();
        let said = found.iter().map(|account| (account.request.action, account.request.ports.clone()));
        let expected = [
            (Action::Read, read(EVENTS, &["id"])),
            // Only the query of a derived port is left in the plan.
            (Action::Read, read("lab.samples.kinds", &["kind", "number"])),
            (Action::Insert, read(EVENTS, &["id", "kind"])),
        ];
        assert_eq!(said.collect::<Vec<_>>(), expected);
        let rows: Vec<u64> = found.iter().map(|account| end(account).unwrap().rows).collect();
        assert_eq!(rows, [10, 4, 2]);
        assert!(
            found.iter().all(|account| account.request.decision.version.is_empty()),
            "no policy decided: {found:?}"
        );
    })
    .await;
}

/// True if the record is one of a fragment of this principal's query.
fn is_fragment_of(account: &Account, principal: &str) -> bool {
    account.request.principal == principal && account.request.fragment.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn owners_record_the_fragments_of_a_gateway_and_of_one_another() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let join = "SELECT count(*) FROM hr.samples.people JOIN shop.samples.orders ON person = id";
        let visible = "SELECT count(*) FROM (SELECT DISTINCT id FROM hr.samples.people)";
        for strategy in ["keys_from_left", "keys_from_right", "delegate_to_left", "delegate_to_right"] {
            let ann = login(mesh.gateway(), ANALYST).await;
            for setting in [format!("strategy = {strategy}"), "key_form = batch".to_owned()] {
                ann.query(&format!("SET portolan.{setting}")).await.unwrap();
            }
            assert!(count(&ann, join).await.unwrap() > 0, "{strategy}");
        }
        let ann = login(mesh.gateway(), ANALYST).await;
        assert_eq!(count(&ann, visible).await, Ok(port("people").visible_rows()));
        failure(&login(mesh.gateway(), STRANGER).await, "SELECT id FROM hr.samples.people").await;

        let is_refused = |account: &Account| account.request.principal == STRANGER;
        let enough = |all: &[Account]| all.iter().filter(|account| is_fragment_of(account, ANALYST)).count() >= 4;
        let hr = accounts(mesh.hr(), |all| enough(all) && all.iter().any(is_refused)).await;
        let shop = accounts(mesh.shop(), enough).await;
        for account in hr.iter().chain(&shop).filter(|account| is_fragment_of(account, ANALYST)) {
            assert_eq!(account.request.via.first().map(String::as_str), Some("gateway"), "{account:?}");
            assert_eq!(account.request.decision.verdict, Verdict::Permit, "{account:?}");
        }
        // One query has the same id at both owners.
        let ids = |all: &[Account]| -> BTreeSet<String> {
            all.iter().filter(|account| is_fragment_of(account, ANALYST)).map(|a| a.request.query.clone()).collect()
        };
        assert!(ids(&hr).intersection(&ids(&shop)).count() >= 2, "{hr:?}\n{shop:?}");
        let all = || hr.iter().chain(&shop).filter(|account| is_fragment_of(account, ANALYST));
        assert!(all().any(|account| account.request.via.len() == 2), "an owner fetches from the other one");
        let keys: Vec<_> = all().flat_map(|account| &account.request.keys).collect();
        assert!(!keys.is_empty() && keys.iter().all(|keys| keys.digest.len() == 16), "{hr:#?}\n{shop:#?}");
        assert!(keys.iter().all(|keys| ["id", "person"].contains(&keys.column.as_str())), "{keys:?}");
        // The stranger's fragment was refused at the owner, with the way that it took.
        let refused = hr.iter().find(|account| is_refused(account)).unwrap();
        assert_eq!((refused.request.decision.verdict, refused.request.via.len()), (Verdict::Deny, 1), "{refused:?}");
        assert!(!records(mesh.gateway()).exists(), "a gateway reads no ports of its own");
    })
    .await;
}
