//! The public keys of one issuer of tokens: which of them fits a token, and when the set is read again.
//!
//! If a set cannot be read again, the node keeps the old one. For a key that is not in the set, the node reads the
//! set again, but at most every few seconds: tokens with invented keys must not become requests to the issuer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use portolan_engine::{Error, ErrorKind, Result};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::key_source::{Fetched, Fetcher};
use crate::failure::{invalid, unauthenticated};
use crate::options::KeySource;

/// The shortest time between two attempts to read a set.
const PAUSE: Duration = Duration::from_secs(3);
/// The shortest time between two attempts if the current set is only old.
const LONG_PAUSE: Duration = Duration::from_secs(30);
/// The largest number of keys in a set.
const MAX_KEYS: usize = 256;

/// The keys of an issuer.
pub(super) struct Keys {
    issuer: String,
    fetcher: Fetcher,
    interval: Duration,
    current: ArcSwapOption<KeySet>,
    attempted: Mutex<Option<Instant>>,
}

/// One version of an issuer's keys.
struct KeySet {
    keys: Vec<IssuerKey>,
    read: Instant,
}

/// A key that checks signatures.
#[derive(Clone)]
pub(super) struct IssuerKey {
    id: Option<String>,
    pub(super) key: DecodingKey,
    /// The algorithms that the key may be used with.
    algorithms: &'static [Algorithm],
}

impl Keys {
    pub(super) fn new(issuer: &str, source: &KeySource, interval: Duration) -> Self {
        Self {
            issuer: issuer.to_owned(),
            fetcher: Fetcher::new(source.clone()),
            interval,
            current: ArcSwapOption::empty(),
            attempted: Mutex::new(None),
        }
    }

    /// Reads the keys for the first time if they are in a file, so that errors in the file appear before the first
    /// login.
    pub(super) async fn check_file(&self) -> Result<()> {
        if self.fetcher.is_file() { self.read().await } else { Ok(()) }
    }

    /// Returns the key that signed a token whose header names `id` and `algorithm`.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<IssuerKey> {
        let set = self.fresh().await?;
        match set.find(id, algorithm) {
            Found::Key(key) => return Ok(key),
            Found::Unfit => {
                return Err(unauthenticated(format!(
                    "the token is signed with {algorithm:?}, but the key of `{}` is not meant for it",
                    self.issuer
                )));
            }
            Found::Unknown => {}
        }
        // The key may be newer than the set.
        self.read_anew(&set).await;
        match self.current.load_full().map(|set| set.find(id, algorithm)) {
            Some(Found::Key(key)) => Ok(key),
            _ => {
                Err(unauthenticated(format!("the token is signed with a key that `{}` does not publish", self.issuer)))
            }
        }
    }

    /// Returns the set, after reading it again if that is due.
    async fn fresh(&self) -> Result<Arc<KeySet>> {
        let Some(set) = self.current.load_full() else {
            let mut attempted = self.attempted.lock().await;
            // Another task may have read the keys while this one waited for the lock.
            if self.current.load().is_none() {
                self.attempt_or_keep(&mut attempted).await;
            }
            return self.current.load_full().ok_or_else(|| self.missing());
        };
        if self.fetcher.has_changed().await {
            self.read_anew(&set).await;
        } else if set.read.elapsed() >= self.interval
            && let Ok(mut attempted) = self.attempted.try_lock()
            && attempted.is_none_or(|last| last.elapsed() >= LONG_PAUSE.min(self.interval))
        {
            // The set is old but valid, so other callers do not wait for the new one.
            self.attempt_or_keep(&mut attempted).await;
        }
        Ok(self.current.load_full().unwrap_or(set))
    }

    /// Reads the set again, unless another task has done so since `old`. On failure, the old set stays.
    async fn read_anew(&self, old: &Arc<KeySet>) {
        let mut attempted = self.attempted.lock().await;
        if self.current.load_full().is_some_and(|now| !Arc::ptr_eq(&now, old)) {
            return;
        }
        self.attempt_or_keep(&mut attempted).await;
    }

    /// Reads the set, unless the last attempt was very recent. The reason for a failure goes to the log only: an
    /// unauthenticated caller must not learn where the keys are.
    async fn attempt_or_keep(&self, attempted: &mut Option<Instant>) {
        if attempted.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        let read = self.read().await;
        *attempted = Some(Instant::now());
        if let Err(e) = read {
            let kept = if self.current.load().is_some() { "keeping the last valid ones" } else { "there are none yet" };
            tracing::warn!(issuer = self.issuer, "cannot read the keys, {kept}: {}", e.chain());
        }
    }

    async fn read(&self) -> Result<()> {
        let Fetched { text, place } = self.fetcher.fetch().await?;
        let keys = parse(&text).map_err(|e| invalid(format!("{place} is not a key set (JWKS)")).with_source(e))?;
        if keys.is_empty() {
            return Err(invalid(format!("{place} has no public key that signs tokens")));
        }
        tracing::debug!(issuer = self.issuer, keys = keys.len(), "read the keys");
        self.current.store(Some(Arc::new(KeySet { keys, read: Instant::now() })));
        Ok(())
    }

    fn missing(&self) -> Error {
        Error::new(
            ErrorKind::SiteUnavailable,
            format!(
                "the token cannot be checked: the keys of `{}` are not available now, try again later",
                self.issuer
            ),
        )
    }
}

enum Found {
    Key(IssuerKey),
    /// The key exists, but is not meant for this algorithm.
    Unfit,
    Unknown,
}

impl KeySet {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found {
        let mut named = self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return Found::Unknown;
        }
        let mut fitting = named.filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Found::Key(key.clone()),
            // A token without a key ID is accepted only if exactly one key fits.
            (Some(_), Some(_)) => Found::Unknown,
            (None, _) => Found::Unfit,
        }
    }
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// Returns the keys that may sign tokens, and ignores all others.
fn parse(text: &str) -> serde_json::Result<Vec<IssuerKey>> {
    let set: JwkSet = serde_json::from_str(text)?;
    Ok(set.keys.into_iter().take(MAX_KEYS).filter_map(|key| public_key(serde_json::from_value(key).ok()?)).collect())
}

fn public_key(jwk: Jwk) -> Option<IssuerKey> {
    if jwk.common.public_key_use.as_ref().is_some_and(|given| *given != PublicKeyUse::Signature) {
        return None;
    }
    let kind: &'static [Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &RSA,
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P384 => &[Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        _ => return None,
    };
    let algorithms = match jwk.common.key_algorithm {
        None => kind,
        Some(given) => only(given, kind)?,
    };
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|key| key.family() != AlgorithmFamily::Hmac)?;
    Some(IssuerKey { id: jwk.common.key_id, key, algorithms })
}

static RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Returns the one algorithm that a key names, if the key's type supports it.
fn only(given: KeyAlgorithm, kind: &'static [Algorithm]) -> Option<&'static [Algorithm]> {
    let given: Algorithm = given.to_string().parse().ok()?;
    kind.iter().position(|algorithm| *algorithm == given).and_then(|at| kind.get(at..=at))
}

#[cfg(test)]
mod tests;
