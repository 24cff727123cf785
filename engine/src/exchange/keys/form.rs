//! Which form keys travel in, by true figures: the keys are there, and so are the bytes of each form.
//!
//! A form costs, in milliseconds,
//!
//! `1000 · (bytes(form) + rows · share(form) · row_bytes) / bandwidth + (keys · KEY_NS + rows · TEST_NS(form)) / 10⁶`
//!
//! where `rows` is what the fragment gives without keys, and `share` the part of it that crosses: for literals and for
//! a batch `s = min(1, keys / probe_distinct)`, for a Bloom filter `s + ε (1 − s)` with ε its error, for a range
//! `(max − min + 1) / probe_distinct` over integers and 1 over anything else. Sending no keys costs
//! `1000 · rows · row_bytes / bandwidth`. The cheapest is taken. No form takes a trip of its own: keys go with the
//! request for rows. Where `probe_distinct` is not known every row is taken to have a key of its own, and where `rows`
//! is not known, the fragment is taken to be worth cutting.

use crate::encode::keys::BLOOM_ERROR;
use crate::plan::Edge;
use portolan_connectors::KeyForm;

/// At most so many keys become literals by choice: they are planned at the owner one by one.
pub(super) const LITERALS: usize = 64;
/// At most so many by force.
pub(super) const FORCED_LITERALS: usize = 4096;
/// A literal in an encoded plan takes so much more than its value.
const LITERAL_BYTES: f64 = 16.0;
/// Both ends together pack, unpack and hash a key in so many nanoseconds.
const KEY_NS: f64 = 150.0;
/// What a fragment is taken for of whose rows nothing is known.
const UNKNOWN_ROWS: f64 = 1e6;
const UNKNOWN_ROW_BYTES: f64 = 32.0;

/// What is known of keys when their form is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// How many there are.
    pub(super) keys: usize,
    /// Bytes of a key's values.
    pub(super) key_bytes: f64,
    /// How many values lie between the least and the greatest, where they can be counted.
    pub(super) span: Option<f64>,
    /// Bytes of the packed batch; `None` where it is over the limit.
    pub(super) batch: Option<usize>,
    /// Bytes of the packed Bloom filter; `None` where it is over the limit.
    pub(super) bloom: Option<usize>,
    /// How many different keys the fragment has; 0 where nothing is known.
    pub(super) probe_distinct: f64,
    /// Rows of the fragment that are left once other keys have cut it, as a share.
    pub(super) left: f64,
}

impl Figures {
    /// The part of the fragment's rows that has one of the keys.
    pub(super) fn share(&self, edge: &Edge) -> f64 {
        let distinct = if self.probe_distinct > 0.0 { self.probe_distinct } else { rows(edge) };
        (self.keys as f64 / distinct.max(1.0)).min(1.0)
    }

    /// The part of the fragment's rows that a form lets through.
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

    /// The form that costs least; `None` where that is no keys at all.
    pub(super) fn cheapest(&self, edge: &Edge) -> Option<KeyForm> {
        let forms = [KeyForm::Literals, KeyForm::Batch, KeyForm::Bloom, KeyForm::Range];
        let costs = forms.into_iter().filter_map(|form| Some((form, self.cost(form, edge)?)));
        let (form, cost) = costs.min_by(|a, b| a.1.total_cmp(&b.1))?;
        (cost < self.gather(edge)).then_some(form)
    }

    /// Whether a range pays where the keys themselves are not known.
    pub(super) fn only_range_pays(&self, edge: &Edge) -> bool {
        self.cost(KeyForm::Range, edge).is_some_and(|cost| cost < self.gather(edge))
    }

    fn gather(&self, edge: &Edge) -> f64 {
        1e3 * rows(edge) * self.left * row_bytes(edge) / edge.link.bandwidth
    }

    /// Milliseconds; `None` where the keys cannot take this form.
    fn cost(&self, form: KeyForm, edge: &Edge) -> Option<f64> {
        let keys = self.keys as f64;
        let (bytes, test_ns) = match form {
            KeyForm::Literals if self.keys > LITERALS => return None,
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
