//! What a node says and signs: that it is itself (to log in), and on whose behalf a fragment runs. Compact JWTs (RFC
//! 7519) with one algorithm to a key. Who signs and who checks share these types; whom to believe is the checker's
//! business.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::fragment::{FragmentHead, FragmentRequest};

/// The type of a token that says on whose behalf a fragment runs.
pub const IDENTITY_TYPE: &str = "portolan-identity+jwt";
/// The type of a token that a node logs in with.
pub const LOGIN_TYPE: &str = "portolan-login+jwt";
/// How long a token is good, in seconds, at most: as long as it may be on its way.
pub const MAX_LIFE: u64 = 60;
/// Bytes of the longest token that is made or read.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Characters of a node's name.
const MAX_NAME: usize = 128;

/// A node as others know it: its name, and the key that it signs with. Its `Debug` form does not show the key's private
/// half.
#[derive(Debug)]
pub struct NodeIdentity {
    name: String,
    key: NodeKey,
}

/// The claims of a node about a fragment that it sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityClaims {
    /// The claims that every token makes.
    #[serde(flatten)]
    pub registered: Claims,
    /// The groups of the principal.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// What else is known of the principal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The query that the fragment is part of.
    pub query_id: String,
    /// How many nodes the query went through.
    pub hops: u32,
    /// [`fragment_digest`] of the fragment.
    pub fragment: String,
    /// From whom the sender had the query, where another node sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// The claims that every token makes: the registered claims of a JWT (RFC 7519).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The node that signed.
    pub iss: String,
    /// Of whom it speaks: the principal, or in a login the node itself.
    pub sub: String,
    /// The node that it speaks to, as its own config names that one.
    pub aud: String,
    /// When it was signed, in seconds since 1970.
    pub iat: u64,
    /// Until when it is good.
    pub exp: u64,
    /// A number that no other token has.
    pub jti: String,
}

/// A node that a query went through, and from whom that one had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// The node.
    pub sub: String,
    /// The node before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

/// A token whose signature is not checked yet. Not to be printed: whoever reads it can use it.
pub struct UncheckedToken {
    header: Header,
    issuer: String,
    /// Header and claims, as they were signed.
    message: String,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

/// Keys that are not known here, `crit` among them, are refused.
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
    /// A node of that name with that key.
    ///
    /// # Errors
    /// `InvalidQuery` for a name that is none.
    pub fn new(name: &str, key: NodeKey) -> Result<Self> {
        if !is_node_name(name) {
            return Err(Error::new(ErrorKind::InvalidQuery, format!("`{}` {NO_NAME}", name.escape_debug())));
        }
        Ok(Self { name: name.to_owned(), key })
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A token that says to `audience` that this is the node.
    ///
    /// # Errors
    /// `Internal` where it cannot be signed.
    pub fn login(&self, audience: &str) -> Result<String> {
        self.signed(LOGIN_TYPE, &self.registered(&self.name, audience, Duration::MAX)?)
    }

    /// A token that says to `audience` on whose behalf `request` runs. It is made anew whenever the request is sent.
    ///
    /// # Errors
    /// `ResourceExhausted` for a principal of whom too much is to be said; `Internal` where it cannot be signed.
    pub fn identity(&self, audience: &str, request: &FragmentRequest) -> Result<String> {
        let FragmentHead { query_id, principal, via, hops, deadline, measured: _ } = &request.head;
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let act = via.iter().fold(None, |before, node| Some(Actor { sub: node.clone(), act: before.map(Box::new) }));
        let claims = IdentityClaims {
            registered: self.registered(principal.name(), audience, left)?,
            groups: principal.groups().clone(),
            attributes: principal.attributes().clone(),
            query_id: query_id.clone(),
            hops: *hops,
            fragment: fragment_digest(&request.encoded.plan, &request.encoded.keys),
            act,
        };
        let token = self.signed(IDENTITY_TYPE, &claims)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "groups and attributes of `{principal}` take {} bytes, and {MAX_TOKEN_BYTES} can travel with a \
                     fragment",
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

    fn signed<T: Serialize>(&self, typ: &str, claims: &T) -> Result<String> {
        let header = Header { alg: self.key.public().algorithm().name().to_owned(), typ: typ.to_owned() };
        let mut token = format!("{}.{}", encoded(&header)?, encoded(claims)?);
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(token.as_bytes())?);
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }
}

impl IdentityClaims {
    /// The nodes that the query went through, the first one first and the one that signed last.
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
    /// Reads a token; `None` where it is none of a node's.
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

    /// Its type, as it says itself.
    pub fn kind(&self) -> &str {
        &self.header.typ
    }

    /// The node that it says to be signed by.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What it says, where that is of type `kind` and signed with `key`. The algorithm is the key's: what the token says
    /// of it must agree and chooses nothing.
    pub fn claims<T: DeserializeOwned>(&self, kind: &str, key: &PublicKey) -> Option<T> {
        let agrees = self.header.typ == kind && self.header.alg == key.algorithm().name();
        if agrees && key.verifies(self.message.as_bytes(), &self.signature) {
            serde_json::from_slice(&self.claims).ok()
        } else {
            None
        }
    }
}

const NO_NAME: &str = "is no name for a node: it has letters, digits, `.`, `-` and `_`, at most 128 of them";

/// Whether `name` can be a node's: it is shown in errors and logs before anything is known of who says it.
pub fn is_node_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(fits)
}

/// What ties a token to a fragment: a digest of the plan and of the keys that go with it.
pub fn fragment_digest(plan: &Bytes, keys: &[Bytes]) -> String {
    let mut digest = Sha256::new();
    digest.update(b"portolan fragment\0");
    // With their lengths, so that no bytes can be moved from one to the next.
    for part in std::iter::once(plan).chain(keys) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(digest.finalize())
}

/// Seconds since 1970.
///
/// # Errors
/// `Internal` where the clock stands before that.
pub fn now() -> Result<u64> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs())
        .map_err(|e| Error::new(ErrorKind::Internal, "the clock stands before 1970").with_source(e))
}

fn encoded<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_vec(value)
        .map(|json| BASE64_URL_SAFE_NO_PAD.encode(json))
        .map_err(|e| Error::new(ErrorKind::Internal, "a token cannot be encoded").with_source(e))
}

#[cfg(test)]
mod tests;
