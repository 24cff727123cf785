//! Who calls: authentication, sessions, and delegation between nodes.

mod auth;

pub use auth::hash_password;
pub(crate) use auth::{Authenticator, Authorization, Identity, Peer, is_jwt};
