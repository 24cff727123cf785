//! The form in which keys travel. Its choice uses actual numbers: the keys are known, and so are the bytes of each
//! form.
//!
//! A form costs, in milliseconds,
//!
//! `1000 · (bytes(form) + rows · share(form) · row_bytes) / bandwidth + (keys · KEY_NS + rows · TEST_NS(form)) / 10⁶`
//!
//! Here `rows` is the number of the fragment's rows without keys, and `share` is the part of them that crosses:
//! - for literals and for a batch, the share `s` of the rows that have one of the keys. It follows from the range, the
//!   number of values and the frequent values of the fragment's column, if these are known. Otherwise it is
//!   `min(1, keys / probe_distinct)`;
//! - for a Bloom filter, `s + ε (1 − s)` with its error ε;
//! - for a range, `(max − min + 1) / probe_distinct` over integers, and 1 over anything else.
//!
//! Sending no keys costs `1000 · rows · row_bytes / bandwidth`. The cheapest alternative is chosen. No form needs a
//! round trip of its own: keys are part of the request for rows. If `probe_distinct` is unknown, every row is assumed
//! to have its own key. If `rows` is unknown, the fragment is assumed to be worth cutting.

use crate::encode::keys::BLOOM_ERROR;
use crate::plan::Edge;
use portolan_connectors::KeyForm;

/// The largest number of keys that become literals by choice in a plan. The owner plans them one by one. A query in SQL
/// has up to [`SQL_KEYS`](crate::encode::keys::SQL_KEYS), unless they are of several columns.
pub(super) const LITERALS: usize = 64;
/// The largest number of keys that become literals if a setting forces it.
pub(super) const FORCED_LITERALS: usize = 4096;
/// The bytes of a literal in an encoded plan, in addition to its value.
const LITERAL_BYTES: f64 = 16.0;
/// The nanoseconds in which both ends together pack, unpack and hash a key.
const KEY_NS: f64 = 150.0;
/// The assumed rows of a fragment of unknown size, and the assumed bytes of a row.
const UNKNOWN_ROWS: f64 = 1e6;
const UNKNOWN_ROW_BYTES: f64 = 32.0;

/// The numbers from which the form of keys is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// The number of keys.
    pub(super) keys: usize,
    /// Bytes of a key's values.
    pub(super) key_bytes: f64,
    /// The largest number of keys that become literals.
    pub(super) most_literals: usize,
    /// The number of values between the smallest and the largest key, if they can be counted.
    pub(super) span: Option<f64>,
    /// Bytes of the packed batch; `None` if it exceeds the limit.
    pub(super) batch: Option<usize>,
    /// Bytes of the packed Bloom filter; `None` if it exceeds the limit.
    pub(super) bloom: Option<usize>,
    /// The number of distinct keys of the fragment; 0 if it is unknown.
    pub(super) probe_distinct: f64,
    /// The share of the fragment's rows that have one of the keys, if the statistics of the column show it.
    pub(super) matched: Option<f64>,
    /// The share of the fragment's rows that is left after other keys have cut it.
    pub(super) left: f64,
}

impl Figures {
    /// Returns the share of the fragment's rows that have one of the keys.
    pub(super) fn share(&self, edge: &Edge) -> f64 {
        let distinct = if self.probe_distinct > 0.0 { self.probe_distinct } else { rows(edge) };
        self.matched.unwrap_or((self.keys as f64 / distinct.max(1.0)).min(1.0))
    }

    /// Returns the share of the fragment's rows that pass a form's test.
    pub(super) fn left_by(&self, form: KeyForm, edge: &Edge) -> f64 {
        let exact = self.share(edge);
        match form {
            KeyForm::Literals | KeyForm::Batch => exact,
            KeyForm::Bloom => exact + BLOOM_ERROR * (1.0 - exact),
            KeyForm::Range => {
                let distinct = if self.probe_distinct > 0.0 { self.probe_distinct } else { rows(edge) };
                self.span.map_or(1.0, |span| span / distinct.max(1.0)).min(1.0).max(exact)
            }
        }
    }

    /// Returns the cheapest form; `None` if sending no keys costs less.
    pub(super) fn cheapest(&self, edge: &Edge) -> Option<KeyForm> {
        let costs = KeyForm::ALL.into_iter().filter_map(|form| Some((form, self.cost(form, edge)?)));
        let (form, cost) = costs.min_by(|a, b| a.1.total_cmp(&b.1))?;
        (cost < self.gather(edge)).then_some(form)
    }

    /// True if a range pays, for keys that are not known one by one.
    pub(super) fn only_range_pays(&self, edge: &Edge) -> bool {
        self.cost(KeyForm::Range, edge).is_some_and(|cost| cost < self.gather(edge))
    }

    fn gather(&self, edge: &Edge) -> f64 {
        1e3 * rows(edge) * self.left * row_bytes(edge) / edge.link.bandwidth
    }

    /// Returns the cost in milliseconds; `None` if the keys cannot have this form.
    fn cost(&self, form: KeyForm, edge: &Edge) -> Option<f64> {
        let keys = self.keys as f64;
        let (bytes, test_ns) = match form {
            KeyForm::Literals if self.keys > self.most_literals => return None,
            KeyForm::Literals => (keys * (self.key_bytes + LITERAL_BYTES), 5.0),
            KeyForm::Batch => (self.batch? as f64, 15.0),
            KeyForm::Bloom => (self.bloom? as f64, 25.0),
            KeyForm::Range => self.span.map(|_| (2.0 * (self.key_bytes + LITERAL_BYTES), 2.0))?,
        };
        let share = self.left_by(form, edge);
        let rows = rows(edge) * self.left;
        let keys = if form == KeyForm::Range { 2.0 } else { keys };
        let crossing = 1e3 * (bytes + rows * share * row_bytes(edge)) / edge.link.bandwidth;
        Some(crossing + (keys * KEY_NS + rows * test_ns) / 1e6)
    }
}

fn rows(edge: &Edge) -> f64 {
    if edge.rows_whole > 0.0 { edge.rows_whole } else { UNKNOWN_ROWS }
}

fn row_bytes(edge: &Edge) -> f64 {
    if edge.row_bytes > 0.0 { edge.row_bytes } else { UNKNOWN_ROW_BYTES }
}
