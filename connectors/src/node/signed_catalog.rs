//! The catalog exchange between nodes. A node signs each answer with its key, for one request and for its own URLs. The
//! signature proves who owns the domains in the catalog: a node cannot pass the answer of another node off as its own.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use portolan_catalog::printable;
use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::keys::{NodeKey, PublicKey};
use super::token::{UncheckedToken, sign_token};
use crate::error::{Error, ErrorKind, Result};
use crate::peer::CatalogAnswer;

/// The type of the token that names the owner of a catalog.
pub const CATALOG_TYPE: &str = "portolan-catalog+jwt";
/// The size of the longest nonce that a node signs, in bytes.
pub const MAX_NONCE_BYTES: usize = 128;
/// The largest number of a node's URLs that an error shows, and of characters of each.
const SHOWN_URLS: usize = 3;
const SHOWN_CHARACTERS: usize = 200;
/// The hosts that mean the machine itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A request for a node's catalog. `Debug` does not show the proof.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct CatalogRequest {
    /// The version in the last answer.
    #[prost(string, optional, tag = "1")]
    pub known: Option<String>,
    /// The sender's [login token](super::token::LOGIN_TYPE), if the sender has a key. Only a trusted node gets the
    /// statistics of classified columns.
    #[prost(string, optional, tag = "2")]
    pub proof: Option<String>,
    /// A random text that the answer repeats under its signature, so that no earlier answer fits.
    #[prost(string, tag = "3")]
    pub nonce: String,
}

/// The answer to a [`CatalogRequest`].
#[derive(Clone, PartialEq, Message)]
pub struct SignedCatalog {
    /// The signature: a token with the key, the nonce of the request and the digest of the content.
    #[prost(string, tag = "1")]
    pub token: String,
    /// A [`CatalogContent`] in JSON.
    #[prost(bytes = "bytes", tag = "2")]
    pub content: Bytes,
}

/// The signed content of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogContent {
    /// The identity of the process that answers.
    pub instance: String,
    /// The URLs of the node: its audiences. Without them, a node could forward the request to the owner of a domain,
    /// and claim the domain with the owner's answer.
    pub audiences: Vec<String>,
    /// The answer.
    pub answer: CatalogAnswer,
}

/// The claims of the token.
#[derive(Serialize, Deserialize)]
struct CatalogClaims {
    /// The key, as `PublicKey` prints it.
    iss: String,
    /// The nonce of the request.
    nonce: String,
    /// The digest of the content.
    catalog: String,
}

impl SignedCatalog {
    /// Signs `content` as the answer to the request with this nonce.
    ///
    /// # Errors
    /// `Internal` if the content cannot be encoded or signed.
    pub fn sign(key: &NodeKey, nonce: &str, content: &CatalogContent) -> Result<Self> {
        let content = serde_json::to_vec(content)
            .map_err(|e| Error::new(ErrorKind::Internal, "the catalog cannot be encoded").with_source(e))?;
        let claims =
            CatalogClaims { iss: key.public().to_string(), nonce: nonce.to_owned(), catalog: digest(&content) };
        Ok(Self { token: sign_token(key, CATALOG_TYPE, &claims)?, content: content.into() })
    }

    /// Returns the key that signed the answer to the request with this nonce, and the signed content.
    ///
    /// # Errors
    /// `SiteUnavailable` if the answer is malformed, or not signed for this request.
    pub fn verify(&self, nonce: &str) -> Result<(PublicKey, CatalogContent)> {
        let signed = || {
            let token = UncheckedToken::read(&self.token)?;
            let key = PublicKey::from_text(token.issuer())?;
            let claims: CatalogClaims = token.claims(CATALOG_TYPE, &key)?;
            Some((key, claims))
        };
        let (key, claims) = signed().ok_or_else(|| invalid("its catalog has no valid signature"))?;
        if claims.nonce != nonce {
            return Err(invalid("its catalog is signed for another request"));
        }
        if claims.catalog != digest(&self.content) {
            return Err(invalid("its catalog is not the one that it signed"));
        }
        let content =
            serde_json::from_slice(&self.content).map_err(|e| invalid("its catalog is malformed").with_source(e))?;
        Ok((key, content))
    }
}

impl CatalogContent {
    /// Checks that the signer is the node that the local node reaches as `audience`.
    ///
    /// # Errors
    /// The reason why it is not, and what to do.
    pub fn check_audience(&self, audience: &str) -> Result<(), String> {
        let reached = address(audience);
        if self.audiences.iter().any(|own| address(own) == reached) {
            return Ok(());
        }
        let own: Vec<String> = self.audiences.iter().take(SHOWN_URLS).map(|own| shown(own)).collect();
        let own = if own.is_empty() { "no URL".to_owned() } else { own.join(" or ") };
        Err(format!(
            "its catalog is signed for {own}, but the local node reaches it as {}: set `node.audiences` of the node \
             that signed, or list this peer in `peers` of the local node with its `audience`",
            shown(audience)
        ))
    }
}

impl fmt::Debug for CatalogRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogRequest").field("known", &self.known).finish_non_exhaustive()
    }
}

/// Returns a URL in the form that is compared.
fn address(url: &str) -> String {
    let url = url.trim_end_matches('/').to_ascii_lowercase().replacen("grpc+tcp://", "grpc://", 1);
    let Some((scheme, place)) = url.split_once("://") else { return url };
    let port = LOOPBACK.iter().find_map(|host| place.strip_prefix(host)).filter(|port| port.starts_with(':'));
    match port {
        Some(port) => format!("{scheme}://localhost{port}"),
        None => url,
    }
}

fn shown(url: &str) -> String {
    format!("`{}`", printable(&url.chars().take(SHOWN_CHARACTERS).collect::<String>()))
}

fn digest(content: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(b"portolan catalog\0");
    digest.update(content);
    BASE64_URL_SAFE_NO_PAD.encode(digest.finalize())
}

fn invalid(context: &str) -> Error {
    Error::new(ErrorKind::SiteUnavailable, context)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key() -> NodeKey {
        NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap()
    }

    fn content() -> CatalogContent {
        let audiences = vec!["grpc://people.example.org:50051".to_owned(), "grpc://127.0.0.1:7".to_owned()];
        CatalogContent { instance: "i".to_owned(), audiences, answer: CatalogAnswer::Unchanged }
    }

    fn refusal(signed: &SignedCatalog, nonce: &str) -> String {
        signed.verify(nonce).unwrap_err().chain()
    }

    #[test]
    fn what_is_signed_is_verified() {
        let key = key();
        let signed = SignedCatalog::sign(&key, "n1", &content()).unwrap();
        assert_eq!(signed.verify("n1").unwrap(), (key.public().clone(), content()));
    }

    #[test]
    fn an_answer_fits_one_request_and_one_content() {
        let (key, other) = (key(), key());
        let signed = SignedCatalog::sign(&key, "n1", &content()).unwrap();
        assert!(refusal(&signed, "n2").contains("another request"));
        let mut changed = signed.clone();
        changed.content = serde_json::to_vec(&CatalogContent { instance: "j".to_owned(), ..content() }).unwrap().into();
        assert!(refusal(&changed, "n1").contains("not the one that it signed"));

        // The claims of one key under the signature of another.
        let claims =
            CatalogClaims { iss: key.public().to_string(), nonce: "n1".to_owned(), catalog: digest(&signed.content) };
        for token in [
            sign_token(&other, CATALOG_TYPE, &claims).unwrap(),
            sign_token(&key, "portolan-login+jwt", &claims).unwrap(),
            String::new(),
            signed.token.replacen('.', "", 1),
        ] {
            let forged = SignedCatalog { token, content: signed.content.clone() };
            assert!(refusal(&forged, "n1").contains("no valid signature"));
        }
    }

    #[test]
    fn a_catalog_is_signed_for_the_urls_of_its_node() {
        let content = content();
        for audience in
            ["grpc://people.example.org:50051", "grpc+tcp://People.example.org:50051/", "grpc://localhost:7"]
        {
            assert_eq!(content.check_audience(audience), Ok(()), "{audience}");
        }
        for audience in
            ["grpc://rogue:1", "grpc+tls://people.example.org:50051", "grpc://localhost:8", "grpc://localhost"]
        {
            let reason = content.check_audience(audience).unwrap_err();
            assert!(reason.contains("`grpc://people.example.org:50051`") && reason.contains(audience), "{reason}");
        }
        let hostile = CatalogContent { audiences: vec!["\x1b".repeat(1_000); 1_000], ..content };
        let reason = hostile.check_audience("grpc://a:1").unwrap_err();
        assert!(!reason.contains('\x1b') && reason.len() < 5_000, "{}", reason.len());
    }
}
