//! Refusals: principals without a permit, hidden columns, inserts, and fragments that are forged or sent again.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::Schema;
use arrow_flight::Ticket;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use portolan_audit::{Account, Action, Fate, Verdict};
use portolan_connectors::node::protocol::FragmentTicket;
use portolan_connectors::node::{NodeIdentity, NodeKey};
use portolan_connectors::{EncodedPlan, FragmentHead, FragmentPlan, FragmentRequest, Principal};
use portolan_engine::ErrorKind;
use portolan_flight_server::hash_password;
use portolan_tests::governance::meshes::{ANALYST, OWNER, PASSWORD, STRANGER, login, policies, start_owner};
use portolan_tests::mesh::within;
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, count, failure};
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use super::{SOON, accounts, write_lab};

/// Returns the reason and the text, if the record is one of a refusal.
fn refusal(account: &Account) -> Option<(&str, &str)> {
    match &account.fate {
        Fate::Refused { reason, detail } => Some((reason, detail)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_ports_hidden_columns_and_inserts_are_recorded() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let node = start_owner(folder.path(), &policies());
        let eve = login(&node, STRANGER).await;
        let insert = "INSERT INTO hr.samples.people SELECT * FROM hr.samples.people WHERE id < 0";
        for (user, sql) in [
            (STRANGER, "SELECT id FROM hr.samples.people"),
            (ANALYST, "SELECT id, rating FROM hr.samples.people"),
            (OWNER, insert),
        ] {
            let error = failure(&login(&node, user).await, sql).await;
            assert_says(&error, ErrorKind::PermissionDenied, &["hr.samples.people"]);
        }
        let of = |all: &[Account], user: &str| -> Option<Account> {
            all.iter().find(|account| refusal(account).is_some() && account.request.principal == user).cloned()
        };
        let all = accounts(&node, |all| [STRANGER, ANALYST, OWNER].iter().all(|user| of(all, user).is_some())).await;
        for (user, action, columns) in [
            (STRANGER, Action::Read, &[] as &[&str]),
            (ANALYST, Action::Read, &["id", "rating"]),
            (OWNER, Action::Insert, &["clearance"]),
        ] {
            let account = of(&all, user).unwrap();
            let (reason, detail) = refusal(&account).unwrap();
            assert_eq!((reason, account.request.action), ("permission_denied", action), "{account:?}");
            assert!(detail.contains("hr.samples.people"), "{detail}");
            assert_eq!(account.request.decision.verdict, Verdict::Deny);
            let [read] = &account.request.ports[..] else { panic!("{account:?}") };
            assert_eq!(read.port, "hr.samples.people");
            assert_eq!(read.columns.is_empty(), columns.is_empty(), "{account:?}");
            assert!(columns.iter().all(|column| read.columns.iter().any(|read| read == column)), "{account:?}");
        }
        let own = "SELECT count(*) > 0 FROM mesh.audit WHERE outcome = 'refused' AND error IS NOT NULL";
        let others =
            format!("SELECT count(*) FROM mesh.audit WHERE principal <> '{STRANGER}' OR cardinality(rules) > 0");
        let (_, batches) = eve.query(own).await.unwrap();
        assert_eq!(portolan_tests::ways::lines(&batches), ["true"]);
        assert_eq!(count(&eve, &others).await, Ok(0));
    })
    .await;
}

/// Sends a fragment whose plan is no plan, and returns the error.
async fn send(
    client: &mut FlightSqlServiceClient<Channel>,
    request: &FragmentRequest,
    identity: Option<String>,
) -> String {
    let ticket = Ticket { ticket: FragmentTicket::bytes(request, identity).unwrap() };
    match client.do_get(ticket).await {
        Ok(mut rows) => rows.try_next().await.expect_err("the plan is no plan").to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_repeated_fragments_are_recorded() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        write_lab(folder.path(), 10);
        let key = || NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
        let (own, other) = (key(), key());
        let trusted = json!({ "name": "gateway", "key": own.public().to_pem() });
        let mesh = json!({ "name": "mesh", "password_hash": hash_password(PASSWORD).unwrap(), "node": true });
        let config = json!({ "domain": "lab", "users": [mesh], "trusted_nodes": [trusted] });
        let node = Node::start(folder.path(), config);
        let (own, other) = (NodeIdentity::new("gateway", own).unwrap(), NodeIdentity::new("gateway", other).unwrap());
        let address = node.url().replace("grpc://", "http://");
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        client.handshake("mesh", PASSWORD).await.unwrap();
        let request = |query: &str| FragmentRequest {
            head: FragmentHead::new(query, Principal::new("ann"), Instant::now() + SOON).sent_on(),
            plan: FragmentPlan::Encoded(EncodedPlan { plan: b"plan"[..].into(), keys: vec![] }),
            schema: Arc::new(Schema::empty()),
        };
        let (first, second) = (request("first"), request("second"));
        let signed = |identity: &NodeIdentity| Some(identity.identity(node.url(), &first).unwrap());
        let token = signed(&own);
        for (request, identity, said) in [
            (&first, None, "has no signed principal"),
            (&first, signed(&other), "is not signed with its key"),
            // The node believes this one, but cannot decode the plan.
            (&first, token.clone(), ""),
            (&first, token, "was used before"),
            (&second, signed(&own), "belongs to another fragment"),
        ] {
            let error = send(&mut client, request, identity).await;
            assert!(error.contains(said), "{said}: {error}");
        }
        let all = accounts(&node, |all| all.len() >= 5).await;
        let said: Vec<_> = all.iter().map(|a| (a.request.principal.as_str(), a.request.query.as_str())).collect();
        // Nothing of a fragment is believed before its signature is.
        assert_eq!(
            said,
            [("mesh", "first"), ("mesh", "first"), ("ann", "first"), ("mesh", "first"), ("mesh", "second")]
        );
        let reasons: Vec<_> = all.iter().map(|account| refusal(account).unwrap().0).collect();
        let denied = "permission_denied";
        assert_eq!(reasons, [denied, denied, "invalid_query", denied, denied]);
        assert!(refusal(&all[3]).unwrap().1.contains("was used before"), "{all:?}");
    })
    .await;
}
