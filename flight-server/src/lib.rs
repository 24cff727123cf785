//! The serving side of a node: the only owner of tonic and Flight there.
//!
//! [`Server::bind`] takes an address, [`Server::serve`] answers Flight SQL clients and other nodes there until told to
//! stop.
//!
//! The modules are floors. Each one imports only what stands below it:
//!
//! - `server`: binds, serves and drains;
//! - `calls`: what each request does;
//! - `metadata`: tables about the catalog;
//! - `statements`: handles, runs, kept results;
//! - `rows`: columns, types and messages as clients see them;
//! - `callers`: who calls;
//! - `dispatch`: from Flight's calls to typed requests and back;
//! - `listener`: connections, TLS, the bounds on a request;
//! - `options` and `failure`: the configuration and the errors.

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
