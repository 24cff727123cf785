//! The sessions of callers, each under a random token: bounded in number, forgotten when idle.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portolan_engine::{Engine, Error, ErrorKind, Result, Session};
use uuid::Uuid;

use crate::auth::Identity;
use crate::options::ServerLimits;

/// The sessions of a server.
pub(crate) struct Sessions {
    kept: Mutex<HashMap<String, Kept>>,
    most: usize,
    most_per_principal: usize,
    idle: Duration,
}

struct Kept {
    identity: Identity,
    session: Session,
    used: Instant,
}

/// A token that cannot be guessed.
pub(crate) fn random_token() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Whether `text` has the form of [`random_token`].
pub(crate) fn is_token(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Sessions {
    pub(crate) fn new(limits: &ServerLimits) -> Self {
        Self {
            kept: Mutex::default(),
            most: limits.sessions,
            most_per_principal: limits.sessions_per_principal,
            idle: limits.session_idle,
        }
    }

    /// Opens a session; its token is returned.
    pub(crate) fn open(&self, engine: &Engine, identity: Identity) -> Result<String> {
        let token = random_token();
        self.keep(&mut self.lock(), token.clone(), engine, identity)?;
        Ok(token)
    }

    /// The session under `token`.
    pub(crate) fn find(&self, token: &str) -> Option<(Identity, Session)> {
        // The sessions of cookies are found by their callers only.
        if is_token(token) { self.used(&mut self.lock(), token) } else { None }
    }

    /// The session of a caller that is told from others by a cookie; opened when the cookie first comes back.
    pub(crate) fn of_cookie(&self, engine: &Engine, identity: &Identity, cookie: &str) -> Result<(String, Session)> {
        // Under its principal, so that a cookie alone gives nobody another's session.
        let key = format!("cookie {cookie} {}", identity.principal);
        let mut kept = self.lock();
        let session = match self.used(&mut kept, &key) {
            Some((_, session)) => session,
            None => self.keep(&mut kept, key.clone(), engine, identity.clone())?,
        };
        Ok((key, session))
    }

    /// Forgets the session under `key`.
    pub(crate) fn close(&self, key: &str) -> bool {
        let removed = self.lock().remove(key);
        removed.is_some_and(|kept| {
            kept.session.close();
            true
        })
    }

    /// The session under `key`, which is used now.
    fn used(&self, kept: &mut HashMap<String, Kept>, key: &str) -> Option<(Identity, Session)> {
        let entry = kept.get_mut(key)?;
        if entry.used.elapsed() > self.idle || entry.session.is_closed() {
            kept.remove(key);
            return None;
        }
        entry.used = Instant::now();
        Some((entry.identity.clone(), entry.session.clone()))
    }

    fn keep(
        &self,
        kept: &mut HashMap<String, Kept>,
        key: String,
        engine: &Engine,
        identity: Identity,
    ) -> Result<Session> {
        let of_same = |kept: &HashMap<String, Kept>| {
            kept.values().filter(|k| k.identity.principal.is_same(&identity.principal)).count()
        };
        if kept.len() >= self.most || of_same(kept) >= self.most_per_principal {
            kept.retain(|_, k| k.used.elapsed() <= self.idle && !k.session.is_closed());
        }
        if of_same(kept) >= self.most_per_principal {
            let oldest = kept
                .iter()
                .filter(|(_, k)| k.identity.principal.is_same(&identity.principal))
                .min_by_key(|(_, k)| k.used)
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                kept.remove(&oldest);
            }
        }
        if kept.len() >= self.most {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("this node keeps {} sessions and all are in use: try again later", self.most),
            ));
        }
        let session = engine.session(identity.principal.clone());
        kept.insert(key, Kept { identity, session: session.clone(), used: Instant::now() });
        Ok(session)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.lock().len()).finish_non_exhaustive()
    }
}
