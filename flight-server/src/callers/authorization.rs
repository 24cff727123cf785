//! The `authorization` header and the kinds of credentials in it. `authenticate.rs` checks the credentials.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use portolan_engine::{Error, Result};

use super::headers::Headers;
use crate::failure::unauthenticated;

/// A decoder that accepts missing padding, because Go's clients omit it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The contents of an `authorization` header.
#[derive(PartialEq, Eq)]
pub(crate) enum Authorization {
    /// No credentials, or a placeholder that drivers send instead.
    Nobody,
    /// A token of a session, which a login returned, or of an identity provider.
    Bearer(String),
    /// A user name and a password.
    Basic(String, String),
}

impl Authorization {
    /// Reads the `authorization` header of a call.
    pub(crate) fn of(headers: &Headers<'_>) -> Result<Self> {
        match headers.all("authorization").next() {
            Some(Some(text)) => Self::parse(text),
            Some(None) => Err(malformed()),
            None => Ok(Self::Nobody),
        }
    }

    /// Parses the header.
    fn parse(header: &str) -> Result<Self> {
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
                    None => Err(malformed()),
                }
            }
            _ => Err(unauthenticated("the `authorization` header is neither `Basic` nor `Bearer`")),
        }
    }
}

fn malformed() -> Error {
    unauthenticated("the `authorization` header is malformed")
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

    #[test]
    fn a_missing_header_is_nobodys_and_one_that_is_no_text_is_malformed() {
        let of = |values: &[Option<&'static str>]| {
            Authorization::of(&values.iter().map(|value| ("authorization", *value)).collect())
        };
        assert!(of(&[]).is_ok_and(|read| read == Authorization::Nobody));
        assert!(of(&[Some("Bearer abc")]).is_ok_and(|read| read == Authorization::Bearer("abc".to_owned())));
        assert!(of(&[None]).is_err() && of(&[None, Some("Bearer abc")]).is_err());
    }
}
