//! What work and edges cost: the model that decides between orders, sites and strategies, in one place.
//!
//! The unit is a millisecond. The cost of a plan is the sum of
//! - each **edge**: `latency + bytes / bandwidth` of its link, with `bytes = rows * bytes of a row`;
//! - the **work** of each operator at its site: rows in and out by the constants below;
//! - a fixed price for each part that an owner is asked to pull others' rows for: planning it there, one hop more.
//!
//! Times are added up as if nothing ran side by side: total work, not the time until the answer, as in System R*
//! (Mackert and Lohman 1986). That is what a mesh pays whose nodes answer many questions at once.

use crate::mesh::Link;
use crate::plan::Cost;

/// Milliseconds for a row that is read, filtered or projected at its source.
const SCAN_ROW: f64 = 10e-6;
/// Milliseconds for a row that is put into a hash table.
const BUILD_ROW: f64 = 60e-6;
/// Milliseconds for a row that is looked up in a hash table.
const PROBE_ROW: f64 = 15e-6;
/// Milliseconds for a row that a join gives.
const JOINED_ROW: f64 = 15e-6;
/// Milliseconds for a pair of rows that a join without keys compares.
const COMPARED_PAIR: f64 = 2e-6;
/// Milliseconds for a row that is put into its group.
const GROUPED_ROW: f64 = 30e-6;
/// Milliseconds for a row that is sorted, for each doubling of the rows.
const SORTED_ROW: f64 = 5e-6;

/// Milliseconds that it takes to have another node plan what it pulls and to reach it, latency aside.
const DELEGATION: f64 = 2.0;

/// A key in a Bloom filter takes so many bytes, and so many of the rows without a match come all the same.
const BLOOM_KEY_BYTES: f64 = 1.25;
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
/// Keys that save fewer bytes than this are not worth waiting for.
const LEAST_SAVED_BYTES: f64 = 4096.0;
/// Nor are those that leave more than this share of the bytes.
const MOST_KEPT: f64 = 0.9;
/// With this saving, in milliseconds, keys are waited for as long as the setting allows; with less, for less.
const SAVING_WORTH_THE_WHOLE_WAIT: f64 = 20.0;

impl Cost {
    /// Work that moves nothing.
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

/// Bytes over an edge.
pub(super) fn transfer(link: &Link, bytes: f64) -> Cost {
    let milliseconds = link.latency.as_secs_f64() * 1e3 + bytes / link.bandwidth.max(1.0) * 1e3;
    Cost { bytes, milliseconds }
}

/// Having another node pull what it joins.
pub(super) fn delegation() -> Cost {
    Cost::work(DELEGATION)
}

/// Reading `rows` at their source.
pub(super) fn scan(rows: f64) -> Cost {
    Cost::work(rows * SCAN_ROW)
}

/// A hash join, or one that compares all pairs where there are no keys.
pub(super) fn join(build: f64, probe: f64, out: f64, has_keys: bool) -> Cost {
    let find = if has_keys { build * BUILD_ROW + probe * PROBE_ROW } else { build * probe * COMPARED_PAIR };
    Cost::work(find + out * JOINED_ROW)
}

/// Grouping `rows`.
pub(super) fn group(rows: f64) -> Cost {
    Cost::work(rows * GROUPED_ROW)
}

/// Sorting `rows`, of which `fetch` are kept.
pub(super) fn sort(rows: f64, fetch: Option<usize>) -> Cost {
    let kept = fetch.map_or(rows, |f| rows.min(f as f64)).max(2.0);
    Cost::work(rows * SORTED_ROW * kept.log2())
}

/// What keys make of an edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Keyed {
    /// Bytes over the edge, the keys included.
    pub(super) bytes: f64,
    /// The share of its rows that still cross.
    pub(super) kept: f64,
    /// The time that is saved.
    pub(super) saved: Cost,
}

/// An edge of `bytes` whose rows are cut by `keys` of `key_bytes` each, of which a share `matched` has a match. `None`
/// where it does not pay.
pub(super) fn keyed(link: &Link, bytes: f64, keys: f64, key_bytes: f64, matched: f64) -> Option<Keyed> {
    let (exact, bloom) = (keys * key_bytes, keys * BLOOM_KEY_BYTES);
    let with_bloom = (matched + BLOOM_FALSE_POSITIVES).min(1.0);
    let (sent, kept) = match exact + matched * bytes <= bloom + with_bloom * bytes {
        true => (exact, matched),
        false => (bloom, with_bloom),
    };
    let left = sent + kept * bytes;
    if bytes - left < LEAST_SAVED_BYTES || left > bytes * MOST_KEPT {
        return None;
    }
    let saved_bytes = bytes - left;
    let saved = Cost { bytes: saved_bytes, milliseconds: saved_bytes / link.bandwidth.max(1.0) * 1e3 };
    Some(Keyed { bytes: left, kept, saved })
}

/// How long a scan waits for keys that save so much: in proportion to what they save, up to `most`.
pub(super) fn wait(saved: Cost, most: std::time::Duration) -> std::time::Duration {
    most.mul_f64((saved.milliseconds / SAVING_WORTH_THE_WHOLE_WAIT).clamp(0.25, 1.0))
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
