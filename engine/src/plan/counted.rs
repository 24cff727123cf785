//! The number of rows that a fragment gave, counted while the rest of the plan may still change.

/// The rows of a fragment that were read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) rows: usize,
    /// True if these are all rows of the fragment.
    pub(crate) all: bool,
}
