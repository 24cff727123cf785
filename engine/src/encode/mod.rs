//! The form in which a fragment travels to its site: a plan as bytes for a node, with the keys that it tests rows for beside
//! it, or SQL for a database.

pub(crate) mod admit;
mod codec;
pub(crate) mod keys;
mod plan;
mod sql;

#[cfg(test)]
pub(crate) use plan::encode;
pub(crate) use plan::{decode, decode_over, write, write_over};
