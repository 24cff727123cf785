//! Fakes for tests and benchmarks: domains whose rows are in memory, and a peer without a network. They need the
//! feature `testing`.

mod domain;
mod peer;

pub use domain::{catalog, column, columns, local_domain};
pub use peer::FakePeer;
