//! A node of the mesh as a library, for the command line and other programs that run a node.
//!
//! [`NodeConfig::load`] reads a config file, [`Node::builder`] builds a node, [`Node::bind`] binds its address, and
//! [`BoundNode::serve`] serves clients and other nodes. [`client::Client`] is a session on a node that runs elsewhere.
//! [`product_test::test_products`] tests data against its contracts. [`policy`] checks, explains and tests policies.

mod admin;
mod assemble;
mod audit;
pub mod client;
pub mod config;
mod digest;
pub mod draft;
pub mod error;
pub mod host;
pub mod metrics;
mod open;
mod peers;
pub mod policy;
mod policy_files;
mod process;
pub mod product_test;
mod progress;
mod reload;
mod reload_config;
mod serve;
mod state;
mod status;
#[cfg(feature = "telemetry")]
mod telemetry;
pub mod units;
mod watch;

pub use assemble::{Node, NodeBuilder};
pub use config::NodeConfig;
pub use error::{Error, ErrorKind, Result};
pub use progress::Progress;
pub use serve::BoundNode;
pub use state::create_key_file;
