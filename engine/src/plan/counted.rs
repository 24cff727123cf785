//! The rows of a fragment, counted while the plan of the rest may still change.

use std::collections::BTreeMap;

use portolan_catalog::ColumnStatistics;

/// The largest number of values of a column that are listed with their shares of the counted rows.
pub(crate) const MAX_LISTED_KEYS: usize = 512;

/// The rows of a fragment that were read so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) rows: usize,
    /// True if these are all rows of the fragment.
    pub(crate) all: bool,
    /// The exact statistics of the columns of join keys, by their position in the rows. The frequent values are all values
    /// if there are at most [`MAX_LISTED_KEYS`], otherwise none. Empty if not all rows were read, or if there are too many.
    pub(crate) keys: BTreeMap<usize, ColumnStatistics>,
}
