//! Public-key signatures for `jsonwebtoken`, checked with `ring`. This module cannot sign, and does not support shared
//! secrets.

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtSigner, JwtVerifier};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature as ring_signature;
use ring_signature::{RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: no_signer, verifier_factory: verifier, jwk_utils: JwkUtils::new_unimplemented() };

/// Makes `jsonwebtoken` check signatures with `ring`. If the embedding program has already chosen another provider,
/// that choice stays.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(new_error(ErrorKind::InvalidAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    use AlgorithmFamily::{Ec, Ed, Rsa};
    let (family, check) = match algorithm {
        Algorithm::RS256 => (Rsa, Check::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA256)),
        Algorithm::RS384 => (Rsa, Check::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA384)),
        Algorithm::RS512 => (Rsa, Check::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA512)),
        Algorithm::PS256 => (Rsa, Check::Rsa(&ring_signature::RSA_PSS_2048_8192_SHA256)),
        Algorithm::PS384 => (Rsa, Check::Rsa(&ring_signature::RSA_PSS_2048_8192_SHA384)),
        Algorithm::PS512 => (Rsa, Check::Rsa(&ring_signature::RSA_PSS_2048_8192_SHA512)),
        Algorithm::ES256 => (Ec, Check::Point(&ring_signature::ECDSA_P256_SHA256_FIXED)),
        Algorithm::ES384 => (Ec, Check::Point(&ring_signature::ECDSA_P384_SHA384_FIXED)),
        Algorithm::EdDSA => (Ed, Check::Point(&ring_signature::ED25519)),
        _ => return Err(new_error(ErrorKind::InvalidAlgorithm)),
    };
    // A secret or a key of another type must not be used as a key of this type.
    if key.family() != family {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(Box::new(SignatureKey { algorithm: *algorithm, check, key: key.clone() }))
}

enum Check {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

struct SignatureKey {
    algorithm: Algorithm,
    check: Check,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for SignatureKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let verified = match (&self.check, self.key.kind()) {
            (Check::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let (n, e) = (without_zeros(n), without_zeros(e));
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Check::Point(algorithm), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(*algorithm, point).verify(message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

/// Some providers put a zero before a number, as ASN.1 does, and `ring` rejects it.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

impl JwtVerifier for SignatureKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests;
