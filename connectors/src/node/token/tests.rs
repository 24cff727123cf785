//! Tests of tokens: signed tokens can be verified, and no others.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::Schema;

use super::*;
use crate::fragment::{EncodedPlan, FragmentPlan};
use crate::principal::Principal;

fn gateway() -> NodeIdentity {
    let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
    NodeIdentity::new("gateway", key).unwrap()
}

fn request(left: Duration) -> FragmentRequest {
    let via = vec!["a".to_owned(), "b".to_owned()];
    FragmentRequest {
        head: FragmentHead { via, hops: 3, ..FragmentHead::new("q", Principal::new("ann"), Instant::now() + left) },
        plan: FragmentPlan::Encoded(EncodedPlan { plan: b"plan"[..].into(), keys: vec![b"keys"[..].into()] }),
        schema: Arc::new(Schema::empty()),
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
    assert!(short.registered.exp - short.registered.iat <= 4, "a token does not outlive its query");
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
    assert!(!check(&token, IDENTITY_TYPE, &key), "a login token is not an identity token");
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

/// The claims of a fragment as its sender signs them. Other nodes read them, so they must not change within a version
/// of the protocol.
const CLAIMS: &str = concat!(
    r#"{"iss":"gateway","sub":"ann","aud":"grpc://owner:1","iat":1,"exp":61,"jti":"n","groups":["analysts"],"#,
    r#""attributes":{"region":["eu","us"]},"purpose":"audit","query_id":"q","hops":3,"fragment":"d","#,
    r#""act":{"sub":"b","act":{"sub":"a"}}}"#,
);

#[test]
fn claims_keep_their_form() {
    let text = str::to_owned;
    let claims = IdentityClaims {
        registered: Claims {
            iss: text("gateway"),
            sub: text("ann"),
            aud: text("grpc://owner:1"),
            iat: 1,
            exp: 61,
            jti: text("n"),
        },
        groups: [text("analysts")].into(),
        attributes: [(text("region"), vec![text("eu"), text("us")])].into(),
        purpose: Some(text("audit")),
        query_id: text("q"),
        hops: 3,
        fragment: text("d"),
        act: Some(Actor { sub: text("b"), act: Some(Box::new(Actor { sub: text("a"), act: None })) }),
    };
    assert_eq!(serde_json::to_string(&claims).unwrap(), CLAIMS);
    // Claims that a receiver does not know grant nothing.
    for more in ["", r#""admin":true,"#, r#""principal":{"admin":true},"#] {
        let sent = CLAIMS.replacen('{', &format!("{{{more}"), 1);
        assert_eq!(serde_json::from_str::<IdentityClaims>(&sent).unwrap(), claims, "{more}");
    }
}

#[test]
fn a_request_is_signed_with_what_its_receiver_reads() {
    let token = gateway().identity("grpc://owner:1", &request(Duration::from_secs(600))).unwrap();
    let read = UncheckedToken::read(&token).unwrap();
    let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&read.claims).unwrap();
    claims.retain(|name, _| !["iat", "exp", "jti"].contains(&name.as_str()));
    let expected = serde_json::json!({
        "iss": "gateway",
        "sub": "ann",
        "aud": "grpc://owner:1",
        "query_id": "q",
        "hops": 3,
        "fragment": fragment_digest(&b"plan"[..].into(), &[b"keys"[..].into()]),
        "act": { "sub": "b", "act": { "sub": "a" } },
    });
    assert_eq!(serde_json::Value::Object(claims), expected);
}
