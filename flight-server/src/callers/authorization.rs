//! What an `authorization` header holds. What it claims is checked elsewhere.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use portolan_engine::Result;

use crate::failure::unauthenticated;

/// Go's clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an `authorization` header holds.
#[derive(PartialEq, Eq)]
pub(crate) enum Authorization {
    /// Nothing, or what drivers send that have nothing to say.
    Nobody,
    /// A token: a session's that a login gave, or an identity provider's.
    Bearer(String),
    /// A user's name and password.
    Basic(String, String),
}

impl Authorization {
    /// Reads the header.
    pub(crate) fn parse(header: &str) -> Result<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        let rest = rest.trim();
        match scheme.to_ascii_lowercase().as_str() {
            "" => Ok(Self::Nobody),
            "bearer" if rest.is_empty() || rest == "None" => Ok(Self::Nobody),
            "bearer" => Ok(Self::Bearer(rest.to_owned())),
            "basic" => {
                let text = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                match text.as_deref().and_then(|text| text.split_once(':')) {
                    Some(("", "")) => Ok(Self::Nobody),
                    Some((user, password)) => Ok(Self::Basic(user.to_owned(), password.to_owned())),
                    None => Err(unauthenticated("the `authorization` header is malformed")),
                }
            }
            _ => Err(unauthenticated("the `authorization` header is neither `Basic` nor `Bearer`")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[test]
    fn headers_are_read() {
        let parse = |header: &str| Authorization::parse(header).unwrap_or_else(|e| panic!("{header}: {e}"));
        assert!(parse("") == Authorization::Nobody);
        assert!(parse("Bearer None") == Authorization::Nobody);
        assert!(parse("Bearer ") == Authorization::Nobody);
        assert!(parse("Bearer abc") == Authorization::Bearer("abc".to_owned()));
        assert!(parse(&basic("ann:se:cret")) == Authorization::Basic("ann".to_owned(), "se:cret".to_owned()));
        assert!(parse("Basic YW5uOng") == Authorization::Basic("ann".to_owned(), "x".to_owned()));
        assert!(parse("Basic YW5uOng=") == Authorization::Basic("ann".to_owned(), "x".to_owned()));
        assert!(Authorization::parse("Basic !!").is_err());
        assert!(Authorization::parse("Digest x").is_err());
    }
}
