//! Tests of key sets: which key fits a token, and when the node reads a set again.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn point(id: &str) -> Value {
    // The key of RFC 7515, A.3.
    json!({
        "kty": "EC", "crv": "P-256", "kid": id,
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

fn rsa(id: &str) -> Value {
    json!({ "kty": "RSA", "kid": id, "n": "xjlCRBqkQRY", "e": "AQAB" })
}

fn with(mut key: Value, name: &str, value: &str) -> Value {
    key[name] = value.into();
    key
}

fn set(keys: &[Value]) -> KeySet {
    KeySet { keys: parse(&json!({ "keys": keys }).to_string()).unwrap(), read: Instant::now() }
}

fn verdict(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> &'static str {
    match set.find(id, algorithm) {
        Found::Key(_) => "key",
        Found::Unfit => "unfit",
        Found::Unknown => "unknown",
    }
}

#[test]
fn a_key_says_what_it_is_for() {
    let secret = json!({ "kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256" });
    let odd = json!({ "kty": "EC", "crv": "secp256k1", "kid": "odd", "x": "AA", "y": "AA" });
    let set = set(&[
        point("any"),
        rsa("rsa"),
        with(rsa("pss"), "alg", "PS256"),
        with(point("sealing"), "use", "enc"),
        with(point("signing"), "use", "sig"),
        with(point("mixed up"), "alg", "RS256"),
        with(rsa("sealing too"), "alg", "RSA-OAEP"),
        secret,
        odd,
        json!("no key"),
    ]);
    use Algorithm::{ES256, ES384, HS256, PS256, RS256};
    for (id, algorithm, expected) in [
        ("any", ES256, "key"),
        ("any", ES384, "unfit"),
        ("any", RS256, "unfit"),
        ("rsa", RS256, "key"),
        ("rsa", PS256, "key"),
        ("rsa", HS256, "unfit"),
        ("pss", PS256, "key"),
        ("pss", RS256, "unfit"),
        ("signing", ES256, "key"),
        ("sealing", ES256, "unknown"),
        ("sealing too", RS256, "unknown"),
        ("mixed up", ES256, "unknown"),
        ("mixed up", RS256, "unknown"),
        ("secret", HS256, "unknown"),
        ("odd", ES256, "unknown"),
        ("other", ES256, "unknown"),
    ] {
        assert_eq!(verdict(&set, Some(id), algorithm), expected, "{id} {algorithm:?}");
    }
}

#[test]
fn a_token_that_names_no_key_has_one_that_it_can_mean() {
    let one = set(&[point("a"), rsa("b")]);
    assert_eq!(verdict(&one, None, Algorithm::ES256), "key");
    let two = set(&[point("a"), point("b")]);
    assert_eq!(verdict(&two, None, Algorithm::ES256), "unknown");
}

async fn found(keys: &Keys, id: &str) -> bool {
    keys.find(Some(id), Algorithm::ES256).await.is_ok()
}

fn write(path: &Path, keys: &[Value]) {
    std::fs::write(path, json!({ "keys": keys }).to_string()).unwrap();
}

#[tokio::test]
async fn a_file_is_read_anew_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let keys = Keys::new("https://id.test", &KeySource::File(path.clone()), Duration::from_secs(300));
    assert!(keys.check_file().await.is_err());
    for bad in ["{", "{}", "{\"keys\": []}"] {
        std::fs::write(&path, bad).unwrap();
        let error = keys.check_file().await.unwrap_err();
        assert!(error.chain().contains("keys.json"), "{}", error.chain());
    }
    write(&path, &[point("first")]);
    keys.check_file().await.unwrap();
    assert!(found(&keys, "first").await && !found(&keys, "second").await);
    // An attempt was just made, so there is no other one, whichever keys tokens name.
    write(&path, &[point("second"), point("third")]);
    assert!(!found(&keys, "second").await);
    *keys.attempted.lock().await = None;
    assert!(found(&keys, "second").await && !found(&keys, "first").await);
    *keys.attempted.lock().await = None;
    std::fs::write(&path, "{").unwrap();
    assert!(found(&keys, "second").await);
}

#[tokio::test]
async fn keys_that_never_came_are_not_the_tokens_fault() {
    // No server listens at this address.
    let url = KeySource::url("http://127.0.0.1:1/keys").unwrap();
    let keys = Keys::new("https://id.test", &url, Duration::from_secs(300));
    keys.check_file().await.unwrap();
    for _ in 0..2 {
        let error = keys.find(Some("a"), Algorithm::ES256).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.chain());
    }
}
