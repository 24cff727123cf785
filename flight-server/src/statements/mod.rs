//! Statements: their handles, their runs, and the results that are kept.

mod held;
mod results;
mod speculative_runs;

pub(crate) use held::{Kind, Parameters, Runs, Statement, Statements, handle_and_part, handle_of_part};
pub(crate) use results::{KeptResult, Part};
pub(crate) use speculative_runs::HeadStart;
