//! The key of the mesh for the mask `hmac-sha-256`. Nodes that have the same key hash equal values to equal digests for
//! the same principal and purpose.

use std::fmt;
use std::sync::Arc;

/// A key for keyed hashes, which all nodes of a mesh share whose masked columns join. `Debug` shows none of its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct MaskKey(Arc<[u8]>);

impl MaskKey {
    /// The shortest key, in bytes. A shorter one could be guessed from the hash of a known value.
    pub const SHORTEST: usize = 32;

    /// Returns the key of a text, without white space around it. The text should be random.
    ///
    /// # Errors
    /// The text is too short: a message for the author of the config, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = text.trim().as_bytes();
        if bytes.len() < Self::SHORTEST {
            let (shortest, length) = (Self::SHORTEST, bytes.len());
            return Err(format!("expected a key of at least {shortest} bytes for the masks of the mesh, got {length}"));
        }
        Ok(Self(bytes.into()))
    }

    /// Returns the bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the message whose HMAC with this key is the key of a principal and a purpose. Different pairs have
    /// different messages. The version allows for another derivation.
    pub fn message(name: &str, purpose: Option<&str>) -> String {
        let purpose = purpose.unwrap_or_default();
        format!("portolan-mask:1:{}:{name}:{purpose}", name.len())
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn short_keys_are_refused_and_no_key_is_shown() {
        let text = "0123456789abcdef0123456789abcdef";
        let key = MaskKey::parse(&format!(" {text}\n")).unwrap();
        assert_eq!(key.as_bytes(), text.as_bytes());
        assert_eq!(format!("{key:?}"), "MaskKey(..)");
        let error = MaskKey::parse(&text[1..]).unwrap_err();
        assert_eq!(error, "expected a key of at least 32 bytes for the masks of the mesh, got 31");
    }

    #[test]
    fn principals_and_purposes_have_messages_of_their_own() {
        assert_eq!(MaskKey::message("ann", Some("fraud")), "portolan-mask:1:3:ann:fraud");
        assert_ne!(MaskKey::message("ann", None), MaskKey::message("ann", Some("fraud")));
        assert_ne!(MaskKey::message("ann:b", None), MaskKey::message("ann", Some("b:")));
        assert_ne!(MaskKey::message("ann", Some("b:c")), MaskKey::message("ann:b", Some("c")));
    }
}
