//! A node of the mesh as a library, for the command line and for every other program that runs a node.

pub mod assemble;
pub mod client;
pub mod config;
pub mod error;
mod reload;
pub mod units;
pub mod watch;

pub use assemble::Node;
pub use config::NodeConfig;
pub use error::{Error, ErrorKind, Result};
