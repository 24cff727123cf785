//! The identity of a caller: a principal, whether it is another node, and how long the identity is valid.

use std::time::SystemTime;

use portolan_catalog::is_printable;
use portolan_engine::{Principal, Result};

use crate::failure::unauthenticated;

/// The prefix of the names of nodes that logged in with a key. User names contain no colon.
pub(super) const NODE: &str = "node:";
/// The longest name of a principal, in bytes.
const MAX_NAME: usize = 256;
/// The longest name or value among the claims of another node, in bytes.
const MAX_TEXT: usize = 512;

/// The identity of an authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) principal: Principal,
    /// True if the caller may send fragments.
    pub(crate) node: bool,
    /// The time when the caller's token expires; `None` if nothing expires.
    pub(crate) expires: Option<SystemTime>,
}

impl Identity {
    /// Returns the identity of a principal that is not among the configured users.
    pub(super) fn of(principal: Principal) -> Self {
        Self { principal, node: false, expires: None }
    }

    /// True if the caller's token has expired.
    pub(crate) fn has_expired(&self) -> bool {
        self.expires.is_some_and(|end| end < SystemTime::now())
    }
}

/// Returns a name from a token or a certificate, if a principal may have that name.
pub(super) fn principal_name(name: &str) -> Result<&str> {
    if name.trim().is_empty() || name.len() > MAX_NAME || !is_printable(name) {
        return Err(unauthenticated(format!(
            "the name of a principal must not be empty, over {MAX_NAME} bytes, or contain control characters, invisible \
             characters or marks of direction"
        )));
    }
    if name == Principal::anonymous().name() {
        return Err(unauthenticated(format!("the name `{name}` is reserved for callers without a login")));
    }
    if name.starts_with(NODE) || name.starts_with("group:") {
        return Err(unauthenticated(format!(
            "names that begin with `{NODE}` or `group:` are reserved for nodes and groups"
        )));
    }
    Ok(name)
}

/// True if a text can be a name among the claims of another node: not empty, not too long, and safe to show.
pub(super) fn is_sound_name(text: &str) -> bool {
    !text.is_empty() && is_sound_value(text)
}

/// True if a text can be a value among the claims of another node: not too long, and safe to show.
pub(super) fn is_sound_value(text: &str) -> bool {
    text.len() <= MAX_TEXT && is_printable(text)
}
