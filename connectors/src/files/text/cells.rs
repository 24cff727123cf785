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

/// The first faults of a batch, up to a limit.
#[derive(Debug)]
pub(in crate::files) struct Faults {
    /// The largest number of faults of one column, and of all records.
    pub(in crate::files) limit: usize,
    pub(in crate::files) found: Vec<DataFault>,
    /// True if there are faults that `found` does not have.
    pub(in crate::files) has_more: bool,
}

impl Faults {
    pub(in crate::files) fn new(limit: usize) -> Self {
        Self { limit, found: Vec::new(), has_more: false }
    }

    pub(in crate::files) fn add(&mut self, fault: DataFault) {
        if self.found.len() < self.limit {
            self.found.push(fault);
        } else {
            self.has_more = true;
        }
    }
}

/// The first faults of the values of one column, up to a limit.
#[derive(Debug)]
pub(in crate::files) struct ColumnFaults {
    limit: usize,
    pub(in crate::files) found: Vec<ValueFault>,
    pub(in crate::files) has_more: bool,
}

impl ColumnFaults {
    pub(in crate::files) fn new(limit: usize) -> Self {
        Self { limit, found: Vec::new(), has_more: false }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(in crate::files) fn add(&mut self, fault: impl FnOnce() -> ValueFault) {
        if self.found.len() < self.limit {
            self.found.push(fault());
        } else {
            self.has_more = true;
        }
    }
}
