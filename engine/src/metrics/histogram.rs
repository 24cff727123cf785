//! A histogram of times.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// A histogram of times.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    /// The number of times above the last bound.
    above: AtomicU64,
    microseconds: AtomicU64,
}

/// A histogram of times at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramMetrics {
    /// The upper bound of each bucket in seconds, and the number of times in the bucket itself.
    pub buckets: Vec<(f64, u64)>,
    /// The number of times, including those above the last bound.
    pub count: u64,
    /// The sum of the times, in seconds.
    pub sum: f64,
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).and_then(|index| self.buckets.get(index));
        bucket.unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> HistogramMetrics {
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = BOUNDS.into_iter().zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum::<u64>() + self.above.load(Ordering::Relaxed);
        HistogramMetrics { buckets, count, sum: self.microseconds.load(Ordering::Relaxed) as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_fits() {
        let histogram = Histogram::default();
        for ms in [0, 1, 2, 200, 700_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let read = histogram.read();
        let filled: Vec<_> = read.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(filled, [(0.001, 2), (0.0025, 1), (0.25, 1)]);
        assert_eq!((read.count, read.sum), (5, 700.203));
        assert!(BOUNDS.is_sorted());
    }
}
