//! Authentication: users with passwords, principals of tokens, names in client certificates, and anonymous callers.
//!
//! [`Authenticator`] combines them. Each kind of credential has a module of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use portolan_engine::{Error, ErrorKind, Principal, Result};

use super::identity::{Identity, principal_name};
use crate::failure::{invalid, unauthenticated};
use crate::listener::network;
use crate::options::AuthOptions;

mod key_source;
mod keys;
mod passwords;
mod peer;
mod signatures;
mod throttle;
mod tokens;

use passwords::Passwords;
pub use passwords::hash_password;
pub(crate) use peer::CallOrigin;
use throttle::{LoginAttempt, Throttle};
use tokens::Tokens;
pub(crate) use tokens::is_jwt;
#[cfg(test)]
pub(super) use tokens::tests::issuer_and_token;

/// The user name that a client may send with a token as the password. The name may also be empty.
const TOKEN_USER: &str = "token";

/// Identifies the caller of a request.
pub(crate) struct Authenticator {
    anonymous: bool,
    users: HashMap<String, Identity>,
    passwords: Passwords,
    tokens: Tokens,
    /// True if the server requests client certificates.
    certificates: bool,
    throttle: Arc<Throttle>,
}

impl Authenticator {
    /// Creates an authenticator. `certificates` is true if the server requests client certificates. At most `checks`
    /// passwords are checked at once.
    pub(crate) fn new(options: &AuthOptions, anonymous: bool, certificates: bool, checks: usize) -> Result<Self> {
        let mut users = HashMap::new();
        for user in &options.users {
            if user.name.is_empty() || (user.password_hash.is_some() && user.name.contains(':')) {
                return Err(invalid(format!(
                    "`{}` is not a valid user name: it is empty or contains a colon",
                    user.name
                )));
            }
            principal_name(&user.name)
                .map_err(|e| invalid(format!("`{}` is not a valid user name", user.name)).with_source(e))?;
            let identity = Identity { principal: user.principal(), node: user.node, expires: None };
            if users.insert(user.name.clone(), identity).is_some() {
                return Err(invalid(format!("there are two users named `{}`", user.name)));
            }
        }
        let passwords = Passwords::new(&options.users, checks)?;
        let throttle = Arc::new(Throttle::new());
        Ok(Self { anonymous, users, passwords, tokens: Tokens::new(options)?, certificates, throttle })
    }

    /// Returns the authenticator, with the failed logins that an earlier one has recorded.
    pub(super) fn after(self, before: &Self) -> Self {
        Self { throttle: before.throttle.clone(), ..self }
    }

    /// Checks the contents of files, except certificates.
    pub(crate) async fn check_files(&self) -> Result<()> {
        self.tokens.check_files().await
    }

    /// True if this node accepts tokens of identity providers.
    pub(crate) fn takes_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Returns whether anonymous callers may send fragments; `None` if this node accepts no anonymous callers.
    pub(super) fn takes_anonymous_as_node(&self) -> Option<bool> {
        // If every caller is anonymous, nodes are anonymous too.
        self.anonymous.then(|| self.users.is_empty() && self.tokens.is_empty() && !self.certificates)
    }

    /// Returns the identity of a caller without a password or a token: the name in the client certificate, or the
    /// anonymous principal if this node accepts anonymous callers.
    pub(crate) fn nobody(&self, peer: &CallOrigin) -> Result<Identity> {
        if let Some(name) = peer.certificate_name()? {
            return Ok(self.users.get(&name).cloned().unwrap_or_else(|| Identity::of(Principal::new(name))));
        }
        let Some(node) = self.takes_anonymous_as_node() else {
            return Err(self.refusal("accepts no anonymous callers"));
        };
        let principal = Principal::anonymous_at(peer.address.map(network));
        Ok(Identity { node, ..Identity::of(principal) })
    }

    /// Returns the error for a caller that shows nothing, or a password at a node without passwords. `why` is what the
    /// node does not accept.
    fn refusal(&self, why: &str) -> Error {
        match self.ways().as_slice() {
            // Nodes log in with their keys, which are not checked here.
            [] => unauthenticated(format!("this node {why}: only the nodes in its `trusted_nodes` can log in")),
            ways => unauthenticated(format!("this node {why}: connect with {}", ways.join(" or "))),
        }
    }

    /// Checks a user's password, or a token sent as the password.
    pub(crate) async fn check(&self, user: &str, password: String, peer: &CallOrigin) -> Result<Identity> {
        if self.takes_tokens() && is_jwt(&password) {
            return logged(self.check_token_of(user, &password).await, user, peer);
        }
        let mut attempt = Throttle::attempt(Some(user), peer.address);
        let outcome = self.check_password(&mut attempt, user, password, peer).await;
        match &outcome {
            Ok(_) => self.throttle.succeeded(&attempt),
            Err(e) if e.kind() == ErrorKind::Unauthenticated => {
                let failures = self.throttle.failed(&attempt);
                log_failure(e, user, peer, failures);
            }
            Err(_) => {}
        }
        outcome
    }

    /// Checks a token. A rejected token delays no later login: a signature cannot be guessed, and tools keep sending an
    /// expired token.
    pub(crate) async fn check_token(&self, token: &str, peer: &CallOrigin) -> Result<Identity> {
        logged(self.tokens.check(token).await, TOKEN_USER, peer)
    }

    async fn check_password(
        &self,
        attempt: &mut LoginAttempt,
        user: &str,
        password: String,
        peer: &CallOrigin,
    ) -> Result<Identity> {
        if self.passwords.is_empty() {
            return Err(match self.ways().is_empty() && self.anonymous {
                true => unauthenticated("this node has no users: connect without user and password"),
                false => self.refusal("accepts no passwords"),
            });
        }
        let turn = loop {
            self.throttle.wait(attempt).await?;
            let turn = self.passwords.turn(peer.address).await?;
            // Many concurrent attempts can pass the first check before the first of them fails.
            if !self.throttle.owes(attempt) {
                break turn;
            }
        };
        let matches = self.passwords.matches(turn, user, password).await?;
        let known = self.users.get(user).filter(|_| matches).cloned();
        known.ok_or_else(|| unauthenticated("user or password is wrong"))
    }

    async fn check_token_of(&self, user: &str, token: &str) -> Result<Identity> {
        let identity = self.tokens.check(token).await?;
        if !user.is_empty() && user != TOKEN_USER && user != identity.principal.name() {
            return Err(unauthenticated(format!(
                "the token sent as the password belongs to another user: leave the user empty, or use `{TOKEN_USER}`"
            )));
        }
        Ok(identity)
    }

    fn ways(&self) -> Vec<&'static str> {
        let ways = [
            (!self.passwords.is_empty(), "user and password"),
            (self.takes_tokens(), "a token"),
            (self.certificates, "a client certificate"),
        ];
        ways.into_iter().filter_map(|(there, way)| there.then_some(way)).collect()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&String> = self.users.keys().collect();
        f.debug_struct("Authenticator").field("users", &users).finish_non_exhaustive()
    }
}

/// Logs a failed login that is not throttled, and returns the outcome unchanged.
fn logged(outcome: Result<Identity>, user: &str, peer: &CallOrigin) -> Result<Identity> {
    outcome.inspect_err(|e| {
        if e.kind() == ErrorKind::Unauthenticated {
            log_failure(e, user, peer, 0);
        }
    })
}

/// Logs a failed login and the number of failures. The log contains no credentials.
fn log_failure(error: &Error, user: &str, peer: &CallOrigin, failures: u32) {
    let (user, next_after) = (throttle::shortened(user), throttle::delay(failures));
    let address = peer.address.map(|address| address.to_string()).unwrap_or_default();
    tracing::warn!(?user, address, failures, ?next_after, "login failed: {}", error.chain());
}

#[cfg(test)]
mod tests;
