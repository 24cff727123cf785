//! The number of rows of a fragment, counted while the plan of the rest may still change.

/// The rows of a fragment that were read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) rows: usize,
    /// True if these are all rows of the fragment.
    pub(crate) all: bool,
}
