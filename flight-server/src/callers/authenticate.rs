//! Authentication in one place: the credentials of a caller, from a login or from a call, become an identity or an open
//! session.

use std::sync::Arc;

use portolan_engine::server::brief_session;
use portolan_engine::{Engine, Result, Session};

use super::access::{Access, Rules};
use super::auth::{CallOrigin, is_jwt};
use super::authorization::Authorization;
use super::caller::{Caller, preset, session_cookie, trace};
use super::headers::Headers;
use super::identity::Identity;
use crate::failure::unauthenticated;

/// The state that identifies callers: users, issuers, trusted nodes, and open sessions.
pub(crate) struct Callers {
    engine: Engine,
    pub(crate) access: Arc<Access>,
}

/// The occasion on which a caller sends credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// Once, to open a session.
    Login,
    /// With each call.
    Call,
}

/// The result of checking a caller's credentials.
enum Shown {
    /// An identity without a session.
    Identity(Identity),
    /// An open session, and the key under which it is kept.
    Session { key: String, identity: Identity, session: Session },
}

impl Callers {
    pub(crate) fn new(engine: Engine, access: Arc<Access>) -> Self {
        Self { engine, access }
    }

    /// Returns the rules in effect.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.access.rules()
    }

    /// Identifies the caller of a call by the call's headers.
    pub(crate) async fn identify(&self, headers: &Headers<'_>, peer: &CallOrigin) -> Result<Caller> {
        let (rules, sessions) = (self.rules(), &self.access.sessions);
        let shown = self.authenticate(&rules, Authorization::of(headers)?, peer, Occasion::Call).await?;
        let mut caller = match shown {
            Shown::Session { key, identity, session } => Caller::kept(identity, session, key, rules),
            Shown::Identity(identity) => match session_cookie(headers) {
                Some(cookie) => {
                    let (key, session) = sessions.of_cookie(&self.engine, &identity, &cookie)?;
                    Caller::kept(identity, session, key, rules)
                }
                None => {
                    let session = brief_session(&self.engine, identity.principal.clone());
                    Caller::fresh(identity, session, sessions.clone(), rules)
                }
            },
        };
        preset(&caller.session, headers)?;
        caller.session = caller.session.traced(trace(headers));
        Ok(caller)
    }

    /// Logs a caller in. Returns the token of the new session, or the caller's own token if it belongs to an open
    /// session. `authorization` comes from the headers, or from a message in their place.
    pub(crate) async fn log_in(
        &self,
        authorization: Authorization,
        headers: &Headers<'_>,
        peer: &CallOrigin,
    ) -> Result<String> {
        let (rules, sessions) = (self.rules(), &self.access.sessions);
        let identity = match self.authenticate(&rules, authorization, peer, Occasion::Login).await? {
            Shown::Session { key, .. } => return Ok(key),
            Shown::Identity(identity) => identity,
        };
        let token = sessions.open(&self.engine, identity.clone())?;
        self.access.confirm(&rules, &identity, &token)?;
        if let Some((_, session)) = sessions.find(&token) {
            preset(&session, headers)?;
        }
        Ok(token)
    }

    /// Checks a caller's credentials.
    async fn authenticate(
        &self,
        rules: &Arc<Rules>,
        authorization: Authorization,
        peer: &CallOrigin,
        occasion: Occasion,
    ) -> Result<Shown> {
        let authenticator = &rules.authenticator;
        match authorization {
            Authorization::Nobody => authenticator.nobody(peer).map(Shown::Identity),
            Authorization::Basic(user, password) => {
                authenticator.check(&user, password, peer).await.map(Shown::Identity)
            }
            Authorization::Bearer(token) => self.check_token(rules, token, peer, occasion).await,
        }
    }

    /// Checks a token from another node's login, from an identity provider, or from a session.
    async fn check_token(
        &self,
        rules: &Arc<Rules>,
        token: String,
        peer: &CallOrigin,
        occasion: Occasion,
    ) -> Result<Shown> {
        let authenticator = &rules.authenticator;
        // This check comes first, because a node's token looks like an identity provider's. A node's token is valid for
        // one login, and for no call.
        if occasion == Occasion::Login
            && let Some(node) = rules.delegations.log_in(&token, || authenticator.nobody(peer))
        {
            return node.map(Shown::Identity);
        }
        if authenticator.takes_tokens() && is_jwt(&token) {
            return self.check_provider_token(rules, &token, peer, occasion).await;
        }
        let (identity, session) = self
            .access
            .sessions
            .find(&token)
            .ok_or_else(|| unauthenticated("the token is unknown or was idle for too long: log in again"))?;
        Ok(Shown::Session { key: token, identity, session })
    }

    /// Checks a token of an identity provider. Calls with the same token share a session, and the token is not checked
    /// again while that session is open. A login always checks the token.
    async fn check_provider_token(
        &self,
        rules: &Arc<Rules>,
        token: &str,
        peer: &CallOrigin,
        occasion: Occasion,
    ) -> Result<Shown> {
        let (authenticator, sessions) = (&rules.authenticator, &self.access.sessions);
        if occasion == Occasion::Login {
            return authenticator.check_token(token, peer).await.map(Shown::Identity);
        }
        let (key, open) = sessions.of_token(token);
        if let Some((identity, session)) = open {
            return Ok(Shown::Session { key, identity, session });
        }
        let identity = authenticator.check_token(token, peer).await?;
        let session = sessions.open_as(key.clone(), &self.engine, &identity)?;
        self.access.confirm(rules, &identity, &key)?;
        Ok(Shown::Session { key, identity, session })
    }
}

#[cfg(test)]
mod tests;
