//! The values of one column before they are parsed, and the faults that parsing finds.

use crate::data_fault::DataFault;

/// The text of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::files) enum Cell<'a> {
    /// There is no value.
    Null,
    /// A string.
    Text(&'a str),
    /// Bytes that are no UTF-8.
    Undecodable,
}

/// A value that does not fit its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::files) struct ValueFault {
    /// The row within the batch.
    pub(in crate::files) row: usize,
    /// The value. `None` for bytes that are no UTF-8.
    pub(in crate::files) value: Option<String>,
    /// The expected value.
    pub(in crate::files) expected: String,
    /// What the owner can do about it.
    pub(in crate::files) hint: Option<String>,
}

/// The first faults, up to a limit.
#[derive(Debug)]
pub(in crate::files) struct FirstFaults<F> {
    pub(in crate::files) limit: usize,
    pub(in crate::files) found: Vec<F>,
    /// True if there are faults that `found` does not have.
    pub(in crate::files) has_more: bool,
}

/// The first faults of a batch. The limit holds for one column, and for all records.
pub(in crate::files) type Faults = FirstFaults<DataFault>;

/// The first faults of the values of one column.
pub(in crate::files) type ColumnFaults = FirstFaults<ValueFault>;

impl<F> FirstFaults<F> {
    pub(in crate::files) fn new(limit: usize) -> Self {
        Self { limit, found: Vec::new(), has_more: false }
    }

    pub(in crate::files) fn add(&mut self, fault: impl FnOnce() -> F) {
        if self.found.len() < self.limit {
            self.found.push(fault());
        } else {
            self.has_more = true;
        }
    }
}
