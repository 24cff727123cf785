//! Tests of each kind of [`Authorization`], at a login and with a call: which of the two accepts it, and what both
//! refuse.

#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::FutureExt;
use portolan_connectors::node::{NodeIdentity, NodeKey};
use portolan_engine::{ErrorKind, Principal};

use super::*;
use crate::callers::auth::{Authenticator, hash_password, issuer_and_token};
use crate::callers::delegation::Delegations;
use crate::options::{Allowed, AuthOptions, DelegationOptions, ServerLimits, TrustedNode, User};

const HERE: &str = "grpc://here:1";

/// Returns callers with these options. They may be anonymous if `anonymous` is true.
fn callers(auth: &AuthOptions, anonymous: bool, trusted: Vec<TrustedNode>) -> Callers {
    let engine = Engine::builder().cpu_threads(1).build().unwrap();
    Callers::new(engine, Access::new(rules(auth, anonymous, trusted), &ServerLimits::default()))
}

fn rules(auth: &AuthOptions, anonymous: bool, trusted: Vec<TrustedNode>) -> Rules {
    let authenticator = Authenticator::new(auth, anonymous, false, 2).unwrap();
    let delegation = DelegationOptions { trusted, audiences: vec![] };
    let delegations = Delegations::new(&delegation, vec![HERE.to_owned()]).unwrap();
    Rules { authenticator, delegations, auth: auth.clone(), delegation }
}

/// Returns the options of a server with the user `ann`, whose password is `secret`.
fn ann() -> AuthOptions {
    let password_hash = Some(hash_password("secret").unwrap());
    let user = User { name: "ann".to_owned(), password_hash, ..User::default() };
    AuthOptions { users: vec![user], ..AuthOptions::default() }
}

/// Returns the headers of a call, with `authorization` if it is given.
fn headers(authorization: Option<&str>) -> Headers<'_> {
    authorization.map(|value| ("authorization", Some(value))).into_iter().collect()
}

async fn log_in(callers: &Callers, authorization: Authorization) -> Result<String> {
    callers.log_in(authorization, &headers(None), &CallOrigin::default()).await
}

async fn call(callers: &Callers, authorization: Option<&str>) -> Result<Caller> {
    callers.identify(&headers(authorization), &CallOrigin::default()).await
}

/// Returns the header of a call with a user's password.
fn basic(user: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:secret")))
}

async fn call_with(callers: &Callers, token: &str) -> Result<Caller> {
    call(callers, Some(&format!("Bearer {token}"))).await
}

/// Asserts that a login and a call refuse `token`.
async fn refused(callers: &Callers, token: &str) {
    let login = log_in(callers, Authorization::Bearer(token.to_owned())).await;
    assert_eq!(login.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated), "a login with {token}");
    let call = call_with(callers, token).await;
    assert_eq!(call.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated), "a call with {token}");
}

#[tokio::test]
async fn logins_and_calls_agree_on_callers_without_credentials() {
    let open = callers(&AuthOptions::default(), true, vec![]);
    let caller = call(&open, None).await.unwrap();
    assert_eq!(caller.identity.principal, Principal::anonymous());
    assert!(caller.kept_as.is_none() && caller.answer_header().is_some());
    let token = log_in(&open, Authorization::Nobody).await.unwrap();
    assert_eq!(call_with(&open, &token).await.unwrap().identity.principal, Principal::anonymous());

    let closed = callers(&ann(), false, vec![]);
    assert_eq!(call(&closed, None).await.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated));
    let login = log_in(&closed, Authorization::Nobody).await;
    assert_eq!(login.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn logins_and_calls_accept_a_password() {
    let callers = callers(&ann(), false, vec![]);
    let basic = |password: &str| Authorization::Basic("ann".to_owned(), password.to_owned());
    let token = log_in(&callers, basic("secret")).await.unwrap();
    assert_eq!(call_with(&callers, &token).await.unwrap().identity.principal.name(), "ann");
    // ann:secret
    let caller = call(&callers, Some("Basic YW5uOnNlY3JldA==")).await.unwrap();
    assert!(caller.identity.principal.name() == "ann" && caller.kept_as.is_none());

    let login = log_in(&callers, basic("wrong")).await;
    assert_eq!(login.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated));
    // ann:wrong
    let call = call(&callers, Some("Basic YW5uOndyb25n")).await;
    assert_eq!(call.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn logins_and_calls_accept_the_token_of_an_open_session() {
    let callers = callers(&ann(), false, vec![]);
    let password = Authorization::Basic("ann".to_owned(), "secret".to_owned());
    let token = log_in(&callers, password).await.unwrap();
    let caller = call_with(&callers, &token).await.unwrap();
    assert!(caller.kept_as.as_deref() == Some(token.as_str()) && caller.answer_header().is_none());
    // A login with the token of an open session opens no other session.
    assert_eq!(log_in(&callers, Authorization::Bearer(token.clone())).await.unwrap(), token);
    assert!(callers.access.sessions.close(&token));
    for unknown in [token.as_str(), "guess", "a.b.c", "token abc"] {
        refused(&callers, unknown).await;
    }
}

#[tokio::test]
async fn logins_and_calls_accept_a_providers_token() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, token) = issuer_and_token(&folder.path().join("keys.json"));
    let options = AuthOptions { issuers: vec![issuer], ..AuthOptions::default() };
    let callers = callers(&options, false, vec![]);
    let (first, second) = (call_with(&callers, &token).await.unwrap(), call_with(&callers, &token).await.unwrap());
    assert!(first.identity.principal.name() == "ann" && first.shares_session());
    assert_eq!(first.kept_as, second.kept_as);
    // A login opens a session of its own.
    let own = log_in(&callers, Authorization::Bearer(token.clone())).await.unwrap();
    let caller = call_with(&callers, &own).await.unwrap();
    assert!(caller.identity.principal.name() == "ann" && !caller.shares_session());

    // A wrong signature, a token that another key signed, and the key under which the open session is kept.
    let unsigned = token.rsplit_once('.').map(|(signed, _)| format!("{signed}.AAAA")).unwrap();
    refused(&callers, &unsigned).await;
    let (_, of_another) = issuer_and_token(&folder.path().join("other.json"));
    refused(&callers, &of_another).await;
    refused(&callers, first.kept_as.as_deref().unwrap()).await;
}

#[tokio::test]
async fn one_login_accepts_a_nodes_token_and_calls_refuse_it() {
    let (gateway, trusted) = gateway();
    let folder = tempfile::tempdir().unwrap();
    let (issuer, _) = issuer_and_token(&folder.path().join("keys.json"));
    let with_issuer = AuthOptions { issuers: vec![issuer], ..AuthOptions::default() };
    // On a server with an issuer, a node's token looks like one of the issuer's.
    for options in [AuthOptions::default(), with_issuer] {
        let callers = callers(&options, false, vec![trusted.clone()]);
        let token = gateway.login(HERE).unwrap();
        let early = call_with(&callers, &token).await;
        assert_eq!(early.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated), "a call with a node's token");
        let session = log_in(&callers, Authorization::Bearer(token.clone())).await.unwrap();
        let caller = call_with(&callers, &session).await.unwrap();
        assert!(caller.identity.node && caller.identity.principal.name() == "node:gateway");
        refused(&callers, &token).await;
        refused(&callers, &gateway.login("grpc://other:1").unwrap()).await;
    }
}

fn gateway() -> (NodeIdentity, TrustedNode) {
    let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
    let (name, public) = ("gateway".to_owned(), key.public().clone());
    let trusted = TrustedNode { name, key: public, may_act_for: Allowed::All, groups: Allowed::All };
    (NodeIdentity::new("gateway", key).unwrap(), trusted)
}

#[tokio::test]
async fn new_rules_close_the_sessions_that_they_do_not_accept() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, provided) = issuer_and_token(&folder.path().join("keys.json"));
    let (gateway, trusted) = gateway();
    let bob = User { name: "bob".to_owned(), ..ann().users[0].clone() };
    let both = AuthOptions { users: vec![ann().users[0].clone(), bob.clone()], issuers: vec![issuer], anonymous: None };
    let callers = callers(&both, false, vec![trusted.clone()]);
    let password = |name: &str| Authorization::Basic(name.to_owned(), "secret".to_owned());
    let ann_token = log_in(&callers, password("ann")).await.unwrap();
    let bob_token = log_in(&callers, password("bob")).await.unwrap();
    let node_token = log_in(&callers, Authorization::Bearer(gateway.login(HERE).unwrap())).await.unwrap();
    call_with(&callers, &provided).await.unwrap();

    // A further user closes no session, and can log in.
    let eve = User { name: "eve".to_owned(), ..bob.clone() };
    let more = AuthOptions { users: vec![both.users[0].clone(), bob.clone(), eve], ..both.clone() };
    assert_eq!(callers.access.replace(rules(&more, false, vec![trusted.clone()])), 0);
    log_in(&callers, password("eve")).await.unwrap();

    // A user who is gone, a user with other rights, and an issuer and a node that are gone.
    let admin = User { admin: true, ..both.users[0].clone() };
    let fewer = AuthOptions { users: vec![admin], ..AuthOptions::default() };
    assert_eq!(callers.access.replace(rules(&fewer, false, vec![])), 5);
    for token in [&ann_token, &bob_token, &node_token, &provided] {
        let call = call_with(&callers, token).await;
        assert_eq!(call.err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated), "{token}");
    }
    assert!(log_in(&callers, password("bob")).await.is_err());
    let again = log_in(&callers, password("ann")).await.unwrap();
    assert!(call_with(&callers, &again).await.unwrap().identity.principal.is_admin());
}

#[tokio::test]
async fn new_rules_end_the_calls_that_they_do_not_accept() {
    let ann = ann().users[0].clone();
    let bob = User { name: "bob".to_owned(), ..ann.clone() };
    let users =
        |users: &[&User]| AuthOptions { users: users.iter().copied().cloned().collect(), ..AuthOptions::default() };
    let callers = callers(&users(&[&ann, &bob]), false, vec![]);
    // The callers have no sessions.
    let of_ann = call(&callers, Some(&basic("ann"))).await.unwrap();
    let of_bob = call(&callers, Some(&basic("bob"))).await.unwrap();
    let (from_ann, from_bob) = (of_ann.open_call(&callers.access).unwrap(), of_bob.open_call(&callers.access).unwrap());
    assert!(from_bob.ended().now_or_never().is_none());
    assert_eq!(callers.access.replace(rules(&users(&[&ann]), false, vec![])), 0);
    assert_eq!(from_bob.ended().await.kind(), ErrorKind::Unauthenticated);
    assert!(from_ann.ended().now_or_never().is_none());
    // These calls come from callers that the rules before have accepted.
    of_ann.open_call(&callers.access).unwrap();
    assert_eq!(of_bob.open_call(&callers.access).err().map(|e| e.kind()), Some(ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn new_rules_remember_used_tokens_and_failed_logins() {
    let (gateway, trusted) = gateway();
    let callers = callers(&ann(), false, vec![trusted.clone()]);
    let token = gateway.login(HERE).unwrap();
    log_in(&callers, Authorization::Bearer(token.clone())).await.unwrap();
    // The node is gone for a moment.
    callers.access.replace(rules(&ann(), false, vec![]));
    callers.access.replace(rules(&ann(), false, vec![trusted]));
    let again = log_in(&callers, Authorization::Bearer(token)).await.unwrap_err();
    assert!(again.context().contains("was used before"), "{again}");
}

#[tokio::test]
async fn a_login_by_rules_that_are_gone_opens_no_session() {
    let callers = callers(&ann(), false, vec![]);
    let before = callers.rules();
    let ann = before.authenticator.check("ann", "secret".to_owned(), &CallOrigin::default()).await.unwrap();
    callers.access.replace(rules(&AuthOptions::default(), true, vec![]));
    let token = callers.access.sessions.open(&callers.engine, ann.clone()).unwrap();
    let refused = callers.access.confirm(&before, &ann, &token).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    assert!(callers.access.sessions.find(&token).is_none());
}
