//! Statements: their handles, their runs, and the results that are kept.

mod execution;
mod held;
mod results;
mod speculative_runs;

pub(crate) use execution::{Execution, Parameters, Runs, When};
pub(crate) use held::{Kind, Statement, Statements, handle_and_part, handle_of_part};
pub(crate) use results::{KeptResult, Part};
pub(crate) use speculative_runs::HeadStart;
