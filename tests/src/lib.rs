//! What the end-to-end tests and tools for trying things by hand share.

pub mod random_queries;
