//! The sessions of callers, each under a random token. Their number is bounded, and idle sessions are closed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use portolan_connectors::lock;
use portolan_engine::{Engine, Error, ErrorKind, Result, Session, server};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::identity::Identity;
use crate::options::ServerLimits;

/// The sessions of a server.
pub(crate) struct Sessions {
    kept: Mutex<HashMap<String, OpenSession>>,
    most: usize,
    most_per_principal: usize,
    idle: Duration,
}

/// An open session.
struct OpenSession {
    identity: Identity,
    session: Session,
    used: Instant,
}

/// The prefix of the keys of sessions that belong to an identity provider's token.
const TOKEN: &str = "token ";

/// Returns the key of a cookie's session. The key contains the principal, so a cookie alone does not open another
/// principal's session.
fn cookie_key(cookie: &str, identity: &Identity) -> String {
    format!("cookie {cookie} {}", identity.principal)
}

/// Returns a token that cannot be guessed.
pub(crate) fn random_token() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// True if `text` has the format of [`random_token`].
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

    /// Opens a session, and returns its token.
    pub(crate) fn open(&self, engine: &Engine, identity: Identity) -> Result<String> {
        let token = random_token();
        self.keep(&mut self.lock(), token.clone(), engine, identity)?;
        Ok(token)
    }

    /// Returns the session under `token`.
    pub(crate) fn find(&self, token: &str) -> Option<(Identity, Session)> {
        // Only their own callers find the sessions of cookies.
        if is_token(token) { self.used(&mut self.lock(), token) } else { None }
    }

    /// Returns the session of a caller with a cookie, and opens it when the caller first sends the cookie back.
    pub(crate) fn of_cookie(&self, engine: &Engine, identity: &Identity, cookie: &str) -> Result<(String, Session)> {
        let key = cookie_key(cookie, identity);
        let session = self.open_as(key.clone(), engine, identity)?;
        Ok((key, session))
    }

    /// Keeps a session that began with this request, under the cookie in the response.
    pub(crate) fn keep_as_cookie(&self, cookie: &str, identity: &Identity, session: &Session) -> Result<()> {
        let mut kept = self.lock();
        let key = cookie_key(cookie, identity);
        if kept.contains_key(&key) {
            return Ok(());
        }
        self.make_room(&mut kept, identity)?;
        server::keep(session);
        kept.insert(key, OpenSession { identity: identity.clone(), session: session.clone(), used: Instant::now() });
        Ok(())
    }

    /// True if all callers with one token share the session of `key`.
    pub(crate) fn is_of_token(key: &str) -> bool {
        key.starts_with(TOKEN)
    }

    /// Returns the key of the session shared by calls with an identity provider's `token`, and the session if it is
    /// open. The token itself is not stored.
    pub(crate) fn of_token(&self, token: &str) -> (String, Option<(Identity, Session)>) {
        let digest: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("{TOKEN}{digest}");
        let found = self.used(&mut self.lock(), &key);
        (key, found)
    }

    /// Returns the session under `key`. Opens a new one if there is none, or if its principal differs from that of
    /// `identity`.
    pub(crate) fn open_as(&self, key: String, engine: &Engine, identity: &Identity) -> Result<Session> {
        let mut kept = self.lock();
        if let Some((_, session)) =
            self.used(&mut kept, &key).filter(|(known, _)| known.principal == identity.principal)
        {
            if let Some(entry) = kept.get_mut(&key) {
                entry.identity = identity.clone();
            }
            return Ok(session);
        }
        self.keep(&mut kept, key, engine, identity.clone())
    }

    /// Closes the sessions that were idle for too long.
    pub(crate) fn sweep(&self) {
        self.retain_open(&mut self.lock());
    }

    fn retain_open(&self, kept: &mut HashMap<String, OpenSession>) {
        kept.retain(|_, k| {
            let open = k.is_open(self.idle);
            if !open {
                k.session.close();
            }
            open
        });
    }

    /// Closes the session under `key`. True if there was one.
    pub(crate) fn close(&self, key: &str) -> bool {
        let removed = self.lock().remove(key);
        removed.is_some_and(|kept| {
            kept.session.close();
            true
        })
    }

    /// Returns the session under `key`, and marks it as used now.
    fn used(&self, kept: &mut HashMap<String, OpenSession>, key: &str) -> Option<(Identity, Session)> {
        let entry = kept.get_mut(key)?;
        if !entry.is_open(self.idle) {
            entry.session.close();
            kept.remove(key);
            return None;
        }
        entry.used = Instant::now();
        Some((entry.identity.clone(), entry.session.clone()))
    }

    fn keep(
        &self,
        kept: &mut HashMap<String, OpenSession>,
        key: String,
        engine: &Engine,
        identity: Identity,
    ) -> Result<Session> {
        self.make_room(kept, &identity)?;
        let session = engine.session(identity.principal.clone());
        kept.insert(key, OpenSession { identity, session: session.clone(), used: Instant::now() });
        Ok(session)
    }

    /// Makes room for one more session of a principal. The sessions of visitors at other addresses stay.
    fn make_room(&self, kept: &mut HashMap<String, OpenSession>, identity: &Identity) -> Result<()> {
        let of_same = |kept: &HashMap<String, OpenSession>| {
            kept.values().filter(|k| k.identity.principal.shares_account(&identity.principal)).count()
        };
        if kept.len() >= self.most || of_same(kept) >= self.most_per_principal {
            self.retain_open(kept);
        }
        if of_same(kept) >= self.most_per_principal {
            let oldest = kept
                .iter()
                .filter(|(_, k)| {
                    k.identity.principal.shares_account(&identity.principal) && !server::is_in_use(&k.session)
                })
                .min_by_key(|(_, k)| k.used)
                .map(|(key, _)| key.clone());
            match oldest.and_then(|oldest| kept.remove(&oldest)) {
                Some(oldest) => oldest.session.close(),
                None => {
                    return Err(Error::new(
                        ErrorKind::ResourceExhausted,
                        format!(
                            "`{}` has {} sessions, and all of them have tables or run statements: close some",
                            identity.principal, self.most_per_principal
                        ),
                    ));
                }
            }
        }
        if kept.len() >= self.most {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("this node has {} sessions, and all of them are in use: try again later", self.most),
            ));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OpenSession>> {
        lock(&self.kept)
    }
}

impl OpenSession {
    fn is_open(&self, idle: Duration) -> bool {
        self.used.elapsed() <= idle && !self.identity.has_expired() && !self.session.is_closed()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.lock().len()).finish_non_exhaustive()
    }
}
