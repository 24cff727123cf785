//! Every way to authenticate, between real processes: tokens of an identity provider, passwords and client
//! certificates. The tests also check which credentials are refused and how, and that nodes print no secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_flight_server::hash_password;
use portolan_tests::mesh::{until, within};
use portolan_tests::node::{Node, check};
use serde_json::{Value, json};
use tonic::Code;

mod adbc;
pub mod caller;
pub mod certificates;
pub mod provider;

use caller::Caller;
use provider::{AUDIENCE, ISSUER, Key, Provider, now};

const PASSWORD: &str = "correct-horse-battery";
const SOON: Duration = Duration::from_secs(60);

/// Starts a gateway without peers, with a verbose log.
fn node(home: &Path, more: Value) -> Node {
    let mut config = json!({ "log": "debug" });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    Node::start(home, config)
}

fn user(name: &str) -> Value {
    json!({ "name": name, "password_hash": hash_password(PASSWORD).unwrap() })
}

/// Asserts that the output contains no part of these tokens, and no password.
#[track_caller]
fn assert_no_secret(said: &str, tokens: &[&str]) {
    assert!(!said.is_empty());
    // A part is as secret as the whole: the signature, and the claims.
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1)).filter(|part| !part.is_empty());
    for secret in parts.chain([PASSWORD, "$argon2", "PRIVATE KEY"]) {
        assert!(!said.contains(secret), "`{secret}` shows in\n{said}");
    }
}

/// Returns everything that a caller can read from a node, except the rows of its domains.
async fn everything_told(caller: &Caller) -> String {
    let mut told = String::new();
    for sql in [
        "EXPLAIN SELECT * FROM mesh.nodes",
        "EXPLAIN ANALYZE SELECT * FROM mesh.nodes",
        "SELECT * FROM mesh.nodes",
        "SELECT * FROM information_schema.tables",
        "SHOW portolan.all",
    ] {
        told += &caller.ask(sql).await.unwrap();
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_works_with_each_call_and_as_a_login() {
    within(180, async {
        let key = Key::new("one");
        let provider = Provider::start(&[&key]).await;
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "tokens": [provider.config()], "users": [user("ann")] }));
        let nobody = Caller::connect(node.url(), None).await.unwrap();
        let (ann, again, bob) = (key.token("ann", json!({})), key.token("ann", json!({})), key.token("bob", json!({})));

        // For tokens sent with each call, there is one session for each token.
        let bearer = nobody.bearer(&ann);
        assert!(!bearer.is_marked().await);
        bearer.mark_session().await.unwrap();
        assert!(bearer.is_marked().await);
        let elsewhere = Caller::connect(node.url(), None).await.unwrap().bearer(&ann);
        assert!(elsewhere.is_marked().await);
        assert!(!nobody.bearer(&again).is_marked().await && !nobody.bearer(&bob).is_marked().await);

        // A login returns a token of the session, as drivers expect.
        let session = bearer.log_in().await.unwrap();
        assert!(session.authorization().starts_with("Bearer ") && session.authorization() != bearer.authorization());
        assert!(!session.is_marked().await);
        session.mark_session().await.unwrap();
        assert!(session.is_marked().await);

        // The token as a password.
        for user in ["", "token", "ann"] {
            let basic = nobody.basic(user, &ann);
            assert!(basic.is_let_in().await && basic.log_in().await.unwrap().is_same(&bearer).await, "{user}");
        }
        let refused = nobody.basic("bob", &ann).refusal().await;
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains("belongs to another user"), "{refused:?}");

        // The principal is the same, whichever way it authenticates.
        let password = nobody.basic("ann", PASSWORD);
        assert!(password.is_same(&bearer).await && bearer.is_same(&nobody.bearer(&again)).await);
        assert!(!bearer.is_same(&nobody.bearer(&bob)).await);
        let unnamed = nobody.refusal().await;
        assert!(unnamed.message().contains("a token"), "{unnamed:?}");

        let told = everything_told(&bearer).await;
        let session_token = session.authorization().to_owned();
        let said = format!("{}{told}{refused:?}{unnamed:?}", node.log());
        assert_no_secret(&said, &[&ann, &again, &bob]);
        assert!(!said.contains(session_token.trim_start_matches("Bearer ")), "{said}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_token() {
    within(180, async {
        let key = Key::new("one");
        let provider = Provider::start(&[&key]).await;
        let folder = tempfile::tempdir().unwrap();
        let mut trusted = provider.config();
        trusted["skew"] = "1s".into();
        let node = node(folder.path(), json!({ "tokens": [trusted] }));
        let token = key.token("ann", json!({ "exp": now() + 8 }));
        let bearer = Caller::connect(node.url(), None).await.unwrap().bearer(&token);
        bearer.mark_session().await.unwrap();
        let session = bearer.log_in().await.unwrap();
        assert!(bearer.is_marked().await && session.is_let_in().await);
        until("the token expires", SOON, async || !bearer.is_let_in().await).await;
        let refused = bearer.refusal().await;
        assert!(refused.message().contains("expired"), "{refused:?}");
        let ended = session.refusal().await;
        assert_eq!(ended.code(), Code::Unauthenticated);
        assert!(ended.message().contains("log in again"), "{ended:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_tokens_are_rejected() {
    within(180, async {
        let (key, stranger) = (Key::new("one"), Key::new("one"));
        let provider = Provider::start(&[&key]).await;
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "tokens": [provider.config()] }));
        let nobody = Caller::connect(node.url(), None).await.unwrap();
        let mut said = String::new();
        let cases = [
            (key.token("ann", json!({ "exp": now() - 300 })), "expired"),
            (key.token("ann", json!({ "nbf": now() + 300 })), "not valid yet"),
            (key.token("ann", json!({ "aud": "another" })), AUDIENCE),
            (key.token("ann", json!({ "iss": "https://evil.test" })), "issuer"),
            (key.token("anonymous", json!({})), "anonymous"),
            (key.token("ann\u{202e}", json!({})), "name of a principal"),
            (key.token("ann", json!({ "groups": ["analysts", "a\n2026-01-01T00:00:00Z"] })), "group"),
            (stranger.token("ann", json!({})), ISSUER),
            (Key::new("two").token("ann", json!({})), "does not publish"),
            (key.unsigned("ann"), "not signed"),
            (key.confused("ann"), "shared secret"),
        ];
        for (token, says) in &cases {
            for caller in [nobody.bearer(token), nobody.basic("token", token)] {
                let refused = caller.refusal().await;
                assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
                assert!(refused.message().contains(says), "expected `{says}`, got {refused:?}");
                said += &format!("{refused:?}\n");
            }
            assert!(nobody.bearer(token).log_in().await.is_err());
        }
        said += &node.log();
        assert_eq!(node.log().matches("login failed").count(), 3 * cases.len());
        assert_no_secret(&said, &cases.each_ref().map(|(token, _)| token.as_str()));
        assert!(nobody.bearer(&key.token("ann", json!({}))).is_let_in().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_while_the_node_runs() {
    within(180, async {
        let (first, second) = (Key::new("first"), Key::new("second"));
        let mut provider = Provider::start(&[&first]).await;
        provider.stop().await;
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "tokens": [provider.config()] }));
        let nobody = Caller::connect(node.url(), None).await.unwrap();

        // Before the first fetch of the keys, the token is not at fault.
        let unknown = nobody.bearer(&first.token("ann", json!({}))).refusal().await;
        assert_eq!(unknown.code(), Code::Unavailable, "{unknown:?}");
        assert!(unknown.message().contains(ISSUER), "{unknown:?}");
        provider.listen().await;
        let lets = async |key: &Key| nobody.bearer(&key.token("ann", json!({}))).is_let_in().await;
        until("the keys are fetched", SOON, async || lets(&first).await).await;

        // The node fetches the keys for an unknown key, but not for each token.
        assert!(!lets(&second).await);
        provider.publish(&[&first, &second]);
        until("the new key is fetched", SOON, async || lets(&second).await).await;
        let asked = provider.asked();
        for id in ["x", "y", "z", "u", "v"] {
            assert!(!lets(&Key::new(id)).await);
        }
        assert!(provider.asked() <= asked + 2, "{asked} {}", provider.asked());

        // Bad responses, a redirect to another host, and a stopped server change nothing.
        for (status, headers, body) in [
            ("500 Internal Server Error", "", "{}"),
            ("200 OK", "", "{\"keys\": []}"),
            ("302 Found", "location: http://127.0.0.2:9/keys\r\n", ""),
        ] {
            provider.answer(status, headers, body);
            let asked = provider.asked();
            until("the provider receives a request", SOON, async || {
                !lets(&Key::new("other")).await && provider.asked() > asked
            })
            .await;
            assert!(lets(&first).await && lets(&second).await, "{status}");
        }
        provider.stop().await;
        assert!(lets(&first).await && lets(&second).await);
        assert!(node.log().contains("keeping the last valid ones"), "{}", node.log());

        // A withdrawn key is gone when the node has read the set again.
        provider.publish(&[&second]);
        provider.listen().await;
        until("the old key is gone", SOON, async || !lets(&Key::new("other")).await && !lets(&first).await).await;
        assert!(lets(&second).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_in_a_changed_file_are_read_again() {
    within(180, async {
        let (first, second) = (Key::new("first"), Key::new("second"));
        let folder = tempfile::tempdir().unwrap();
        let write = |key: &Key| {
            let new = folder.path().join("new.json");
            fs::write(&new, json!({ "keys": [key.public()] }).to_string()).unwrap();
            fs::rename(new, folder.path().join("keys.json")).unwrap();
        };
        write(&first);
        let trusted = json!({ "issuer": ISSUER, "audience": ["x", AUDIENCE], "jwks": "keys.json" });
        let node = node(folder.path(), json!({ "tokens": [trusted] }));
        let nobody = Caller::connect(node.url(), None).await.unwrap();
        let lets = async |key: &Key| nobody.bearer(&key.token("ann", json!({}))).is_let_in().await;
        assert!(lets(&first).await && !lets(&second).await);
        write(&second);
        until("the new file is read", SOON, async || lets(&second).await && !lets(&first).await).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_logins_are_throttled_and_logged() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "users": [user("ann"), user("bob")], "log": "info" }));
        let nobody = Caller::connect(node.url(), None).await.unwrap();
        for i in 0..6 {
            let refused = nobody.basic("ann", &format!("guess-{i}-{PASSWORD}")).log_in().await.err().unwrap();
            assert_eq!(refused.code(), Code::Unauthenticated);
        }
        // Failed logins slow the user down, but do not lock the user out.
        assert!(nobody.basic("ann", PASSWORD).is_let_in().await);
        let log = node.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("login failed")).collect();
        assert_eq!(lines.len(), 6, "{log}");
        for (i, (line, delay)) in lines.iter().zip(["0ns", "0ns", "125ms", "250ms", "500ms", "1s"]).enumerate() {
            for part in ["WARN", "ann", "127.0.0.1", &format!("failures={}", i + 1), &format!("next_after={delay}")] {
                assert!(line.contains(part), "expected `{part}`, got {line}");
            }
        }
        assert!(!log.contains("guess-"), "{log}");
        assert_no_secret(&log, &[]);
    })
    .await;
}

#[test]
fn a_config_with_unsafe_authentication_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.yaml");
    let token = |more: Value| {
        let mut token = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks": "https://id.test/keys" });
        for (name, value) in more.as_object().unwrap() {
            token[name] = value.clone();
        }
        json!({ "tokens": [token] })
    };
    for (config_value, says) in [
        (token(json!({ "jwks": "http://id.test/keys" })), "https://"),
        (token(json!({ "jwks": "https://ann:s3cret@id.test/keys" })), "must not contain a user or a password"),
        (token(json!({ "jwks": "absent.json" })), "absent.json"),
        (token(json!({ "audience": [] })), "`aud`"),
        (token(json!({ "skew": "1h" })), "10 minutes"),
        (json!({ "tokens": [{ "issuer": ISSUER, "jwks": "https://id.test/keys" }] }), "audience"),
        (json!({ "users": [{ "name": "ann" }] }), "password_hash"),
    ] {
        fs::write(&config, config_value.to_string()).unwrap();
        let (code, _, err) = check(&config);
        assert_eq!(code, Some(2), "{config_value} {err}");
        assert!(err.contains(says) && err.contains("node.yaml:"), "expected `{says}`, got {err}");
        assert!(!err.contains("s3cret"), "{err}");
    }
}

/// A certificate and its key, as files.
type Files = (PathBuf, PathBuf);
