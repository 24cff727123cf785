//! Identity providers in the config: the issuers whose tokens a node accepts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_flight_server::{KeySource, TokenIssuer};
use serde::Deserialize;

use super::check::Check;
use crate::units::Length;

/// The largest difference of clocks that a config may allow.
const MAX_SKEW: Duration = Duration::from_secs(600);
/// The shortest time between two requests for the keys.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// An identity provider whose tokens (JWT) are accepted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The issuer, as tokens have it in `iss`.
    pub issuer: String,
    /// The audiences of this node. A token has one of them in `aud`.
    pub audience: OneOrMore,
    /// The public keys: a file or a URL.
    pub jwks: Jwks,
    /// The time between two requests for keys at a URL. Default: `5m`.
    pub jwks_interval: Option<Length>,
    /// The claim with the principal's name. Default: `sub`.
    pub principal_claim: Option<String>,
    /// The claim with the principal's groups. Default: `groups`.
    pub groups_claim: Option<String>,
    /// The claims that become the principal's attributes.
    #[serde(default)]
    pub attributes: BTreeSet<String>,
    /// The difference of clocks that is tolerated. Default: `60s`.
    pub skew: Option<Length>,
    /// Principals, and groups of principals, that may see and cancel the queries of others.
    #[serde(default)]
    pub admins: BTreeSet<String>,
}

/// One string, or a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// A list.
    More(Vec<String>),
}

/// The place of keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub enum Jwks {
    /// A file.
    File(PathBuf),
    /// A URL.
    Url(String),
}

impl From<String> for Jwks {
    fn from(text: String) -> Self {
        if text.contains("://") { Self::Url(text) } else { Self::File(text.into()) }
    }
}

impl Jwks {
    /// Returns the path of a file.
    pub(super) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Url(_) => None,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Url(_) => None,
        }
    }
}

impl OneOrMore {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

impl TokenConfig {
    /// Returns the issuer for the server's options.
    ///
    /// # Errors
    /// A URL from which the server does not fetch keys.
    pub fn issuer(&self) -> portolan_flight_server::Result<TokenIssuer> {
        let keys = match &self.jwks {
            Jwks::File(path) => KeySource::File(path.clone()),
            Jwks::Url(url) => KeySource::url(url)?,
        };
        let mut issuer = TokenIssuer::new(&self.issuer, self.audience.texts(), keys);
        issuer.keys_interval = self.jwks_interval.map_or(issuer.keys_interval, |length| length.0);
        issuer.skew = self.skew.map_or(issuer.skew, |length| length.0);
        issuer.attributes.clone_from(&self.attributes);
        issuer.admins.clone_from(&self.admins);
        if let Some(claim) = &self.principal_claim {
            issuer.principal_claim.clone_from(claim);
        }
        if let Some(claim) = &self.groups_claim {
            issuer.groups_claim.clone_from(claim);
        }
        Ok(issuer)
    }
}

pub(super) fn check(tokens: &[TokenConfig], check: &mut Check<'_>) {
    let mut names = BTreeSet::new();
    for (i, token) in tokens.iter().enumerate() {
        let at = |field: &str| format!("/tokens/{i}/{field}");
        if token.issuer.is_empty() {
            check.report(&at("issuer"), "expected the `iss` of the tokens, got an empty string");
        }
        if !names.insert(&token.issuer) {
            check.report(&at("issuer"), &format!("the issuer `{}` is listed twice", token.issuer));
        }
        let audience = token.audience.texts();
        if audience.is_empty() || audience.iter().any(String::is_empty) {
            check.report(
                &at("audience"),
                "expected the `aud` of tokens for this node, because tokens for other services are refused",
            );
        }
        if let Err(e) = token.issuer() {
            check.report(&at("jwks"), &e.chain());
        }
        check.file(&at("jwks"), token.jwks.path());
        if token.skew.is_some_and(|length| length.0 > MAX_SKEW) {
            check.report(&at("skew"), "must be at most 10 minutes");
        }
        if token.jwks_interval.is_some_and(|length| length.0 < MIN_INTERVAL) {
            check.report(&at("jwks_interval"), "must be at least 1s");
        }
    }
}
