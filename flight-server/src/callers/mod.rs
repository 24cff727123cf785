//! Callers: authentication, sessions, and delegation between nodes.

mod access;
mod auth;
mod authenticate;
mod authorization;
mod caller;
mod delegation;
mod headers;
mod identity;
mod open_calls;
mod sessions;

pub(crate) use access::{Access, Rules};
pub use auth::hash_password;
pub(crate) use auth::{Authenticator, CallOrigin};
pub(crate) use authenticate::Callers;
pub(crate) use authorization::Authorization;
pub(crate) use caller::Caller;
pub(crate) use delegation::{Asker, Delegations, Purpose};
pub(crate) use headers::Headers;
pub(crate) use open_calls::OpenCall;
pub(crate) use sessions::{is_token, random_token};
