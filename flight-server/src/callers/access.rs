//! The accepted credentials, which can be replaced while the server serves. The sessions of callers stay open if the new
//! credentials grant them the same rights.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use portolan_engine::Result;

use super::auth::Authenticator;
use super::delegation::Delegations;
use super::identity::{Identity, NODE};
use super::open_calls::{OpenCall, OpenCalls, changed_during};
use super::sessions::Sessions;
use crate::options::{AuthOptions, DelegationOptions, ServerLimits, TrustedNode, User};

/// The accepted credentials at one moment.
pub(crate) struct Rules {
    pub(crate) authenticator: Authenticator,
    pub(crate) delegations: Delegations,
    /// The options that the authenticator follows.
    pub(crate) auth: AuthOptions,
    /// The options that the delegations follow.
    pub(crate) delegation: DelegationOptions,
}

/// The rules in effect, and the sessions of the callers that they have accepted.
pub(crate) struct Access {
    rules: ArcSwap<Rules>,
    pub(crate) sessions: Arc<Sessions>,
    calls: Arc<OpenCalls>,
}

impl Rules {
    /// True if the rules follow these options.
    pub(crate) fn follow(&self, auth: &AuthOptions, delegation: &DelegationOptions) -> bool {
        self.auth == *auth && self.delegation == *delegation
    }

    /// Returns the rules, with the failed logins and the used tokens that earlier rules have recorded.
    fn after(self, before: &Self) -> Self {
        let authenticator = self.authenticator.after(&before.authenticator);
        Self { authenticator, delegations: self.delegations.after(&before.delegations), ..self }
    }

    /// True if the rules grant the same rights to a caller that earlier rules have accepted.
    fn still_accept(&self, caller: &Identity, before: &Self) -> bool {
        let name = caller.principal.name();
        if let Some(node) = name.strip_prefix(NODE) {
            let keys = self.keys_of(node);
            return !keys.is_empty() && keys == before.keys_of(node);
        }
        // Only tokens expire. A token does not say here which issuer has signed it.
        if caller.expires.is_some() {
            return before.auth.issuers.iter().all(|issuer| self.auth.issuers.contains(issuer));
        }
        if caller.principal.is_anonymous() {
            return self.authenticator.takes_anonymous_as_node() == Some(caller.node);
        }
        // The name in a certificate need not be that of a user.
        self.user(name) == before.user(name)
    }

    fn keys_of(&self, node: &str) -> Vec<&TrustedNode> {
        self.delegation.trusted.iter().filter(|trusted| trusted.name == node).collect()
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.auth.users.iter().find(|user| user.name == name)
    }
}

impl Access {
    pub(crate) fn new(rules: Rules, limits: &ServerLimits) -> Arc<Self> {
        let (rules, sessions) = (ArcSwap::from_pointee(rules), Arc::new(Sessions::new(limits)));
        Arc::new(Self { rules, sessions, calls: Arc::default() })
    }

    /// Returns the rules in effect.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Replaces the rules. Ends the calls and closes the sessions of callers to whom the new ones do not grant the same
    /// rights, and returns the number of these sessions.
    pub(crate) fn replace(&self, rules: Rules) -> usize {
        let before = self.rules();
        let rules = Arc::new(rules.after(&before));
        self.rules.store(rules.clone());
        self.calls.end_unless(|caller| rules.still_accept(caller, &before));
        self.sessions.close_unless(|caller| rules.still_accept(caller, &before))
    }

    /// Lists a call of a caller that `rules` have accepted, so that the call can end with the acceptance.
    ///
    /// # Errors
    /// `Unauthenticated` if the present rules do not grant the same rights.
    pub(super) fn open_call(&self, rules: &Arc<Rules>, caller: &Identity) -> Result<OpenCall> {
        // The call is in the list before the check, so that no change of the rules misses it.
        let call = self.calls.open(caller);
        if self.still_accepts(caller, rules) { Ok(call) } else { Err(changed_during("call")) }
    }

    /// Checks a caller that `rules` have accepted, and whose session is now open under `key`: the rules may have been
    /// replaced in the meantime.
    ///
    /// # Errors
    /// `Unauthenticated` if the present rules do not grant the same rights. The session is then closed.
    pub(super) fn confirm(&self, rules: &Arc<Rules>, caller: &Identity, key: &str) -> Result<()> {
        if self.still_accepts(caller, rules) {
            return Ok(());
        }
        self.sessions.close(key);
        Err(changed_during("login"))
    }

    /// True if the present rules grant the same rights to a caller that `rules` have accepted.
    fn still_accepts(&self, caller: &Identity, rules: &Arc<Rules>) -> bool {
        let now = self.rules();
        Arc::ptr_eq(rules, &now) || now.still_accept(caller, rules)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
