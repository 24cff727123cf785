//! Fragments that are sent again or changed, and trusted nodes that claim more than they may: the owner of a governed port
//! refuses each of them, and tells nothing of the port.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::StreamExt;
use portolan_connectors::node::protocol::FragmentTicket;
use portolan_connectors::node::{NodeCredentials, NodeIdentity, NodeKey, NodeOptions, NodeSite};
use portolan_connectors::{FragmentRequest, Site};
use portolan_engine::{Error, ErrorKind, Principal};
use portolan_tests::governance::forger::Forger;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, OWNER, PASSWORD, policies, write_hr};
use portolan_tests::governance::people::{HiddenRows, PEOPLE, port};
use portolan_tests::mesh::within;
use portolan_tests::node::Node;
use portolan_tests::rows::assert_says;
use serde_json::{Value, json};
use tonic::{Code, Status};

const COUNT: &str = "SELECT count(*) FROM hr.samples.people";

fn analyst() -> Principal {
    Principal::new(ANALYST).with_groups(["analysts"])
}

fn key_of_gateway(mesh: &GovernedMesh) -> PathBuf {
    mesh.data().parent().unwrap().join("gateway.pem")
}

/// Asserts that the owner refused a ticket, and that the refusal has no part of a policy or of a value.
fn assert_refused(what: &str, outcome: Result<usize, Status>, says: &str) {
    let status = outcome.expect_err(what);
    assert_eq!(status.code(), Code::PermissionDenied, "{what}: {status}");
    assert!(status.message().contains(says), "{what}: expected `{says}`, got {status}");
    for secret in ["clearance", "nnn-nn", "of person", "analysts-"] {
        assert!(!status.message().contains(secret), "{what}: `{secret}` shows in {status}");
    }
}

/// Returns a token with other claims, under the signature of the first ones.
fn with_claims(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let [header, claims, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().expect("a JWT");
    let mut value: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    change(&mut value);
    format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(value.to_string()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_signed_fragment_is_good_for_one_run() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let forger = Forger::start(mesh.hr(), "gateway", &key_of_gateway(&mesh)).await;
        let of_ann = "SELECT id, ssn FROM hr.samples.people WHERE id < 100";
        let fragment = forger.fragment(&analyst(), &[of_ann]).await;
        let ticket = forger.ticket(&fragment);
        assert!(forger.send(ticket.clone()).await.is_ok(), "the fragment itself is right");
        assert_refused("sent again", forger.send(ticket).await, "was used before");

        let elsewhere = forger.ticket_for(&fragment, mesh.shop().url());
        assert_refused("for another node", forger.send(elsewhere).await, "is meant for");
        // The other node refuses the ticket of this one.
        let at_shop = Forger::start(mesh.shop(), "gateway", &key_of_gateway(&mesh)).await;
        assert_refused("at another node", at_shop.send(forger.ticket(&fragment)).await, "is meant for");

        let other = forger.fragment(&analyst(), &["SELECT id, salary, note FROM hr.samples.people"]).await;
        let plan_of = |fragment: &FragmentRequest| fragment.plan.encoded().unwrap().plan.clone();
        let right = || forger.ticket(&fragment);
        for (what, changed) in [
            ("another plan", FragmentTicket { plan: plan_of(&other), ..right() }),
            ("keys added", FragmentTicket { keys: vec![b"keys"[..].into()], ..right() }),
            ("another query", FragmentTicket { query_id: "another".to_owned(), ..right() }),
            ("another way", FragmentTicket { hops: 3, ..right() }),
        ] {
            assert_refused(what, forger.send(changed).await, "belongs to another fragment");
        }

        type Change = fn(&mut Value);
        let claims: [(&str, Change); 4] = [
            ("another principal", |claims| claims["sub"] = json!(OWNER)),
            ("groups added", |claims| claims["groups"] = json!(["analysts", "owners"])),
            ("a purpose added", |claims| claims["purpose"] = json!("audit")),
            ("attributes added", |claims| claims["attributes"] = json!({ "region": ["eu"] })),
        ];
        for (what, change) in claims {
            let ticket = forger.ticket(&fragment);
            let token = with_claims(ticket.identity.as_deref().unwrap(), change);
            let forged = FragmentTicket { identity: Some(token), ..ticket };
            assert_refused(what, forger.send(forged).await, "is not signed with its key");
        }
        let unsigned = FragmentTicket { identity: None, ..forger.ticket(&fragment) };
        assert_refused("without a signature", forger.send(unsigned).await, "has no signed principal");
        // The owner still answers the right fragment.
        assert!(forger.send(forger.ticket(&fragment)).await.is_ok());
    })
    .await;
}

/// A keyed fragment: the keys that a gateway sends are part of what it signs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_cannot_be_changed_on_the_way() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let forger = Forger::start(mesh.hr(), "gateway", &key_of_gateway(&mesh)).await;
        let mut keyed = vec![];
        for keys in ["SELECT 1000 AS k UNION ALL SELECT 1003", "SELECT 1001 AS k UNION ALL SELECT 1005"] {
            let table = format!("CREATE TABLE wanted AS {keys}");
            let join = "SELECT id, salary FROM wanted JOIN hr.samples.people ON id = k";
            let statements =
                ["SET portolan.strategy = keys_from_left", "SET portolan.key_form = batch", table.as_str(), join];
            let fragment = forger.fragment(&analyst(), &statements).await;
            assert!(!fragment.plan.encoded().unwrap().keys.is_empty(), "the gateway sends keys");
            keyed.push(fragment);
        }
        let [one, other] = [&keyed[0], &keyed[1]];
        assert!(forger.send(forger.ticket(one)).await.is_ok());
        let keys = other.plan.encoded().unwrap().keys.clone();
        let changed = FragmentTicket { keys, ..forger.ticket(one) };
        assert_refused("keys of another fragment", forger.send(changed).await, "belongs to another fragment");
        let dropped = FragmentTicket { keys: vec![], ..forger.ticket(one) };
        assert_refused("without its keys", forger.send(dropped).await, "belongs to another fragment");
    })
    .await;
}

/// Starts an owner that trusts a node for the analyst and the group `analysts` only, and returns the key of that node.
fn limited_owner(folder: &Path) -> (Node, PathBuf) {
    let (home, file) = (folder.join("hr"), folder.join("evil.pem"));
    let pem = NodeKey::generate().unwrap();
    std::fs::write(&file, &pem).unwrap();
    let key = NodeKey::from_pem(pem.as_bytes()).unwrap().public().to_pem();
    write_hr(&home, HiddenRows::AsTheyAre, &policies());
    let evil = json!({ "name": "evil", "key": key, "may_act_for": [ANALYST], "groups": ["analysts"] });
    (Node::start(&home, json!({ "domain": "hr", "trusted_nodes": [evil] })), file)
}

fn assert_denied(what: &str, outcome: Result<Vec<String>, Error>, says: &[&str]) {
    match outcome {
        Ok(rows) => panic!("{what}: {} rows", rows.len()),
        Err(error) => assert_says(&error, ErrorKind::PermissionDenied, says),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_trusted_node_claims_no_more_than_it_may() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let (owner, key) = limited_owner(folder.path());
        let forger = Forger::start(&owner, "evil", &key).await;
        let visible = port("people").visible_rows().to_string();
        assert_eq!(forger.rows(&analyst(), &[COUNT]).await.unwrap(), [visible]);
        let named = |name: &str, groups: &[&str]| Principal::new(name).with_groups(groups.iter().copied());
        for (what, principal, says) in [
            ("a group", named(ANALYST, &["analysts", "owners"]), "is in the group `owners`"),
            ("only that group", named(ANALYST, &["owners"]), "is in the group `owners`"),
            ("another principal", named(OWNER, &["analysts"]), "may not act for `olga`"),
            ("itself", named("node:evil", &["analysts"]), "may not act for `node:evil`"),
            ("an attribute", analyst().with_attribute("region", ["eu"]), "may not claim attributes"),
        ] {
            assert_denied(what, forger.rows(&principal, &[COUNT]).await, &["`evil`", says]);
        }
        // It may claim less: the policies then permit nothing.
        for principal in [named(ANALYST, &[]), named(ANALYST, &[]).with_admin(true)] {
            assert_denied("no group", forger.rows(&principal, &[COUNT]).await, &[ANALYST, "hr.samples.people"]);
        }
    })
    .await;
}

/// The purpose that a node signs counts, and no more than the agreement permits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_purpose_opens_only_what_its_agreement_does() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let forger = Forger::start(mesh.hr(), "gateway", &key_of_gateway(&mesh)).await;
        let audited = "SELECT count(*) FROM hr.samples.audited";
        let count = async |purpose: &str, sql: &str| {
            let set = format!("SET portolan.purpose = '{purpose}'");
            forger.rows(&analyst(), &[set.as_str(), sql]).await
        };
        assert_eq!(count("audit", audited).await.unwrap(), [PEOPLE.to_string()]);
        for (purpose, sql) in [
            ("marketing", audited),
            ("audit", "SELECT count(*) FROM hr.samples.expired"),
            ("audit", "SELECT max(rating) FROM hr.samples.audited"),
        ] {
            assert_denied(purpose, count(purpose, sql).await, &[]);
        }
        let hidden = count("audit", COUNT).await.unwrap();
        assert_eq!(hidden, [port("people").visible_rows().to_string()], "the purpose adds no rows of another port");
    })
    .await;
}

/// A client that logs in with a password is no node: it sends no fragments, signed or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_sends_no_fragments() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let forger = Forger::start(mesh.hr(), "gateway", &key_of_gateway(&mesh)).await;
        let fragment = forger.fragment(&analyst(), &[COUNT]).await;
        let key = NodeKey::from_pem(&std::fs::read(key_of_gateway(&mesh)).unwrap()).unwrap();
        let gateway = Arc::new(NodeIdentity::new("gateway", key).unwrap());
        for identity in [None, Some(gateway)] {
            let credentials = NodeCredentials { user: ANALYST.to_owned(), password: PASSWORD.to_owned() };
            let options = NodeOptions { credentials: Some(credentials), identity, ..NodeOptions::default() };
            let site = NodeSite::new(mesh.hr().url(), options).unwrap();
            let error = match site.execute(fragment.clone()).await {
                Ok(mut items) => items.next().await.expect("an answer").expect_err("a client"),
                Err(error) => error,
            };
            assert_says(&error, ErrorKind::PermissionDenied, &["is not a user with `node: true`"]);
        }
    })
    .await;
}
