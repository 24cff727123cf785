//! The report about the keys of a remote scan, for EXPLAIN ANALYZE.

use std::fmt;
use std::time::Duration;

use portolan_connectors::KeyForm;

/// A report about the keys that a remote scan was to send.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KeyReport {
    /// The forms that were sent, one for each join whose keys were sent; empty if none were.
    pub(crate) forms: Vec<KeyForm>,
    /// The number of keys of the join that had the fewest; `None` if it is unknown.
    pub(crate) keys: Option<usize>,
    /// The expected number of keys.
    pub(crate) expected: f64,
    /// Bytes of the keys.
    pub(crate) bytes: usize,
    /// The time that the scan waited for the keys.
    pub(crate) waited: Duration,
    /// True if the number of keys is far from the expected number (`portolan.adapt_factor`).
    pub(crate) deviates: bool,
    /// True if no row could match, so that the owner got no request.
    pub(crate) not_requested: bool,
    /// The reasons why keys were not sent, join by join.
    pub(crate) reasons: Vec<String>,
}

impl fmt::Display for KeyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waited = self.waited.as_secs_f64() * 1e3;
        if self.not_requested {
            return write!(f, "no keys, so no row could match and the owner got no request; waited {waited:.0} ms");
        }
        match self.keys {
            Some(keys) => write!(f, "{keys} keys ({:.0} expected", self.expected)?,
            None => write!(f, "no keys known ({:.0} expected", self.expected)?,
        }
        write!(f, "{})", if self.deviates { ", far from the estimate" } else { "" })?;
        if !self.forms.is_empty() {
            let forms: Vec<_> = self.forms.iter().map(|form| word(*form)).collect();
            write!(f, ", sent as {} in {} bytes", forms.join(" and "), self.bytes)?;
        }
        write!(f, "; waited {waited:.0} ms")?;
        self.reasons.iter().try_for_each(|reason| write!(f, "; not sent: {reason}"))
    }
}

fn word(form: KeyForm) -> &'static str {
    match form {
        KeyForm::Literals => "literals",
        KeyForm::Batch => "a batch",
        KeyForm::Bloom => "a Bloom filter",
        KeyForm::Range => "a range",
    }
}
