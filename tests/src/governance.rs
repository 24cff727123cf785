//! Domains with policies, for tests of what a principal can observe. Each test compares three meshes:
//!
//! - the governed mesh, whose policies hide rows and columns and mask values,
//! - the same mesh with other values in the hidden rows: a principal must observe no difference,
//! - a mesh without these rows, with masked values in its data: a principal must get the same rows and kinds of errors.
//!
//! The tests compute the hidden rows themselves, from the meaning of a policy.

pub mod forger;
mod masks;
pub mod measures;
pub mod meshes;
pub mod outcomes;
pub mod owners;
pub mod people;
pub mod policies;
pub mod statements;
pub mod swapped;
pub mod values;
