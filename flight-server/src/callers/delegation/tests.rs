//! Tests of signed fragments and of nodes' logins: what is accepted, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::Schema;
use portolan_connectors::node::protocol::NodeHello;
use portolan_connectors::node::{NodeIdentity, NodeKey};
use portolan_connectors::{EncodedPlan, FragmentHead, FragmentPlan, FragmentRequest};

use super::*;
use crate::dispatch::{Request, ticket};

const HERE: &str = "grpc://owner:1";

fn node(name: &str) -> (NodeIdentity, TrustedNode) {
    let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
    let trusted = TrustedNode {
        name: name.to_owned(),
        key: key.public().clone(),
        may_act_for: Allowed::All,
        groups: Allowed::All,
    };
    (NodeIdentity::new(name, key).unwrap(), trusted)
}

fn trusting(trusted: Vec<TrustedNode>) -> Delegations {
    Delegations::new(&DelegationOptions { trusted, audiences: vec![] }, vec![HERE.to_owned()]).unwrap()
}

fn ann() -> Principal {
    Principal::new("ann").with_groups(["analysts"]).with_attribute("region", ["eu", "us"])
}

fn request(principal: Principal, via: &[&str]) -> FragmentRequest {
    let deadline = Instant::now() + Duration::from_secs(600);
    let via: Vec<String> = via.iter().map(|node| (*node).to_owned()).collect();
    FragmentRequest {
        head: FragmentHead { hops: via.len() as u32 + 1, via, ..FragmentHead::new("q", principal, deadline) },
        plan: FragmentPlan::Encoded(EncodedPlan { plan: b"plan"[..].into(), keys: vec![b"keys"[..].into()] }),
        schema: Arc::new(Schema::empty()),
    }
}

fn sent(request: &FragmentRequest, identity: Option<String>) -> FragmentTicket {
    let Request::Fragment(ticket) = ticket(&FragmentTicket::bytes(request, identity).unwrap()).unwrap() else {
        panic!("a fragment was sent")
    };
    ticket
}

fn signed(by: &NodeIdentity, principal: Principal) -> FragmentTicket {
    signed_via(by, principal, &[])
}

fn signed_via(by: &NodeIdentity, principal: Principal, via: &[&str]) -> FragmentTicket {
    let request = request(principal, via);
    sent(&request, Some(by.identity(HERE, &request).unwrap()))
}

/// Returns the identity of a node that logged in with a password.
fn mesh() -> Identity {
    Identity { principal: Principal::new("mesh"), node: true, expires: None }
}

fn refused(delegations: &Delegations, ticket: &FragmentTicket, says: &str) {
    refused_at(delegations, ticket, now().unwrap(), says);
}

fn refused_at(delegations: &Delegations, ticket: &FragmentTicket, now: u64, says: &str) {
    let error = delegations.asker_at(&mesh(), ticket, Purpose::Run, now).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
    assert!(error.chain().contains(says), "{says}\n{}", error.chain());
    if let Some(token) = &ticket.identity {
        assert!(token.split('.').all(|part| part.len() < 8 || !error.chain().contains(part)), "{}", error.chain());
    }
}

#[test]
fn who_asks_arrives_with_what_is_known_of_them() {
    let (gateway, trusted) = node("gateway");
    let keys = vec![trusted.key.to_string()];
    let delegations = trusting(vec![trusted]);
    let ticket = signed_via(&gateway, ann().with_admin(true), &["front"]);
    let asker = delegations.asker(&mesh(), &ticket, Purpose::Run).unwrap();
    assert_eq!(asker.via, ["front", "gateway"]);
    assert_eq!(asker.node_keys, [("gateway".to_owned(), keys)].into(), "only trusted nodes have keys");
    assert_eq!(asker.principal, ann(), "nobody administers by what another node says");
}

#[test]
fn a_token_runs_one_fragment_once() {
    let (gateway, trusted) = node("gateway");
    let delegations = trusting(vec![trusted]);
    let ticket = signed(&gateway, ann());
    for _ in 0..2 {
        delegations.asker(&mesh(), &ticket, Purpose::Estimate).unwrap();
    }
    delegations.asker(&mesh(), &ticket, Purpose::Run).unwrap();
    refused(&delegations, &ticket, "was used before");

    let altered: [fn(&mut FragmentTicket); 5] = [
        |t| t.plan = b"plaN"[..].into(),
        |t| t.keys.clear(),
        |t| t.keys.push(b""[..].into()),
        |t| t.query_id = "r".to_owned(),
        |t| t.hops = 2,
    ];
    for alter in altered {
        let mut ticket = signed(&gateway, ann());
        alter(&mut ticket);
        refused(&delegations, &ticket, "the token of node `gateway` belongs to another fragment");
    }
}

#[test]
fn strangers_are_refused() {
    let ((gateway, trusted), (_, other)) = (node("gateway"), node("gateway"));
    let delegations = trusting(vec![trusted.clone()]);
    refused(&delegations, &signed(&node("stranger").0, ann()), "node `stranger` is not trusted here");
    refused(&trusting(vec![other.clone()]), &signed(&gateway, ann()), "is not signed with its key");
    let mut unsigned = signed(&gateway, ann());
    unsigned.identity = None;
    refused(&delegations, &unsigned, "the fragment that `mesh` sent has no signed principal");
    for nonsense in ["", "a.b.c", &"x".repeat(1 << 20)] {
        let ticket = FragmentTicket { identity: Some(nonsense.to_owned()), ..unsigned.clone() };
        refused(&delegations, &ticket, "is not a node's token");
    }
    let login = Some(gateway.login(HERE).unwrap());
    refused(&delegations, &FragmentTicket { identity: login, ..unsigned }, "is not signed with its key");
    // While one key replaces another, both are valid.
    assert!(trusting(vec![other, trusted]).asker(&mesh(), &signed(&gateway, ann()), Purpose::Run).is_ok());
}

#[test]
fn a_token_for_another_node_is_refused() {
    let (gateway, trusted) = node("gateway");
    let request = request(ann(), &[]);
    let ticket = sent(&request, Some(gateway.identity("grpc://other:1/", &request).unwrap()));
    let delegations = trusting(vec![trusted.clone()]);
    refused(&delegations, &ticket, "is meant for `grpc://other:1/`, but this node is `grpc://owner:1`: set `audience`");
    let options = DelegationOptions { trusted: vec![trusted], audiences: vec!["grpc+tcp://other:1".to_owned()] };
    let renamed = Delegations::new(&options, vec![HERE.to_owned()]).unwrap();
    assert!(renamed.asker(&mesh(), &ticket, Purpose::Run).is_ok());
    refused(&renamed, &signed(&gateway, ann()), "is meant for `grpc://owner:1`");
}

#[test]
fn a_token_has_its_time() {
    let (gateway, trusted) = node("gateway");
    let (delegations, ticket, now) = (trusting(vec![trusted]), signed(&gateway, ann()), now().unwrap());
    refused_at(&delegations, &ticket, now + MAX_LIFE + SKEW + 2, " expired ");
    refused_at(&delegations, &ticket, now - SKEW - 2, "is not valid until ");
    let long = "must be valid for at most ";
    for (iat, exp, expected) in
        [(now, now + MAX_LIFE + 1, long), (now, now - 1, "expires before it becomes valid"), (0, u64::MAX, long)]
    {
        let (iss, sub, aud, jti) = ("gateway".to_owned(), "ann".to_owned(), HERE.to_owned(), String::new());
        let error = in_time(&Claims { iss, sub, aud, iat, exp, jti }, now).unwrap_err();
        assert!(error.context().contains(expected), "{iat} {exp}: {}", error.context());
    }
    assert!(delegations.asker_at(&mesh(), &ticket, Purpose::Run, now + MAX_LIFE).is_ok());
}

#[test]
fn a_node_acts_for_whom_it_may() {
    let (gateway, trusted) = node("gateway");
    let only = |names: &[&str]| Allowed::Only(names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>());
    let limited = |may_act_for, groups| trusting(vec![TrustedNode { may_act_for, groups, ..trusted.clone() }]);
    let for_ann = limited(only(&["ann"]), only(&["analysts"]));
    let plain = Principal::new("ann").with_groups(["analysts"]);
    assert!(for_ann.asker(&mesh(), &signed(&gateway, plain.clone()), Purpose::Run).is_ok());
    refused(&for_ann, &signed(&gateway, ann()), "may not claim attributes of `ann`");
    let bob = Principal::new("bob").with_groups(["analysts"]);
    refused(&for_ann, &signed(&gateway, bob), "node `gateway` may not act for `bob` (`may_act_for`");
    let more = plain.with_groups(["analysts", "owners"]);
    refused(&for_ann, &signed(&gateway, more), "`ann` is in the group `owners`");
    let all = limited(Allowed::All, Allowed::All);
    refused(&all, &signed(&gateway, Principal::new("node:gateway")), "may not act for `node:gateway`");
    for name in ["", "ann\nroot", "ann\u{202e}", &"x".repeat(600)] {
        refused(&all, &signed(&gateway, Principal::new(name)), "sent an invalid principal");
    }
    for value in ["eu\n2026-01-01 WARN", "\u{1b}[1m", "e\u{200b}u", &"x".repeat(600)] {
        let principal = Principal::new("ann").with_attribute("region", ["us", value]);
        refused(&all, &signed(&gateway, principal), "sent an invalid principal");
    }
}

#[test]
fn a_node_sends_requests_of_its_own_only_if_its_entry_lists_it() {
    let (_, trusted) = node("gateway");
    let only = |names: &[&str]| TrustedNode {
        may_act_for: Allowed::Only(names.iter().map(|n| (*n).to_owned()).collect()),
        ..trusted.clone()
    };
    let itself = Identity { principal: Principal::new("node:gateway"), node: true, expires: None };
    for (entries, allowed) in [
        (vec![trusted.clone()], false),
        (vec![only(&["ann"])], false),
        (vec![only(&["node:other"])], false),
        (vec![only(&["ann", "node:gateway"])], true),
        (vec![only(&["node:gateway"]), only(&["ann"])], false),
        (vec![], false),
    ] {
        let delegations = trusting(entries);
        let checked = delegations.check_own_requests(&itself);
        assert_eq!(checked.is_ok(), allowed);
        assert!(checked.err().is_none_or(|e| e.kind() == ErrorKind::PermissionDenied));
        assert!(delegations.check_own_requests(&mesh()).is_ok(), "a user has rights of its own");
    }
}

#[test]
fn a_trusted_node_proves_itself_by_its_key() {
    let ((gateway, trusted), (other, trusted_other)) = (node("gateway"), node("other"));
    let delegations = trusting(vec![trusted, trusted_other]);
    let itself = Identity { principal: Principal::new("node:gateway"), node: true, expires: None };
    let user = Identity { principal: Principal::new("ann"), node: false, expires: None };
    let (proof, of_other) = (gateway.login(HERE).unwrap(), other.login(HERE).unwrap());
    assert!(delegations.trusts(&itself, Some(&proof)) && delegations.trusts(&mesh(), Some(&proof)));
    assert!(!delegations.trusts(&itself, None) && !delegations.trusts(&mesh(), None));
    assert!(!delegations.trusts(&itself, Some(&of_other)), "the proof of another node");
    assert!(!delegations.trusts(&user, Some(&proof)), "a user that is not a node");
    let stranger = node("gateway").0.login(HERE).unwrap();
    assert!(!delegations.trusts(&mesh(), Some(&stranger)));
    assert!(!trusting(vec![]).trusts(&mesh(), Some(&proof)), "a node that trusts no node");
}

#[test]
fn a_chain_is_no_longer_than_the_way() {
    let (gateway, trusted) = node("gateway");
    let delegations = trusting(vec![trusted]);
    let mut longer = request(ann(), &["a", "b"]);
    longer.head.hops = 2;
    let ticket = sent(&longer, Some(gateway.identity(HERE, &longer).unwrap()));
    refused(&delegations, &ticket, "names 3 nodes on the path of the query, but counts 2");
    refused(&delegations, &signed_via(&gateway, ann(), &["a\nb"]), "names invalid nodes on the path of the query");
}

#[test]
fn nobody_is_believed_where_no_node_is_trusted() {
    let delegations = trusting(vec![]);
    let ticket = signed(&node("gateway").0, ann());
    let admin = Identity { principal: Principal::new("mesh").with_admin(true), node: true, expires: None };
    let asker = delegations.asker(&admin, &ticket, Purpose::Run).unwrap();
    assert_eq!((asker.principal, asker.via), (Principal::new("mesh"), vec!["mesh".to_owned()]));
    let anonymous = Identity { principal: Principal::anonymous(), node: true, expires: None };
    let asker = delegations.asker(&anonymous, &ticket, Purpose::Run).unwrap();
    assert_eq!(asker.principal, Principal::anonymous());
    let user = Identity { principal: Principal::new("ann"), node: false, expires: None };
    assert!(
        delegations
            .asker(&user, &ticket, Purpose::Estimate)
            .unwrap_err()
            .context()
            .contains("not a user with `node: true`")
    );
}

#[test]
fn a_node_logs_in_with_its_key() {
    let ((gateway, trusted), (other, trusted_other)) = (node("gateway"), node("other"));
    let delegations = trusting(vec![trusted, trusted_other]);
    let log_in = |token: &str| delegations.log_in(token, || panic!("it can be checked"));
    let token = gateway.login(HERE).unwrap();
    let identity = log_in(&token).unwrap().unwrap();
    assert_eq!(identity, Identity { principal: Principal::new("node:gateway"), node: true, expires: None });
    assert!(delegations.asker(&identity, &signed(&gateway, ann()), Purpose::Run).is_ok());
    let lent = delegations.asker(&identity, &signed(&other, ann()), Purpose::Run).unwrap_err();
    assert!(lent.context().contains("`node:gateway` sent a fragment that node `other` signed"), "{}", lent.context());

    let wrong_audience = gateway.login("grpc://other:1").unwrap();
    let forged = node("gateway").0.login(HERE).unwrap();
    for token in [&token, &wrong_audience, &forged, &node("stranger").0.login(HERE).unwrap()] {
        assert_eq!(log_in(token).unwrap().unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    let request = request(Principal::new("gateway"), &[]);
    for no_login in ["", "x", "a.b.c", &gateway.identity(HERE, &request).unwrap()] {
        assert!(log_in(no_login).is_none());
    }
    // A node that trusts no node accepts the login as from any caller.
    let nobody = Identity { principal: Principal::anonymous(), node: true, expires: None };
    assert_eq!(trusting(vec![]).log_in(&token, || Ok(nobody.clone())).unwrap().unwrap(), nobody);
}

#[test]
fn a_sender_is_told_whether_its_fragments_are_taken_and_reads_the_catalog_accordingly() {
    let (gateway, trusted) = node("gateway");
    let user = Identity { principal: Principal::new("ann"), node: false, expires: None };
    let (demanding, open) = (trusting(vec![trusted]), trusting(vec![]));
    let proof = gateway.login(HERE).unwrap();
    let (elsewhere, forged) = (gateway.login("grpc://other:1").unwrap(), node("gateway").0.login(HERE).unwrap());
    for (at, caller, proof, reader) in [
        (&demanding, mesh(), Some(&proof), CatalogReader::TrustedNode),
        (&demanding, user.clone(), Some(&proof), CatalogReader::Other),
        (&demanding, mesh(), None, CatalogReader::Other),
        (&demanding, mesh(), Some(&elsewhere), CatalogReader::Other),
        (&demanding, mesh(), Some(&forged), CatalogReader::Other),
        (&open, mesh(), None, CatalogReader::Node),
        (&open, user, None, CatalogReader::Other),
    ] {
        let proof = proof.map(String::as_str);
        assert_eq!(at.takes_fragments(&caller, proof), reader != CatalogReader::Other, "{caller:?}");
        assert_eq!(at.reader(&caller, proof), reader, "{caller:?}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let (gateway, trusted) = node("gateway");
    let ticket = signed(&gateway, ann());
    let token = ticket.identity.clone().unwrap();
    let hello = NodeHello { proof: Some(token.clone()), ..NodeHello::current() };
    let shown = format!("{ticket:?} {hello:?} {:?} {:?}", trusting(vec![trusted]), gateway);
    assert!(shown.contains("gateway") && !shown.contains(&token[..20]), "{shown}");
}
