//! A part of a plan that runs once and has several readers. Its rows wait in memory for the readers that lag, and in files
//! beyond a limit.
//!
//! No reader waits for another one, so the readers may start and end in any order. The fastest reader determines how fast
//! the part runs. If all readers have ended, the part is stopped. A reader that has not started makes rows wait.

mod operator;
mod queue;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use operator::{SharedExec, SharedPart, count_readers};
