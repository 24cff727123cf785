//! Authentication in one place: the credentials of a caller, from a login or from a call, become an identity or an open
//! session.

use std::sync::Arc;

use portolan_engine::server::brief_session;
use portolan_engine::{Engine, Result, Session};

use super::auth::{Authenticator, CallOrigin, is_jwt};
use super::authorization::Authorization;
use super::caller::{Caller, preset, session_cookie, trace};
use super::delegation::Delegations;
use super::headers::Headers;
use super::identity::Identity;
use super::sessions::Sessions;
use crate::failure::unauthenticated;
use crate::options::ServerLimits;

/// The state that identifies callers: users, issuers, trusted nodes, and open sessions.
pub(crate) struct Callers {
    engine: Engine,
    authenticator: Authenticator,
    pub(crate) delegations: Delegations,
    pub(crate) sessions: Arc<Sessions>,
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
    pub(crate) fn new(
        engine: Engine,
        authenticator: Authenticator,
        delegations: Delegations,
        limits: &ServerLimits,
    ) -> Self {
        Self { engine, authenticator, delegations, sessions: Arc::new(Sessions::new(limits)) }
    }

    /// Identifies the caller of a call by the call's headers.
    pub(crate) async fn identify(&self, headers: &Headers<'_>, peer: &CallOrigin) -> Result<Caller> {
        let mut caller = match self.authenticate(Authorization::of(headers)?, peer, Occasion::Call).await? {
            Shown::Session { key, identity, session } => Caller::kept(identity, session, key),
            Shown::Identity(identity) => match session_cookie(headers) {
                Some(cookie) => {
                    let (key, session) = self.sessions.of_cookie(&self.engine, &identity, &cookie)?;
                    Caller::kept(identity, session, key)
                }
                None => {
                    let session = brief_session(&self.engine, identity.principal.clone());
                    Caller::fresh(identity, session, self.sessions.clone())
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
        let identity = match self.authenticate(authorization, peer, Occasion::Login).await? {
            Shown::Session { key, .. } => return Ok(key),
            Shown::Identity(identity) => identity,
        };
        let token = self.sessions.open(&self.engine, identity)?;
        if let Some((_, session)) = self.sessions.find(&token) {
            preset(&session, headers)?;
        }
        Ok(token)
    }

    /// Checks a caller's credentials.
    async fn authenticate(&self, authorization: Authorization, peer: &CallOrigin, occasion: Occasion) -> Result<Shown> {
        match authorization {
            Authorization::Nobody => self.authenticator.nobody(peer).map(Shown::Identity),
            Authorization::Basic(user, password) => {
                self.authenticator.check(&user, password, peer).await.map(Shown::Identity)
            }
            Authorization::Bearer(token) => self.check_token(token, peer, occasion).await,
        }
    }

    /// Checks a token from another node's login, from an identity provider, or from a session.
    async fn check_token(&self, token: String, peer: &CallOrigin, occasion: Occasion) -> Result<Shown> {
        // This check comes first, because a node's token looks like an identity provider's. A node's token is valid for
        // one login, and for no call.
        if occasion == Occasion::Login
            && let Some(node) = self.delegations.log_in(&token, || self.authenticator.nobody(peer))
        {
            return node.map(Shown::Identity);
        }
        if self.authenticator.takes_tokens() && is_jwt(&token) {
            return self.check_provider_token(&token, peer, occasion).await;
        }
        let (identity, session) = self
            .sessions
            .find(&token)
            .ok_or_else(|| unauthenticated("the token is unknown or was idle for too long: log in again"))?;
        Ok(Shown::Session { key: token, identity, session })
    }

    /// Checks a token of an identity provider. Calls with the same token share a session, and the token is not checked
    /// again while that session is open. A login always checks the token.
    async fn check_provider_token(&self, token: &str, peer: &CallOrigin, occasion: Occasion) -> Result<Shown> {
        if occasion == Occasion::Login {
            return self.authenticator.check_token(token, peer).await.map(Shown::Identity);
        }
        let (key, open) = self.sessions.of_token(token);
        if let Some((identity, session)) = open {
            return Ok(Shown::Session { key, identity, session });
        }
        let identity = self.authenticator.check_token(token, peer).await?;
        let session = self.sessions.open_as(key.clone(), &self.engine, &identity)?;
        Ok(Shown::Session { key, identity, session })
    }
}

#[cfg(test)]
mod tests;
