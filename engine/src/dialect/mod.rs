//! The spellings of DuckDB and PostgreSQL that DataFusion lacks.
//!
//! - [`Syntax`] parses a statement: `->` and `->>` bind as operators on JSON do.
//! - [`unreserve`] lets columns have the name `user`.
//! - [`plain_literals`] writes numbers without underscores, and strings without a prefix.
//! - [`type_of`] knows further names of types.
//! - [`spell_out`] writes calls and clauses of a statement as the ones that DataFusion has: `year(day)` becomes
//!   `date_part('year', day)`. Nothing behind it knows the other spelling, so that a plan means the same at any node.
//! - [`functions`] are the functions that no expression of DataFusion stands for. Every node registers them, and plans
//!   name them as they name those of DataFusion.

mod arguments;
mod calls;
mod formats;
mod instead;
mod json;
mod lengths;
mod literals;
mod parts;
mod patterned;
mod periods;
mod printf;
mod spellings;
mod syntax;
mod templates;
#[cfg(test)]
mod tests;
mod texts;
mod types;
mod user;

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::logical_expr::ScalarUDF;

pub(crate) use self::calls::spell_out;
pub(crate) use self::literals::plain_literals;
pub(crate) use self::spellings::{SPELLINGS, is_of_session};
pub(crate) use self::syntax::Syntax;
pub(crate) use self::types::type_of;
pub(crate) use self::user::unreserve;
use crate::execution::errors::into_datafusion;
use crate::{Error, ErrorKind};

/// The facts about a session that its statements can read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionFacts {
    /// The name of the session's principal.
    pub(crate) user: String,
    /// The catalog of names with two parts.
    pub(crate) catalog: String,
    /// The schema of names with one part.
    pub(crate) schema: String,
}

/// Returns the functions to register. One with the name of a function of DataFusion replaces it.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = patterned::functions();
    functions.extend(json::functions());
    functions.push(lengths::function());
    functions.push(periods::function());
    functions.push(printf::function());
    functions
}

/// Returns the error of a call that cannot mean what it says.
fn refused(what: String) -> DataFusionError {
    into_datafusion(Error::new(ErrorKind::InvalidQuery, what))
}
