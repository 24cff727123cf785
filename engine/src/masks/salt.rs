//! The secrets of hashes: the salt of a query, and the key of a principal.

use std::fmt::{self, Debug, Formatter};

use arrow::error::ArrowError;
use portolan_governance::{Mask, MaskKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// The secret of a hash: the random bytes that [`Mask::Sha256QueryLocal`] puts before each value of a query, or the key of
/// [`Mask::HmacSha256`] for a principal and a purpose.
///
/// A client that knows the secret can test guesses of the values. No output shows it: `Debug` prints none of its bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Salt([u8; Self::LENGTH]);

impl Salt {
    /// The length of a salt, in bytes.
    pub(crate) const LENGTH: usize = 32;
    /// The shortest salt that Iceberg accepts, in bytes.
    pub(crate) const SHORTEST: usize = 16;

    /// Returns a new salt from the random numbers of the system.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn random() -> Result<Self, ArrowError> {
        let mut bytes = [0; Self::LENGTH];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| ArrowError::ComputeError("the system returned no random numbers for a salt".to_owned()))?;
        Ok(Self(bytes))
    }

    /// Returns the key of a principal and a purpose, derived from the key of the mesh.
    pub(crate) fn keyed(key: &MaskKey, name: &str, purpose: Option<&str>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let mut bytes = [0; Self::LENGTH];
        bytes.copy_from_slice(hmac::sign(&key, MaskKey::message(name, purpose).as_bytes()).as_ref());
        Self(bytes)
    }

    /// Returns the salt of these bytes, for the sites of one query: they hash equal values to equal digests.
    pub(crate) const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the salt.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Debug for Salt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// Returns the secret of a mask if it is long enough.
pub(super) fn checked(mask: Mask, salt: Option<&[u8]>) -> Result<&[u8], ArrowError> {
    match salt {
        Some(salt) if salt.len() >= Salt::SHORTEST => Ok(salt),
        given => Err(ArrowError::InvalidArgumentError(format!(
            "expected a salt of at least {} bytes for `{mask}`, got {}",
            Salt::SHORTEST,
            given.map_or_else(|| "none".to_owned(), |salt| format!("{} bytes", salt.len())),
        ))),
    }
}
