//! Statements: handles, runs and kept results.

mod announce;
mod execution;
mod held;
mod placeholders;
mod prepared;
mod results;
mod speculative_runs;
mod totals;

pub(crate) use announce::{Announced, Delivery, announce_prepared, apply, bound_schema, unbound};
pub(crate) use execution::{Execution, ExecutionAccess, When, relay};
pub(crate) use held::{Kind, Statement, Statements, handle_and_part, handle_of_part};
pub(crate) use prepared::{Bound, bind, bound, create, parameters, prepare, refuse_transaction};
pub(crate) use results::{KeptResult, Part};
