//! Fakes for tests and benchmarks: domains whose rows are in memory, a peer without a network, and the SQL of a database. They need the
//! feature `testing`.

mod dialect;
mod domain;
mod peer;

pub use dialect::TEST_SQL;
pub use domain::{catalog, column, columns, local_domain};
pub use peer::FakePeer;
