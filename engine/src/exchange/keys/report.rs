//! What came of the keys that a remote scan was to send, for EXPLAIN ANALYZE.

use std::fmt;
use std::time::Duration;

use portolan_connectors::KeyForm;

/// What came of the keys that a remote scan was to send.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KeyReport {
    /// The forms that were sent, one for each join whose keys were; empty where none were.
    pub(crate) forms: Vec<KeyForm>,
    /// How many keys there were, of the join that had the fewest; `None` where it is not known.
    pub(crate) keys: Option<usize>,
    /// How many were expected.
    pub(crate) expected: f64,
    /// Bytes that they took.
    pub(crate) bytes: usize,
    /// How long they were waited for.
    pub(crate) waited: Duration,
    /// Whether there were so many more or fewer than expected that the form was chosen anew.
    pub(crate) adapted: bool,
    /// Whether no row could match, so that the owner was not asked.
    pub(crate) not_asked: bool,
    /// Why keys were not sent, join by join.
    pub(crate) reasons: Vec<String>,
}

impl fmt::Display for KeyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waited = self.waited.as_secs_f64() * 1e3;
        if self.not_asked {
            return write!(f, "no keys, so that no row could match and the owner was not asked; waited {waited:.0} ms");
        }
        match self.keys {
            Some(keys) => write!(f, "{keys} keys ({:.0} expected", self.expected)?,
            None => write!(f, "no keys known ({:.0} expected", self.expected)?,
        }
        write!(f, "{})", if self.adapted { ", decided again" } else { "" })?;
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
