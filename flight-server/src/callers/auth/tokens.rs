//! Tokens of identity providers (JWT). A token is signed with a public key of an issuer that the node trusts, is meant
//! for this node, and is valid now. Its claims become a principal.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error as JwtError, ErrorKind as JwtErrorKind};
use jsonwebtoken::{Algorithm, Validation, decode};
use portolan_catalog::is_printable;
use portolan_engine::{Principal, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::Keys;
use super::signatures;
use crate::callers::identity::{Identity, principal_name};
use crate::failure::{invalid, unauthenticated};
use crate::options::{AuthOptions, TokenIssuer};

/// The largest size of a token, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// The largest difference between clocks that an issuer may allow.
const MAX_SKEW: Duration = Duration::from_secs(600);
/// The largest number of a principal's groups, and of the values of one attribute.
const MAX_VALUES: usize = 1000;

/// The issuers that a node trusts.
pub(crate) struct Tokens {
    issuers: Vec<TrustedIssuer>,
}

struct TrustedIssuer {
    options: TokenIssuer,
    keys: Keys,
}

#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// True if `text` looks like a token: three parts in base64, of which the first is a JSON object.
pub(crate) fn is_jwt(text: &str) -> bool {
    text.starts_with("ey")
        && text.split('.').count() == 3
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'='))
}

impl Tokens {
    pub(crate) fn new(options: &AuthOptions) -> Result<Self> {
        let mut issuers: Vec<TrustedIssuer> = Vec::new();
        for given in &options.issuers {
            let name = &given.issuer;
            if name.is_empty() || given.audience.iter().all(String::is_empty) {
                return Err(invalid(format!("tokens of `{name}`: an issuer and an audience are required")));
            }
            if given.skew > MAX_SKEW {
                return Err(invalid(format!("tokens of `{name}`: clocks may differ by 10 minutes at most")));
            }
            if issuers.iter().any(|known| known.options.issuer == *name) {
                return Err(invalid(format!("the issuer `{name}` is configured twice")));
            }
            let keys = Keys::new(name, &given.keys, given.keys_interval);
            issuers.push(TrustedIssuer { options: given.clone(), keys });
        }
        if !issuers.is_empty() {
            signatures::install();
        }
        Ok(Self { issuers })
    }

    /// Reads the keys that are in files.
    ///
    /// # Errors
    /// If a file cannot be read, or contains no keys.
    pub(crate) async fn check_files(&self) -> Result<()> {
        for issuer in &self.issuers {
            issuer.keys.check_file().await?;
        }
        Ok(())
    }

    /// True if this node trusts no issuer.
    pub(crate) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Checks a token, and returns the identity that it claims.
    pub(crate) async fn check(&self, token: &str) -> Result<Identity> {
        if token.len() > MAX_BYTES {
            return Err(unauthenticated(format!("the token is larger than {MAX_BYTES} bytes")));
        }
        let mut parts = token.split('.');
        let header: JwtHeader = part(parts.next(), "header")?;
        let claims: Map<String, Value> = part(parts.next(), "claims")?;
        let algorithm = algorithm(&header)?;
        // This claim is not verified yet. It only selects the issuer whose keys to use.
        let issuer = claims.get("iss").and_then(Value::as_str);
        let issuer = issuer.and_then(|name| self.issuers.iter().find(|known| known.options.issuer == name));
        let issuer =
            issuer.ok_or_else(|| unauthenticated("this node does not trust the issuer (`iss`) of the token"))?;
        let key = issuer.keys.find(header.kid.as_deref(), algorithm).await?;
        let verified = decode::<Map<String, Value>>(token, &key.key, &issuer.validation(algorithm))
            .map_err(|e| issuer.refusal(&e))?;
        issuer.identity(&verified.claims)
    }
}

impl TrustedIssuer {
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.options.issuer]);
        validation.aud = Some(self.options.audience.iter().cloned().collect());
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = self.options.skew.as_secs();
        validation
    }

    fn refusal(&self, error: &JwtError) -> portolan_engine::Error {
        let issuer = &self.options.issuer;
        unauthenticated(match error.kind() {
            JwtErrorKind::ExpiredSignature => "the token has expired: get a new one".to_owned(),
            JwtErrorKind::ImmatureSignature => "the token is not valid yet (`nbf`)".to_owned(),
            JwtErrorKind::InvalidAudience => {
                let names: Vec<_> = self.options.audience.iter().map(|name| format!("`{name}`")).collect();
                format!("the token is for another audience: `aud` must contain {}", names.join(" or "))
            }
            JwtErrorKind::InvalidSignature => format!("the token's signature is not that of `{issuer}`"),
            JwtErrorKind::MissingRequiredClaim(claim) => format!("the token has no valid `{claim}`"),
            JwtErrorKind::InvalidClaimFormat(claim) => format!("the token's `{claim}` is malformed"),
            _ => "the token is malformed".to_owned(),
        })
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity> {
        let options = &self.options;
        let name = claim(claims, &options.principal_claim).and_then(Value::as_str).ok_or_else(|| {
            unauthenticated(format!(
                "the token has no string claim `{}`, which names the principal",
                options.principal_claim
            ))
        })?;
        let groups = claim(claims, &options.groups_claim).map(groups).unwrap_or_default();
        let admin = options.admins.contains(name)
            || groups.iter().any(|group| options.admins.contains(&format!("group:{group}")));
        let mut principal = Principal::new(principal_name(name)?).with_groups(groups).with_admin(admin);
        for attribute in &options.attributes {
            if let Some(value) = claim(claims, attribute) {
                principal = principal.with_attribute(attribute, values(value));
            }
        }
        let mut claimed = principal.groups().iter().chain(principal.attributes().values().flatten());
        if !claimed.all(|value| is_printable(value)) {
            return Err(unauthenticated(
                "a group or an attribute in the token has control characters, invisible characters or marks of \
                 direction",
            ));
        }
        let expires = claims.get("exp").and_then(Value::as_f64).filter(|seconds| seconds.is_finite());
        let expires = expires
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|length| SystemTime::UNIX_EPOCH.checked_add(length + options.skew))
            .ok_or_else(|| unauthenticated("the token's `exp` is malformed"))?;
        // The library counts whole seconds, and a session must not open with an expired token.
        if expires <= SystemTime::now() {
            return Err(unauthenticated("the token has expired: get a new one"));
        }
        Ok(Identity { principal, node: false, expires: Some(expires) })
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: Option<&str>, name: &str) -> Result<T> {
    // The error has no more detail, because the detail would repeat the token.
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| unauthenticated(format!("the token is malformed: its {name} cannot be read")))
}

/// Returns the algorithm of a token's signature, if it uses public keys. With a shared-secret algorithm, an attacker
/// could use the public key as the secret.
fn algorithm(header: &JwtHeader) -> Result<Algorithm> {
    if header.crit.is_some() {
        return Err(unauthenticated("the token has extensions (`crit`) that this node does not support"));
    }
    let known: Option<Algorithm> = header.alg.parse().ok();
    match known {
        Some(Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) => Err(unauthenticated(
            "the token is signed with a shared secret (HMAC): this node accepts public-key signatures only",
        )),
        Some(algorithm) => Ok(algorithm),
        None if header.alg.eq_ignore_ascii_case("none") => Err(unauthenticated("the token is not signed")),
        None => Err(unauthenticated("the token is signed with an algorithm that this node does not support")),
    }
}

/// Returns a claim by its name or by its path (`realm_access.roles`).
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut steps = name.split('.');
    let first = claims.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.as_object()?.get(step))
}

/// Returns the groups in a claim: a list, or a string separated by spaces as in `scope`.
fn groups(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().take(MAX_VALUES).map(str::to_owned).collect(),
        _ => values(value),
    }
}

/// Returns the values of a claim as strings, without objects.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().take(MAX_VALUES).filter_map(scalar).collect(),
        _ => scalar(value).into_iter().collect(),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
