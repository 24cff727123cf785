//! Tests of tokens: what is signed can be read, and nothing else passes for it.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::Schema;

use super::*;

fn gateway() -> NodeIdentity {
    let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
    NodeIdentity::new("gateway", key).unwrap()
}

fn request(left: Duration) -> FragmentRequest {
    FragmentRequest {
        query_id: "q".to_owned(),
        delegation: Delegation { via: vec!["a".to_owned(), "b".to_owned()], ..Delegation::of("ann") },
        plan: b"plan"[..].into(),
        keys: vec![b"keys"[..].into()],
        schema: Arc::new(Schema::empty()),
        hops: 3,
        deadline: Instant::now() + left,
        measured: false,
    }
}

#[test]
fn what_is_signed_is_read() {
    let gateway = gateway();
    let token = gateway.identity("grpc://owner:1", &request(Duration::from_secs(600))).unwrap();
    let read = UncheckedToken::read(&token).unwrap();
    assert_eq!((read.kind(), read.issuer()), (IDENTITY_TYPE, "gateway"));
    let claims: IdentityClaims = read.claims(IDENTITY_TYPE, gateway.key.public()).unwrap();
    assert_eq!((claims.registered.sub.as_str(), claims.registered.aud.as_str()), ("ann", "grpc://owner:1"));
    assert_eq!(claims.registered.exp - claims.registered.iat, MAX_LIFE);
    assert_eq!(claims.chain(), ["a", "b", "gateway"]);
    assert_eq!(claims.fragment, fragment_digest(&b"plan"[..].into(), &[b"keys"[..].into()]));
    let short = gateway.identity("x", &request(Duration::from_secs(3))).unwrap();
    let short: IdentityClaims =
        UncheckedToken::read(&short).unwrap().claims(IDENTITY_TYPE, gateway.key.public()).unwrap();
    assert!(short.registered.exp - short.registered.iat <= 4, "it does not outlive its query");
    assert_ne!(short.registered.jti, claims.registered.jti);
}

#[test]
fn nothing_else_passes_for_it() {
    let (key, other) = (gateway(), gateway());
    let token = key.login("grpc://owner:1").unwrap();
    let check = |token: &str, kind: &str, by: &NodeIdentity| {
        UncheckedToken::read(token).and_then(|t| t.claims::<Claims>(kind, by.key.public())).is_some()
    };
    assert!(check(&token, LOGIN_TYPE, &key));
    assert!(!check(&token, IDENTITY_TYPE, &key), "a login is no identity");
    assert!(!check(&token, LOGIN_TYPE, &other));
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let header_of = |alg: &str, more: &str| {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{alg}\",\"typ\":\"{LOGIN_TYPE}\"{more}}}"))
    };
    for forged in [
        format!("{}.{claims}.", header_of("none", "")),
        format!("{}.{claims}.{signature}", header_of("none", "")),
        format!("{}.{claims}.{signature}", header_of("ES256", "")),
        format!("{}.{claims}.{signature}", header_of("EdDSA", ",\"crit\":[\"b64\"]")),
        format!("{header}.{}.{signature}", claims.replacen('I', "J", 1)),
        format!("{header}.{claims}"),
        format!("{token}.{signature}"),
        "x".repeat(MAX_TOKEN_BYTES + 1),
    ] {
        assert!(!check(&forged, LOGIN_TYPE, &key), "{forged}");
    }
}

#[test]
fn bytes_cannot_be_moved_between_plan_and_keys() {
    let of = |plan: &'static [u8], keys: &[&'static [u8]]| {
        fragment_digest(&plan.into(), &keys.iter().map(|k| Bytes::from_static(k)).collect::<Vec<_>>())
    };
    let all = [of(b"ab", &[]), of(b"a", &[b"b"]), of(b"", &[b"ab"]), of(b"a", &[b"", b"b"]), of(b"a", &[b"b", b""])];
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn names_that_would_deceive_are_refused() {
    for name in ["", "a b", "gate\nway", "ü", &"x".repeat(129)] {
        let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
        assert!(NodeIdentity::new(name, key).is_err(), "{name}");
    }
    assert!(!format!("{:?}", gateway()).contains("PRIVATE"));
}
