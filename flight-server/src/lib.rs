//! The serving side of a node: the only owner of tonic and Flight there. Service, sessions, authentication, the schema
//! that clients see, errors.
//!
//! [`Server::bind`] takes an address, [`Server::serve`] answers Flight SQL clients and other nodes there until told to
//! stop.

mod callers;
mod calls;
pub mod dispatch;
mod failure;
mod listener;
mod metadata;
mod options;
mod rows;
mod server;
mod statements;

pub use callers::hash_password;
pub use options::{
    Allowed, AuthOptions, ClientCertificates, DelegationOptions, KeySource, ServerLimits, ServerOptions, ServerTls,
    TokenIssuer, TrustedNode, User,
};
pub use portolan_engine::{Error, ErrorKind, Result};
pub use server::Server;
