//! The depth of queries that stand for tables: the views of a session, and derived ports.

use super::{check_levels, levels};
use crate::{Error, ErrorKind, Result};

/// The largest number of such queries on a path from one of them to a table.
pub(crate) const MOST_NESTED: usize = 16;

/// The depth of a query that stands for a table, with those that it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueryDepth {
    /// The queries on the longest path from the query to a table.
    queries: usize,
    /// The levels of their statements together. Planning merges their expressions into one.
    levels: usize,
}

impl QueryDepth {
    /// Returns the depth of a query above those that it reads.
    pub(crate) fn above(below: impl Iterator<Item = Self>, text: &str) -> Self {
        let below = below.fold(Self::default(), |most, depth| Self {
            queries: most.queries.max(depth.queries),
            levels: most.levels.max(depth.levels),
        });
        Self { queries: below.queries + 1, levels: below.levels + levels(text) }
    }

    /// Refuses too many queries in one another. `what` names them in the error.
    ///
    /// # Errors
    /// `InvalidQuery`.
    pub(crate) fn check_queries(self, what: &str) -> Result<()> {
        if self.queries > MOST_NESTED { Err(nested_too_deep(what)) } else { Ok(()) }
    }

    /// Refuses statements of too many levels together.
    ///
    /// # Errors
    /// `InvalidQuery`.
    pub(crate) fn check_levels(self) -> Result<()> {
        check_levels(self.levels)
    }
}

/// Returns the error for too many queries in one another.
pub(crate) fn nested_too_deep(what: &str) -> Error {
    Error::new(ErrorKind::InvalidQuery, format!("{what} are nested more than {MOST_NESTED} levels deep"))
}
