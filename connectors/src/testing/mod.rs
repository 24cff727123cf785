//! Fakes for tests and benchmarks: domains whose rows are in memory, a peer without a network, the answers of an owner, and
//! the SQL of a database. They need the feature `testing`.

mod dialect;
mod domain;
mod items;
mod peer;

pub use dialect::TEST_SQL;
pub use domain::{catalog, column, columns, local_domain};
pub use items::fragment_items;
pub use peer::FakePeer;
