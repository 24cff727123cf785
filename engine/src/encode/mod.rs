//! How a fragment travels between nodes: its plan as bytes, and the keys that it tests rows for beside it.

pub(crate) mod admit;
mod codec;
pub(crate) mod keys;
mod plan;

pub(crate) use plan::{decode, decode_over, encode, encode_over};
