//! Who calls: authentication, sessions, and delegation between nodes.

mod auth;
mod authorization;
mod caller;
mod delegation;
mod headers;
mod identity;
mod sessions;

pub use auth::hash_password;
pub(crate) use auth::{Authenticator, Peer, is_jwt};
pub(crate) use authorization::Authorization;
pub(crate) use caller::{Caller, preset};
pub(crate) use delegation::{Asker, Delegations, Purpose};
pub(crate) use headers::Headers;
pub(crate) use identity::Identity;
pub(crate) use sessions::{Sessions, is_token, random_token};
