//! The tokens that nodes sign: a login token authenticates a node, an identity token names the principal of a fragment,
//! and a catalog token (`signed_catalog.rs`) names the owner of a catalog. Tokens are compact JWTs (RFC 7519), with one
//! algorithm for each kind of key. The signer and the verifier share these types. The verifier decides which nodes it
//! trusts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::keys::{NodeKey, PublicKey};
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{EncodedPlan, FragmentHead, FragmentRequest};

/// The type of a token that names the principal of a fragment.
pub const IDENTITY_TYPE: &str = "portolan-identity+jwt";
/// The type of a token that a node logs in with.
pub const LOGIN_TYPE: &str = "portolan-login+jwt";
/// The longest validity of a token, in seconds. It only has to cover the time of transfer.
pub const MAX_LIFE: u64 = 60;
/// The size of the longest token that is signed or read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The largest number of characters of a node's name.
const MAX_NAME: usize = 128;

/// The identity of a node: its name, and the key that it signs with. `Debug` does not show the private half of the key.
#[derive(Debug)]
pub struct NodeIdentity {
    name: String,
    key: Arc<NodeKey>,
}

/// The claims of a node about a fragment that it sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityClaims {
    /// The claims of every token.
    #[serde(flatten)]
    pub registered: Claims,
    /// The groups of the principal.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// The attributes of the principal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The purpose that the principal's session declares, if it declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The query that the fragment is part of.
    pub query_id: String,
    /// The number of nodes that the query has passed through.
    pub hops: u32,
    /// The [`fragment_digest`] of the fragment.
    pub fragment: String,
    /// The node that sent the query to the signer, if another node sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// The claims of every token: the registered claims of a JWT (RFC 7519).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The node that signed the token.
    pub iss: String,
    /// The subject: the principal, or the node itself in a login token.
    pub sub: String,
    /// The node that the token is for, as the signer's config names it.
    pub aud: String,
    /// The time of the signature, in seconds since 1970.
    pub iat: u64,
    /// The time of expiry, in seconds since 1970.
    pub exp: u64,
    /// A unique id of the token.
    pub jti: String,
}

/// A node that a query has passed through, and the node before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// The node.
    pub sub: String,
    /// The node before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

/// A token whose signature is not verified yet. Never print it: anyone who has a token can use it.
pub struct UncheckedToken {
    header: Header,
    issuer: String,
    /// The header and the claims, as signed.
    message: String,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

/// The header of a token. Unknown keys are rejected, including `crit`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

impl NodeIdentity {
    /// Returns the identity of a node with this name and this key.
    ///
    /// # Errors
    /// `InvalidQuery` for an invalid name.
    pub fn new(name: &str, key: impl Into<Arc<NodeKey>>) -> Result<Self> {
        if !is_node_name(name) {
            return Err(Error::new(ErrorKind::InvalidQuery, format!("`{}` {NO_NAME}", name.escape_debug())));
        }
        Ok(Self { name: name.to_owned(), key: key.into() })
    }

    /// Returns the node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the node's key.
    pub fn key(&self) -> &Arc<NodeKey> {
        &self.key
    }

    /// Returns a token that authenticates this node to `audience`.
    ///
    /// # Errors
    /// `Internal` if the token cannot be signed.
    pub fn login(&self, audience: &str) -> Result<String> {
        sign_token(&self.key, LOGIN_TYPE, &self.registered(&self.name, audience, Duration::MAX)?)
    }

    /// Returns a token that proves the principal of `request` to `audience`. The sender needs a new token each time it
    /// sends the request.
    ///
    /// # Errors
    /// `ResourceExhausted` if the principal's groups and attributes are too long. `Internal` if the token cannot be
    /// signed.
    pub fn identity(&self, audience: &str, request: &FragmentRequest) -> Result<String> {
        let FragmentHead { query_id, principal, purpose, via, hops, deadline, measured: _, relayed: _, trace: _ } =
            &request.head;
        let EncodedPlan { plan, keys } = request.plan.encoded()?;
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let act = via.iter().fold(None, |before, node| Some(Actor { sub: node.clone(), act: before.map(Box::new) }));
        let claims = IdentityClaims {
            registered: self.registered(principal.name(), audience, left)?,
            groups: principal.groups().clone(),
            attributes: principal.attributes().clone(),
            purpose: purpose.clone(),
            query_id: query_id.clone(),
            hops: *hops,
            fragment: fragment_digest(plan, keys),
            act,
        };
        let token = sign_token(&self.key, IDENTITY_TYPE, &claims)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "the groups and attributes of `{principal}` make a token of {} bytes; a fragment can carry at most \
                     {MAX_TOKEN_BYTES}",
                    token.len()
                ),
            ));
        }
        Ok(token)
    }

    fn registered(&self, sub: &str, aud: &str, left: Duration) -> Result<Claims> {
        let iat = now()?;
        let life = left.as_secs().saturating_add(1).min(MAX_LIFE);
        let (sub, aud) = (sub.to_owned(), aud.to_owned());
        Ok(Claims { iss: self.name.clone(), sub, aud, iat, exp: iat + life, jti: Uuid::new_v4().to_string() })
    }
}

impl IdentityClaims {
    /// Returns the nodes that the query has passed through, in order. The signer is the last one.
    pub fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.registered.iss.clone()];
        let mut next = self.act.as_ref();
        while let Some(actor) = next {
            chain.push(actor.sub.clone());
            next = actor.act.as_deref();
        }
        chain.reverse();
        chain
    }
}

impl UncheckedToken {
    /// Parses a token. Returns `None` if it is not a node's token.
    pub fn read(token: &str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        let Issuer { iss } = serde_json::from_slice(&claims).ok()?;
        Some(Self { header, issuer: iss, message: message.to_owned(), claims, signature })
    }

    /// Returns the type that the token claims.
    pub fn kind(&self) -> &str {
        &self.header.typ
    }

    /// Returns the node that the token claims as its signer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the claims if the token is of type `kind` and signed with `key`. The key decides the algorithm: the
    /// algorithm in the token must match, and never selects one.
    pub fn claims<T: DeserializeOwned>(&self, kind: &str, key: &PublicKey) -> Option<T> {
        let agrees = self.header.typ == kind && self.header.alg == key.algorithm().name();
        if agrees && key.verifies(self.message.as_bytes(), &self.signature) {
            serde_json::from_slice(&self.claims).ok()
        } else {
            None
        }
    }
}

const NO_NAME: &str = "is not a valid node name: use letters, digits, `.`, `-` and `_`, at most 128 characters";

/// True if `name` is a valid name of a node. Errors and logs show such names before the sender is authenticated, so
/// they are restricted.
pub fn is_node_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(fits)
}

/// Returns the digest that binds a token to a fragment: a digest of the plan and of the pushed-down keys.
pub fn fragment_digest(plan: &Bytes, keys: &[Bytes]) -> String {
    let mut digest = Sha256::new();
    digest.update(b"portolan fragment\0");
    // The lengths ensure that no bytes can be moved from one part to the next.
    for part in std::iter::once(plan).chain(keys) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(digest.finalize())
}

/// Returns the current time, in seconds since 1970.
///
/// # Errors
/// `Internal` if the clock is set to a time before 1970.
pub fn now() -> Result<u64> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs())
        .map_err(|e| Error::new(ErrorKind::Internal, "the clock is set to a time before 1970").with_source(e))
}

/// Returns a token of type `typ` with these claims. The claims include the signer, as `iss`.
///
/// # Errors
/// `Internal` if the token cannot be signed.
pub(super) fn sign_token<T: Serialize>(key: &NodeKey, typ: &str, claims: &T) -> Result<String> {
    let header = Header { alg: key.public().algorithm().name().to_owned(), typ: typ.to_owned() };
    let mut token = format!("{}.{}", encoded(&header)?, encoded(claims)?);
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(token.as_bytes())?);
    token.push('.');
    token.push_str(&signature);
    Ok(token)
}

fn encoded<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_vec(value)
        .map(|json| BASE64_URL_SAFE_NO_PAD.encode(json))
        .map_err(|e| Error::new(ErrorKind::Internal, "a token cannot be encoded").with_source(e))
}

#[cfg(test)]
mod tests;
