//! The serving side of a node, and the only crate there that uses tonic and Flight.
//!
//! [`Server::bind`] takes an address. [`Server::serve`] answers Flight SQL clients and other nodes at that address
//! until it is stopped.
//!
//! The modules are floors. Each one imports only modules that stand below it:
//!
//! - `server`: binds, serves and drains;
//! - `health`: liveness and readiness;
//! - `calls`: one file for each kind of request;
//! - `metadata`: tables about the catalog;
//! - `statements`: handles, runs, kept results;
//! - `rows`: columns, types and messages as clients see them;
//! - `callers`: authentication, sessions and delegation;
//! - `dispatch`: from Flight's calls to typed requests and back;
//! - `listener`: connections, TLS, the limits of a request;
//! - `options` and `failure`: the configuration and the errors.

mod callers;
mod calls;
pub mod dispatch;
mod failure;
mod health;
mod listener;
mod metadata;
mod options;
mod rows;
mod server;
mod statements;

pub use callers::hash_password;
pub use health::Readiness;
pub use listener::Connections;
pub use options::{
    Allowed, AuthOptions, ClientCertificates, DelegationOptions, KeySource, ServerLimits, ServerOptions, ServerTls,
    TokenIssuer, TrustedNode, User, needs_audiences,
};
pub use portolan_engine::{Error, ErrorKind, Result};
pub use server::{AccessControl, Server};
