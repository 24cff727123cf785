//! From a request's headers to its caller: who it is, and the session that it is in.

use std::sync::Arc;

use portolan_engine::{Engine, Result, Session};

use super::auth::{Authenticator, Peer, is_jwt};
use super::authorization::Authorization;
use super::headers::Headers;
use super::identity::Identity;
use super::sessions::{Sessions, is_token, random_token};
use crate::failure::unauthenticated;

const SESSION_COOKIE: &str = "arrow_flight_session_id";

/// Who makes a request.
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) session: Session,
    /// The key under which the session is kept; `None` where it ends with the request.
    pub(crate) kept_as: Option<String>,
    /// Where a caller stands that shows neither token nor cookie.
    fresh: Option<Fresh>,
}

/// A caller without a session: it may have one from now on, under a cookie.
struct Fresh {
    cookie: String,
    sessions: Arc<Sessions>,
}

impl Caller {
    /// Reads the headers and checks what they claim.
    pub(crate) async fn identify(
        headers: &Headers<'_>,
        peer: &Peer,
        authenticator: &Authenticator,
        sessions: &Arc<Sessions>,
        engine: &Engine,
    ) -> Result<Self> {
        let caller = Self::known(headers, peer, authenticator, sessions, engine).await?;
        preset(&caller.session, headers)?;
        Ok(caller)
    }

    async fn known(
        headers: &Headers<'_>,
        peer: &Peer,
        authenticator: &Authenticator,
        sessions: &Arc<Sessions>,
        engine: &Engine,
    ) -> Result<Self> {
        let identity = match Authorization::of(headers)? {
            Authorization::Bearer(token) if authenticator.takes_tokens() && is_jwt(&token) => {
                let (key, found) = sessions.of_token(&token);
                let (identity, session) = match found {
                    Some(found) => found,
                    None => {
                        let identity = authenticator.check_token(&token, peer).await?;
                        let session = sessions.open_as(key.clone(), engine, &identity)?;
                        (identity, session)
                    }
                };
                return Ok(Self { identity, session, kept_as: Some(key), fresh: None });
            }
            Authorization::Bearer(token) => {
                let (identity, session) = sessions
                    .find(&token)
                    .ok_or_else(|| unauthenticated("the token is unknown or was idle for too long: log in again"))?;
                return Ok(Self { identity, session, kept_as: Some(token), fresh: None });
            }
            Authorization::Basic(user, password) => authenticator.check(&user, password, peer).await?,
            Authorization::Nobody => authenticator.nobody(peer)?,
        };
        if let Some(cookie) = session_cookie(headers) {
            let (key, session) = sessions.of_cookie(engine, &identity, &cookie)?;
            return Ok(Self { identity, session, kept_as: Some(key), fresh: None });
        }
        let session = engine.session(identity.principal.clone());
        let fresh = Fresh { cookie: random_token(), sessions: sessions.clone() };
        Ok(Self { identity, session, kept_as: None, fresh: Some(fresh) })
    }

    /// Sees to it that what the session is left with outlives the request. Drivers that log nobody in make their first
    /// call a change of the session: it is kept under the cookie that comes with the answer.
    pub(crate) fn require_kept_session(&self) -> Result<()> {
        match &self.fresh {
            Some(Fresh { cookie, sessions }) => sessions.keep_as_cookie(cookie, &self.identity, &self.session),
            None => Ok(()),
        }
    }

    /// Whether others who show the same token are in the same session, which ends with the token.
    pub(crate) fn shares_session(&self) -> bool {
        self.kept_as.as_deref().is_some_and(Sessions::is_of_token)
    }

    /// Returns the header that an answer to the caller carries: a cookie, if the caller has no session yet.
    pub(crate) fn answer_header(&self) -> Option<(&'static str, String)> {
        self.fresh.as_ref().map(|fresh| ("set-cookie", format!("{SESSION_COOKIE}={}", fresh.cookie)))
    }
}

/// Takes the settings that a connection names in headers, where the session has none: JDBC sends properties that it does
/// not know so, and tools that know no catalogs can name theirs in no other way.
pub(crate) fn preset(session: &Session, headers: &Headers<'_>) -> Result<()> {
    let settings = session.settings();
    for (name, known) in [("catalog", settings.catalog), ("schema", settings.schema)] {
        let said = headers.text(name).filter(|value| !value.is_empty());
        if let (Some(value), None) = (said, known) {
            session.set(name, value)?;
        }
    }
    Ok(())
}

fn session_cookie(headers: &Headers<'_>) -> Option<String> {
    headers
        .all("cookie")
        .flatten()
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == SESSION_COOKIE && is_token(value))
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_cookie_is_found_among_others() {
        let found = |cookie: &str| session_cookie(&[("cookie", Some(cookie))].into_iter().collect());
        let token = random_token();
        assert_eq!(found(&format!("a=b; {SESSION_COOKIE}={token}; c=d")), Some(token));
        assert_eq!(found(&format!("{SESSION_COOKIE}=guess")), None);
    }
}
