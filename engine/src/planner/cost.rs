//! The costs of work and edges: the one model that decides between orders, sites and strategies.
//!
//! The unit is a millisecond. The cost of a plan is the sum of
//! - each **edge**: `latency + bytes / bandwidth` of its link, with `bytes = rows * bytes of a row`;
//! - the **work** of each operator at its site: rows in and out, times the constants below;
//! - a fixed price for each part whose owner fetches rows of other owners: it plans the part, and is one more hop.
//!
//! Times are added up as if nothing ran in parallel: the model counts total work, not response time, as System R* does
//! (Mackert and Lohman 1986). Total work is what limits a mesh whose nodes answer many queries at once.

use crate::encode::keys::BLOOM_ERROR;
use crate::mesh::Link;
use crate::plan::Cost;

/// Milliseconds for a row that is read, filtered or projected at its source.
const SCAN_ROW: f64 = 10e-6;
/// Milliseconds for a row that is put into a hash table.
const BUILD_ROW: f64 = 60e-6;
/// Milliseconds for a row that is looked up in a hash table.
const PROBE_ROW: f64 = 15e-6;
/// Milliseconds for a row that a join returns.
const JOINED_ROW: f64 = 15e-6;
/// Milliseconds for a pair of rows that a join without join keys compares.
const COMPARED_PAIR: f64 = 2e-6;
/// Milliseconds for a row that is put into its group.
const GROUPED_ROW: f64 = 30e-6;
/// Milliseconds for a row that is sorted, for each doubling of the rows.
const SORTED_ROW: f64 = 5e-6;

/// Milliseconds for another node to be reached and to plan the rows that it fetches, latency aside.
const DELEGATION: f64 = 2.0;

/// The bytes of a key in a Bloom filter.
const BLOOM_KEY_BYTES: f64 = 1.25;
/// The smallest saving, in bytes, for which a scan waits for keys.
const MIN_SAVED_BYTES: f64 = 4096.0;
/// The largest share of the bytes that keys may leave if a scan waits for them.
const MAX_KEPT: f64 = 0.9;
/// The saving, in milliseconds, for which a scan waits for keys as long as the setting allows. It waits less for a
/// smaller saving.
const SAVING_FOR_FULL_WAIT: f64 = 20.0;

impl Cost {
    /// Returns the cost of work that moves no bytes.
    fn work(milliseconds: f64) -> Self {
        Self { bytes: 0.0, milliseconds }
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, milliseconds: self.milliseconds + other.milliseconds }
    }
}

impl std::ops::Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { bytes: self.bytes - other.bytes, milliseconds: self.milliseconds - other.milliseconds }
    }
}

impl std::ops::Mul<f64> for Cost {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self { bytes: self.bytes * factor, milliseconds: self.milliseconds * factor }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Returns the cost of bytes over an edge.
pub(super) fn transfer(link: &Link, bytes: f64) -> Cost {
    let milliseconds = link.latency.as_secs_f64() * 1e3 + bytes / link.bandwidth.max(1.0) * 1e3;
    Cost { bytes, milliseconds }
}

/// Returns the fixed cost of a join at another node that fetches an input.
pub(super) fn delegation() -> Cost {
    Cost::work(DELEGATION)
}

/// Returns the cost of reading `rows` at their source.
pub(super) fn scan(rows: f64) -> Cost {
    Cost::work(rows * SCAN_ROW)
}

/// Returns the cost of a hash join, or of a join that compares all pairs if it has no join keys.
pub(super) fn join(build: f64, probe: f64, out: f64, has_keys: bool) -> Cost {
    let find = if has_keys { build * BUILD_ROW + probe * PROBE_ROW } else { build * probe * COMPARED_PAIR };
    Cost::work(find + out * JOINED_ROW)
}

/// Returns the cost of grouping `rows`.
pub(super) fn group(rows: f64) -> Cost {
    Cost::work(rows * GROUPED_ROW)
}

/// Returns the cost of sorting `rows`, of which `fetch` are kept.
pub(super) fn sort(rows: f64, fetch: Option<usize>) -> Cost {
    let kept = fetch.map_or(rows, |f| rows.min(f as f64)).max(2.0);
    Cost::work(rows * SORTED_ROW * kept.log2())
}

/// An edge whose rows are cut by keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Keyed {
    /// Bytes over the edge, including the keys.
    pub(super) bytes: f64,
    /// The share of the edge's rows that still cross.
    pub(super) kept: f64,
    /// The saved cost.
    pub(super) saved: Cost,
}

/// Estimates an edge of `bytes` bytes whose rows are cut by `keys` keys of `key_bytes` bytes. A share `matched` of the
/// rows has a match. Returns `None` if the keys do not pay.
pub(super) fn keyed(link: &Link, bytes: f64, keys: f64, key_bytes: f64, matched: f64) -> Option<Keyed> {
    let (exact, bloom) = (keys * key_bytes, keys * BLOOM_KEY_BYTES);
    let with_bloom = (matched + BLOOM_ERROR).min(1.0);
    let (sent, kept) = match exact + matched * bytes <= bloom + with_bloom * bytes {
        true => (exact, matched),
        false => (bloom, with_bloom),
    };
    let left = sent + kept * bytes;
    if bytes - left < MIN_SAVED_BYTES || left > bytes * MAX_KEPT {
        return None;
    }
    let saved_bytes = bytes - left;
    let saved = Cost { bytes: saved_bytes, milliseconds: saved_bytes / link.bandwidth.max(1.0) * 1e3 };
    Some(Keyed { bytes: left, kept, saved })
}

/// Returns how long a scan waits for keys: in proportion to the time that they save, up to `most`.
pub(super) fn wait(saved: Cost, most: std::time::Duration) -> std::time::Duration {
    most.mul_f64((saved.milliseconds / SAVING_FOR_FULL_WAIT).clamp(0.25, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    const LINK: Link = Link { latency: Duration::from_millis(50), bandwidth: 12.5e6 };

    #[test]
    fn an_edge_costs_its_latency_and_its_bytes() {
        let cost = transfer(&LINK, 1.25e6);
        assert_eq!(cost.bytes, 1.25e6);
        assert!((cost.milliseconds - 150.0).abs() < 1e-9, "{cost:?}");
    }

    #[test]
    fn few_keys_for_many_rows_pay() {
        let keyed = keyed(&LINK, 1e8, 100.0, 8.0, 0.001).unwrap();
        assert!((keyed.bytes - 100_800.0).abs() < 1.0, "{keyed:?}");
        assert!((keyed.saved.milliseconds - 7991.9).abs() < 1.0, "{keyed:?}");
        assert_eq!(wait(keyed.saved, Duration::from_secs(2)), Duration::from_secs(2));
    }

    #[test]
    fn many_wide_keys_go_as_a_bloom_filter() {
        let keyed = keyed(&LINK, 1e8, 1e6, 50.0, 0.1).unwrap();
        assert!((keyed.kept - 0.11).abs() < 1e-9, "{keyed:?}");
    }

    #[test]
    fn keys_that_every_row_has_do_not_pay() {
        assert_eq!(keyed(&LINK, 1e8, 100.0, 8.0, 1.0), None);
        assert_eq!(keyed(&LINK, 1000.0, 1.0, 8.0, 0.0), None);
    }
}
