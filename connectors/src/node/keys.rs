//! The keys of nodes. The private half signs a node's claims, and the public half verifies them. Keys are Ed25519, or
//! ECDSA over P-256. This module knows nothing else about a node's identity.

use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use webpki::EndEntityCert;

use crate::error::{Error, ErrorKind, Result};

/// The prefix of the 32 bytes of a public Ed25519 key (RFC 8410, section 4).
const ED25519_PUBLIC: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The prefix of the 32 bytes of a private Ed25519 key (section 7), in the encoding that every tool reads.
const ED25519_PRIVATE: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// The prefix of the 65 bytes of an uncompressed public key over P-256 (RFC 5480, section 2).
const P256_PUBLIC: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// The signature algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    EdDsa,
    Es256,
}

/// A node's own key. `Debug` shows only the public half.
pub struct NodeKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    // In a box, because it has twice the size of the other variant.
    P256(Box<EcdsaKeyPair>),
}

/// The public half of a node's key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    key: Vec<u8>,
}

impl Algorithm {
    /// Returns the name of the algorithm in a JWT.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// Returns the label of the algorithm in the text of a public key.
    fn label(self) -> &'static str {
        match self {
            Self::EdDsa => "ed25519",
            Self::Es256 => "p256",
        }
    }

    /// Returns the prefix of public keys of this kind.
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::EdDsa => ED25519_PUBLIC,
            Self::Es256 => P256_PUBLIC,
        }
    }

    /// Returns the length of public keys of this kind, in bytes.
    fn length(self) -> usize {
        match self {
            Self::EdDsa => 32,
            Self::Es256 => 65,
        }
    }
}

impl NodeKey {
    /// Generates an Ed25519 key, as PEM. A node's config names the file of such a key as `node.key`.
    ///
    /// # Errors
    /// `Internal` if the system's random number generator fails.
    pub fn generate() -> Result<String> {
        let mut der = ED25519_PRIVATE.to_vec();
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| Error::new(ErrorKind::Internal, "the system's random number generator failed"))?;
        der.extend_from_slice(&seed);
        Ok(pem("PRIVATE KEY", &der))
    }

    /// Reads the key from the text of a PEM file: PKCS#8, Ed25519 or EC P-256.
    ///
    /// # Errors
    /// `InvalidQuery` for anything else. The error contains no part of the text.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let wrong = || {
            invalid(
                "is not a node's private key: expected PEM in PKCS#8 (`BEGIN PRIVATE KEY`) with an Ed25519 or EC P-256 \
                 key; `portolan node-key` creates one",
            )
        };
        let der = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| wrong())?;
        let der = der.secret_pkcs8_der();
        let (pair, algorithm) = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(pair) => (Pair::Ed25519(pair), Algorithm::EdDsa),
            Err(_) => {
                let random = SystemRandom::new();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random);
                (Pair::P256(Box::new(pair.map_err(|_| wrong())?)), Algorithm::Es256)
            }
        };
        let key = match &pair {
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::P256(pair) => pair.public_key().as_ref().to_vec(),
        };
        Ok(Self { pair, public: PublicKey { algorithm, key } })
    }

    /// Returns the public half, for the configs of other nodes.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`. Returns the signature in the encoding of a JWT.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Error::new(ErrorKind::Internal, "cannot sign with the node's key")),
        }
    }
}

impl PublicKey {
    /// Reads a PEM text: a public key, or a certificate. Only the key of a certificate is used.
    ///
    /// # Errors
    /// `InvalidQuery` for anything else. The error says so if the text is a private key.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let der = match SubjectPublicKeyInfoDer::from_pem_slice(text) {
            Ok(der) => der.as_ref().to_vec(),
            Err(_) => certified(text)?,
        };
        [Algorithm::EdDsa, Algorithm::Es256]
            .into_iter()
            .find_map(|algorithm| {
                let key = der.strip_prefix(algorithm.prefix())?;
                (key.len() == algorithm.length()).then(|| Self { algorithm, key: key.to_vec() })
            })
            .ok_or_else(|| invalid("is a public key of an unsupported kind: expected Ed25519 or EC P-256"))
    }

    /// Reads a key from the text that `Display` prints, such as `ed25519:…`. Returns `None` for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let (label, key) = text.split_once(':')?;
        let algorithm = [Algorithm::EdDsa, Algorithm::Es256].into_iter().find(|a| a.label() == label)?;
        let key = BASE64_URL_SAFE_NO_PAD.decode(key).ok().filter(|key| key.len() == algorithm.length())?;
        Some(Self { algorithm, key })
    }

    /// Returns the key in PEM, for the `trusted_nodes` of other nodes.
    pub fn to_pem(&self) -> String {
        let der: Vec<u8> = self.algorithm.prefix().iter().chain(&self.key).copied().collect();
        pem("PUBLIC KEY", &der)
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// True if the private half of this key made the signature.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.algorithm {
            Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, &self.key).verify(message, signature),
            Algorithm::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.key).verify(message, signature),
        };
        verified.is_ok()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.label(), BASE64_URL_SAFE_NO_PAD.encode(&self.key))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), BASE64_STANDARD.encode(&self.key))
    }
}

/// Returns the public key of a certificate.
fn certified(text: &[u8]) -> Result<Vec<u8>> {
    if PrivatePkcs8KeyDer::from_pem_slice(text).is_ok() {
        return Err(invalid("is a private key: expected the public key, which `portolan node-key` prints"));
    }
    let wrong = || invalid("is neither a public key nor a certificate in PEM");
    let certificate = CertificateDer::from_pem_slice(text).map_err(|_| wrong())?;
    let certificate = EndEntityCert::try_from(&certificate).map_err(|_| wrong())?;
    Ok(certificate.subject_public_key_info().as_ref().to_vec())
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

fn invalid(context: &str) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Returns a key over P-256 and a certificate for it.
    fn p256() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
        (made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn both_kinds_sign_what_their_public_halves_verify() {
        let (made, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
        let other = NodeKey::from_pem(other.as_bytes()).unwrap();
        for text in [made, p256().0] {
            let key = NodeKey::from_pem(text.as_bytes()).unwrap();
            let public = PublicKey::from_pem(key.public().to_pem().as_bytes()).unwrap();
            assert_eq!(&public, key.public());
            let text = public.to_string();
            assert_eq!(PublicKey::from_text(&text).as_ref(), Some(&public), "{text}");
            assert_eq!(PublicKey::from_text(&text[..text.len() - 1]), None, "{text}");
            let signature = key.sign(b"message").unwrap();
            assert!(public.verifies(b"message", &signature));
            assert!(!public.verifies(b"messagE", &signature));
            assert!(!other.public().verifies(b"message", &signature));
        }
    }

    #[test]
    fn a_certificate_stands_for_its_key() {
        let (key, certificate) = p256();
        let key = NodeKey::from_pem(key.as_bytes()).unwrap();
        assert_eq!(&PublicKey::from_pem(certificate.as_bytes()).unwrap(), key.public());
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let made = NodeKey::generate().unwrap();
        let secret = made.lines().nth(1).unwrap();
        let cut = made.replace(secret, &secret[4..]);
        for text in ["", "se:cret", cut.as_str(), p256().1.as_str()] {
            let error = NodeKey::from_pem(text.as_bytes()).unwrap_err();
            assert!(error.chain().contains("portolan node-key"), "{}", error.chain());
            assert!(!error.chain().contains("se:cret") && !error.chain().contains(&secret[4..]));
        }
        let error = PublicKey::from_pem(made.as_bytes()).unwrap_err();
        assert!(error.context().contains("is a private key"), "{}", error.context());
        assert!(PublicKey::from_pem(b"x").is_err());
        for text in ["", "ed25519", "ed25519:", "ed25519:AAAA", "rsa:AAAA", "ed25519:!"] {
            assert_eq!(PublicKey::from_text(text), None, "{text}");
        }
        let shown = format!("{:?}", NodeKey::from_pem(made.as_bytes()).unwrap());
        assert!(!shown.contains(secret) && !shown.contains(&secret[24..]), "{shown}");
    }
}
