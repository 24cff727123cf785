//! What the tests, the benchmarks and the demo share.

pub mod compare;
pub mod descriptors;
pub mod tpch;
