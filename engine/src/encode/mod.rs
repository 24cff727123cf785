//! The wire form of a fragment. For a node, it is a plan as bytes, with the keys that the plan tests rows for next to
//! it. For a database, it is SQL.

pub(crate) mod admit;
mod codec;
pub(crate) mod keys;
mod plan;
mod sql;

#[cfg(test)]
pub(crate) use plan::encode;
pub(crate) use plan::{decode, write};
