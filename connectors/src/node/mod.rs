//! Another Portolan node as a site: its Flight endpoint, its catalog, and the fragments that are sent to it as plans.

pub mod checksum;
mod connection;
mod diagnosis;
mod endpoint;
pub mod keys;
mod layout;
pub mod message;
mod options;
pub mod protocol;
mod receive;
mod reported;
pub mod signed_catalog;
mod site;
pub mod status;
pub mod token;

pub use diagnosis::{likely_cause, trusted_certificates};
pub use endpoint::endpoint_url;
pub use keys::{NodeKey, PublicKey};
pub use options::{NodeCredentials, NodeOptions, NodeTls, is_exposed};
pub use site::NodeSite;
pub use token::NodeIdentity;
