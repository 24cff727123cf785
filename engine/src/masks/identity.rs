//! The identity of a hash: two columns of hashes have equal values for equal originals only if their identities are equal.

use arrow::datatypes::DataType;
use portolan_governance::Mask;
use ring::digest::{SHA256, digest};
use ring::hmac;

use super::Salt;

/// The bytes of the digest that tells secrets apart.
const DIGEST_BYTES: usize = 16;

/// Returns the identity of a mask over a type, such as `hmac-sha-256/string/0f…`; `None` for masks that do not hash. The
/// hashes of one number in two types differ, and so do those of a string and of its bytes.
pub(super) fn identity(mask: Mask, secret: Option<&Salt>, data_type: &DataType) -> Option<String> {
    if !mask.is_hash() {
        return None;
    }
    let kind = match data_type {
        DataType::Dictionary(_, values) => return identity(mask, secret, values),
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary",
        _ => "string",
    };
    Some(match secret {
        None => format!("{mask}/{kind}"),
        Some(secret) => format!("{mask}/{kind}/{}", digest_of(secret)),
    })
}

/// Returns a digest of a secret. It is no masked value of the secret, so that no value can be tested with it.
fn digest_of(secret: &Salt) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digest = digest(&SHA256, hmac::sign(&key, b"portolan mask identity").as_ref());
    digest.as_ref().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
