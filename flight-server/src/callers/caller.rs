//! The caller of a request: an identity and a session.

use std::sync::Arc;

use portolan_connectors::node::protocol::{TRACEPARENT_KEY, TRACESTATE_KEY};
use portolan_engine::{Result, Session, TraceContext};

use super::access::{Access, Rules};
use super::headers::Headers;
use super::identity::Identity;
use super::open_calls::OpenCall;
use super::sessions::{Sessions, is_token, random_token};

const SESSION_COOKIE: &str = "arrow_flight_session_id";

/// The caller of a request.
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) session: Session,
    /// The key of the session; `None` if the session ends with the request.
    pub(crate) kept_as: Option<String>,
    /// Set for a caller without a token or a cookie.
    fresh: Option<Fresh>,
    /// The rules that have accepted the caller.
    rules: Arc<Rules>,
}

/// The cookie under which the session of a new caller can be kept.
struct Fresh {
    cookie: String,
    sessions: Arc<Sessions>,
}

impl Caller {
    /// Returns a caller whose session is kept under `key`.
    pub(super) fn kept(identity: Identity, session: Session, key: String, rules: Arc<Rules>) -> Self {
        Self { identity, session, kept_as: Some(key), fresh: None, rules }
    }

    /// Returns a caller whose session ends with the request, unless `sessions` keep it.
    pub(super) fn fresh(identity: Identity, session: Session, sessions: Arc<Sessions>, rules: Arc<Rules>) -> Self {
        Self { identity, session, kept_as: None, fresh: Some(Fresh { cookie: random_token(), sessions }), rules }
    }

    /// Lists a call of the caller, so that the call can end when the caller is no longer accepted.
    ///
    /// # Errors
    /// `Unauthenticated` if the caller is no longer accepted.
    pub(crate) fn open_call(&self, access: &Access) -> Result<OpenCall> {
        access.open_call(&self.rules, &self.identity)
    }

    /// Keeps the session beyond the request. A driver that does not log in may change the session with its first call.
    /// The node then keeps the session under the cookie in the response to that call.
    pub(crate) fn require_kept_session(&self) -> Result<()> {
        match &self.fresh {
            Some(Fresh { cookie, sessions }) => sessions.keep_as_cookie(cookie, &self.identity, &self.session),
            None => Ok(()),
        }
    }

    /// True if all callers with the same token share the session, which ends with the token.
    pub(crate) fn shares_session(&self) -> bool {
        self.kept_as.as_deref().is_some_and(Sessions::is_of_token)
    }

    /// Returns the header of a response to the caller: a cookie, if the caller has no session yet.
    pub(crate) fn answer_header(&self) -> Option<(&'static str, String)> {
        self.fresh.as_ref().map(|fresh| ("set-cookie", format!("{SESSION_COOKIE}={}", fresh.cookie)))
    }
}

/// Applies the settings in a connection's headers, if the session has none. JDBC sends unknown properties as headers,
/// and tools without catalogs have no other way to name their catalog.
pub(super) fn preset(session: &Session, headers: &Headers<'_>) -> Result<()> {
    let settings = session.settings();
    for (name, known) in [("catalog", settings.catalog), ("schema", settings.schema)] {
        let named = headers.text(name).filter(|value| !value.is_empty());
        if let (Some(value), None) = (named, known) {
            session.set(name, value)?;
        }
    }
    Ok(())
}

/// Returns the span that a call is a part of, if the call has one. An invalid header is ignored, as the standard
/// requires.
pub(super) fn trace(headers: &Headers<'_>) -> Option<TraceContext> {
    TraceContext::parse(headers.text(TRACEPARENT_KEY)?, headers.text(TRACESTATE_KEY))
}

/// Returns the session cookie.
pub(super) fn session_cookie(headers: &Headers<'_>) -> Option<String> {
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
