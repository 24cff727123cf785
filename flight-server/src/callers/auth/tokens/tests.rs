//! Tests of identity providers' tokens: their claims, and which tokens are refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use portolan_engine::ErrorKind;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use super::*;
use crate::options::KeySource;

const ISSUER: &str = "https://id.test";

/// An identity provider with one key.
struct Provider {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Provider {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { key, random }
    }

    fn publish(&self, path: &Path, id: &str) {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y, "alg": "ES256" });
        std::fs::write(path, json!({ "keys": [key] }).to_string()).unwrap();
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "portolan", "sub": "ann", "exp": now() + 600 })
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "one", "typ": "JWT" })
}

fn issuer(path: &Path) -> TokenIssuer {
    TokenIssuer::new(ISSUER, ["portolan", "mesh"], KeySource::File(path.to_owned()))
}

/// An issuer whose keys are stored at `path`, and a token of that issuer for `ann`.
pub(in crate::callers) fn issuer_and_token(path: &Path) -> (TokenIssuer, String) {
    let provider = Provider::new();
    provider.publish(path, "one");
    (issuer(path), provider.sign(&header(), &claims()))
}

fn tokens(issuers: Vec<TokenIssuer>) -> Result<Tokens> {
    Tokens::new(&AuthOptions { issuers, ..AuthOptions::default() })
}

struct Trusting {
    provider: Provider,
    tokens: Tokens,
    _folder: tempfile::TempDir,
}

fn trusting(adapt: impl FnOnce(&mut TokenIssuer)) -> Trusting {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let provider = Provider::new();
    provider.publish(&path, "one");
    let mut issuer = issuer(&path);
    adapt(&mut issuer);
    Trusting { provider, tokens: tokens(vec![issuer]).unwrap(), _folder: folder }
}

impl Trusting {
    async fn check(&self, changed: Value) -> Result<Identity> {
        let mut claims = claims();
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.tokens.check(&self.provider.sign(&header(), &claims)).await
    }
}

#[tokio::test]
async fn claims_become_a_principal() {
    let node = trusting(|issuer| {
        issuer.groups_claim = "realm_access.roles".to_owned();
        issuer.attributes = ["region", "https://id.test/level", "verified", "absent"].map(str::to_owned).into();
        issuer.admins = ["group:operators", "analysts"].map(str::to_owned).into();
    });
    let more = json!({
        "aud": ["other", "mesh"], "nbf": now() - 5, "realm_access": { "roles": ["analysts", 7, {}] },
        "region": ["eu", "us"], "https://id.test/level": 3, "verified": true, "mail": "ann@id.test",
    });
    let identity = node.check(more).await.unwrap();
    let principal = &identity.principal;
    assert_eq!(principal.name(), "ann");
    assert!(principal.groups().iter().eq(["7", "analysts"]) && !principal.is_admin() && !identity.node);
    let expected = json!({ "region": ["eu", "us"], "https://id.test/level": ["3"], "verified": ["true"] });
    assert_eq!(json!(principal.attributes()), expected);
    assert!(identity.expires.unwrap() > SystemTime::now() + Duration::from_secs(600));

    let operator = node.check(json!({ "realm_access": { "roles": "analysts operators" } })).await.unwrap();
    assert!(operator.principal.is_admin() && operator.principal.groups().len() == 2);
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said() {
    let node = trusting(|_| {});
    for (changed, says) in [
        (json!({ "exp": now() - 120 }), "expired"),
        (json!({ "exp": "soon" }), "`exp`"),
        (json!({ "exp": null }), "`exp`"),
        (json!({ "nbf": now() + 120 }), "not valid yet"),
        (json!({ "aud": "other" }), "`portolan`"),
        (json!({ "aud": [] }), "`portolan`"),
        (json!({ "aud": null }), "`aud`"),
        (json!({ "iss": "https://evil.test" }), "issuer"),
        (json!({ "iss": [ISSUER] }), "issuer"),
        (json!({ "sub": "anonymous" }), "anonymous"),
        (json!({ "sub": "" }), "name of a principal"),
        (json!({ "sub": "ann\u{202e}" }), "name of a principal"),
        (json!({ "groups": ["analysts", "a\n2026-01-01 WARN"] }), "group"),
        (json!({ "sub": 7 }), "`sub`"),
    ] {
        let error = node.check(changed.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{changed}");
        assert!(error.chain().contains(says), "{changed}: {}", error.chain());
    }
    // Clocks differ.
    assert!(node.check(json!({ "exp": now() - 30 })).await.is_ok());
    assert!(node.check(json!({ "nbf": now() + 30 })).await.is_ok());
}

#[tokio::test]
async fn only_signatures_by_the_published_key_are_taken() {
    let node = trusting(|_| {});
    let good = node.provider.sign(&header(), &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let forged = URL_SAFE_NO_PAD
        .encode(json!({ "iss": ISSUER, "aud": "portolan", "sub": "eve", "exp": now() + 600 }).to_string());
    let with = |header: Value| node.provider.sign(&header, &claims());
    for (token, says) in [
        (Provider::new().sign(&header(), &claims()), "signature"),
        (format!("{head}.{forged}.{signature}"), "signature"),
        (format!("{head}.{body}."), "signature"),
        (with(json!({ "alg": "none" })), "not signed"),
        (with(json!({ "alg": "nOnE", "kid": "one" })), "not signed"),
        (with(json!({ "alg": "HS256", "kid": "one" })), "shared secret"),
        (with(json!({ "alg": "RS256", "kid": "one" })), "not meant for it"),
        (with(json!({ "alg": "ES512", "kid": "one" })), "algorithm"),
        (with(json!({ "alg": "ES256", "kid": "two" })), "does not publish"),
        (with(json!({ "alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false })), "crit"),
        (format!("{head}.{body}"), "malformed"),
        (format!("x{good}"), "malformed"),
        (format!("{good}.{signature}"), "malformed"),
        (String::new(), "malformed"),
        ("a".repeat(MAX_BYTES + 1), "larger"),
    ] {
        let error = node.tokens.check(&token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{token}");
        let said = format!("{} {error:?}", error.chain());
        assert!(said.contains(says), "{said}");
        assert!(!said.contains(signature) && !said.contains(body), "{said}");
    }
    // A token need not name the key if there is only one.
    assert!(node.tokens.check(&with(json!({ "alg": "ES256" }))).await.is_ok());
}

#[test]
fn issuers_must_make_sense() {
    let file = Path::new("keys.json");
    let none: [&str; 0] = [];
    assert!(tokens(vec![issuer(file), issuer(file)]).is_err());
    assert!(tokens(vec![TokenIssuer::new(ISSUER, none, KeySource::File(file.to_owned()))]).is_err());
    assert!(tokens(vec![TokenIssuer::new("", ["a"], KeySource::File(file.to_owned()))]).is_err());
    assert!(tokens(vec![TokenIssuer { skew: Duration::from_secs(3600), ..issuer(file) }]).is_err());
}

#[test]
fn the_form_of_a_token_is_told_from_passwords() {
    let token = Provider::new().sign(&header(), &claims());
    assert!(is_jwt(&token));
    for other in ["", "eyes.of.the world", "ey", "a.b.c", "correct-horse-battery"] {
        assert!(!is_jwt(other), "{other}");
    }
}
