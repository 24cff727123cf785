//! The keys of nodes: one half signs what a node says of its users, the other half checks it. Ed25519, or ECDSA over
//! P-256. Nothing else of a node's identity is known here.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use webpki::EndEntityCert;

use crate::error::{Error, ErrorKind, Result};

/// What stands before the 32 bytes of a public Ed25519 key (RFC 8410, section 4).
const ED25519_PUBLIC: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// What stands before the 32 bytes of a private one (section 7): the form that every tool reads.
const ED25519_PRIVATE: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// What stands before the 65 bytes of a public key over P-256 (RFC 5480, section 2), written without compression.
const P256_PUBLIC: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// How a key signs, by its name in a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    EdDsa,
    Es256,
}

/// A node's own key. Its `Debug` form shows the public half.
pub struct NodeKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    // Twice the size of the other.
    P256(Box<EcdsaKeyPair>),
}

/// The half of a node's key that others know.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    key: Vec<u8>,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// What a public key of this kind begins with.
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::EdDsa => ED25519_PUBLIC,
            Self::Es256 => P256_PUBLIC,
        }
    }

    /// How long a public key of this kind is.
    fn length(self) -> usize {
        match self {
            Self::EdDsa => 32,
            Self::Es256 => 65,
        }
    }
}

impl NodeKey {
    /// A new Ed25519 key, as PEM: what a node's config names as `node.key`.
    ///
    /// # Errors
    /// `Internal` where the system has no randomness to give.
    pub fn generate() -> Result<String> {
        let mut der = ED25519_PRIVATE.to_vec();
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| Error::new(ErrorKind::Internal, "the system has no randomness to give"))?;
        der.extend_from_slice(&seed);
        Ok(pem("PRIVATE KEY", &der))
    }

    /// The key in a PEM file: PKCS#8, Ed25519 or EC P-256.
    ///
    /// # Errors
    /// `InvalidQuery` for anything else. The error holds nothing of the text.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let wrong = || {
            invalid(
                "is no private key of a node: it takes PEM in PKCS#8 (`BEGIN PRIVATE KEY`) with an Ed25519 or EC P-256 \
                 key, as `portolan node-key` makes it",
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

    /// The half that others must know.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of `message`, in the form that a JWT takes.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Error::new(ErrorKind::Internal, "the node's key does not sign")),
        }
    }
}

impl PublicKey {
    /// The key in PEM: a public key, or a certificate, of which the key alone counts.
    ///
    /// # Errors
    /// `InvalidQuery` for anything else; a private key, which belongs elsewhere, is named as such.
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
            .ok_or_else(|| invalid("is a public key of another kind: nodes' keys are Ed25519 or EC P-256"))
    }

    /// The key in PEM, as others' `trusted_nodes` take it.
    pub fn to_pem(&self) -> String {
        let der: Vec<u8> = self.algorithm.prefix().iter().chain(&self.key).copied().collect();
        pem("PUBLIC KEY", &der)
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this key's other half made the signature.
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

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), BASE64_STANDARD.encode(&self.key))
    }
}

/// The public key that a certificate is for.
fn certified(text: &[u8]) -> Result<Vec<u8>> {
    if PrivatePkcs8KeyDer::from_pem_slice(text).is_ok() {
        return Err(invalid("is a private key: others are told the public one, which `portolan node-key` prints"));
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

    /// A key over P-256 and a certificate for it.
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
        let shown = format!("{:?}", NodeKey::from_pem(made.as_bytes()).unwrap());
        assert!(!shown.contains(secret) && !shown.contains(&secret[24..]), "{shown}");
    }
}
