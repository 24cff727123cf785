//! How many different values a column has, from how many a sample of it has.

/// What a sample tells of one column's values, NULL aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// Values in the first half of each run, and how many of them differ.
    pub(super) half: (u64, u64),
    /// The same of all runs in full.
    pub(super) whole: (u64, u64),
}

impl Seen {
    /// The number of different values among `total`, of which the sample has `n`.
    ///
    /// The number `d(n)` of different values among `n` grows as `n^β` for some β between 0, where all were seen soon,
    /// and 1, where every row brings a new one. The sample itself tells how fast it grows around its own size:
    /// `β = ln(d(n) / d(n₀)) / ln(n / n₀)`, where `n₀` values are the first halves of all runs. So
    ///
    /// ```text
    /// d(total) = d(n) · (total / n)^β
    /// ```
    ///
    /// This is right for keys (β = 1) and for few values (β = 0). Halving each run rather than leaving out runs
    /// makes it right also for foreign keys that lie together, such as the order of a line item: half of a run has
    /// half of the orders, so β = 1. For foreign keys at random it is too high, since growth slows down beyond the
    /// sample: the caller knows bounds for that, such as the range of a key.
    pub(super) fn extrapolate(&self, total: u64) -> u64 {
        let ((half, half_distinct), (n, distinct)) = (self.half, self.whole);
        if total <= n || distinct == 0 {
            return distinct.min(total);
        }
        let growth = (n as f64 / half.max(1) as f64).ln();
        let beta = match growth > 0.0 {
            true => (distinct as f64 / half_distinct.max(1) as f64).ln() / growth,
            false => 1.0,
        };
        let estimate = distinct as f64 * (total as f64 / n as f64).powf(beta.clamp(0.0, 1.0));
        // A cast from a float saturates.
        (estimate.round() as u64).clamp(distinct, total)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// What 16 runs of 1024 values show, where the value at each of `total` places is given.
    fn seen(total: u64, value: impl Fn(u64) -> u64) -> Seen {
        let (mut first, mut all) = (HashSet::new(), HashSet::new());
        for run in 0..16 {
            for i in 0..1024 {
                let value = value(run * (total / 16) + i);
                all.insert(value);
                if i < 512 {
                    first.insert(value);
                }
            }
        }
        Seen { half: (16 * 512, first.len() as u64), whole: (16 * 1024, all.len() as u64) }
    }

    fn scattered(i: u64) -> u64 {
        // The finalizer of SplitMix64: every bit of the input changes half of the output's.
        let x = (i ^ (i >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn q_error(estimate: u64, truth: u64) -> f64 {
        let ratio = estimate as f64 / truth as f64;
        ratio.max(1.0 / ratio)
    }

    #[test]
    fn keys_grow_with_the_rows() {
        assert_eq!(seen(1_000_000, |i| i).extrapolate(1_000_000), 1_000_000);
    }

    #[test]
    fn few_values_do_not_grow() {
        assert_eq!(seen(1_000_000, |i| scattered(i) % 50).extrapolate(1_000_000), 50);
        assert_eq!(seen(1_000_000, |_| 1).extrapolate(1_000_000), 1);
    }

    #[test]
    fn foreign_keys_that_lie_together() {
        let estimate = seen(6_000_000, |i| i / 4).extrapolate(6_000_000);
        assert!(q_error(estimate, 1_500_000) < 1.1, "{estimate}");
    }

    #[test]
    fn foreign_keys_at_random() {
        for (keys, bound) in [(1_000, 1.1), (10_000, 4.0), (150_000, 10.0)] {
            let estimate = seen(1_500_000, |i| scattered(i) % keys).extrapolate(1_500_000);
            assert!(estimate >= keys / 2 && q_error(estimate, keys) < bound, "{estimate} of {keys}");
        }
    }

    #[test]
    fn bounds() {
        let nothing = Seen { half: (0, 0), whole: (0, 0) };
        assert_eq!(nothing.extrapolate(0), 0);
        assert_eq!(nothing.extrapolate(10), 0);
        let one = Seen { half: (0, 0), whole: (1, 1) };
        assert_eq!(one.extrapolate(1), 1);
        assert_eq!(one.extrapolate(10), 10);
        let all = Seen { half: (5, 5), whole: (10, 10) };
        assert_eq!(all.extrapolate(10), 10);
        assert_eq!(all.extrapolate(7), 7, "fewer rows than the sample found: the source has changed");
    }
}
