//! Estimates the number of distinct values of a column from the number in a sample.

/// The number of bisection steps. They reduce any ratio of two row counts to a negligible interval.
const BISECTIONS: usize = 64;

/// The numbers of distinct values in a sample of one column, without NULL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DistinctCounts {
    /// The number of values in the first halves of all runs, and how many of them are distinct.
    pub(super) half: (u64, u64),
    /// The same for the whole runs.
    pub(super) whole: (u64, u64),
}

impl DistinctCounts {
    /// Estimates the number of distinct values among `total` values. The sample has `n` values, `d(n)` of them
    /// distinct. The first halves of the runs have `n₀` values, `d(n₀)` of them distinct.
    ///
    /// Assume that the rows of a value are at random places, and that each of `D` values has `total / D` rows. A sample
    /// with the share `q = n / total` of the rows then misses a value with probability `(1 - q)^(total / D)`, and so
    /// has
    ///
    /// ```text
    /// s(D, q) = D · (1 - (1 - q)^(total / D))
    /// ```
    ///
    /// distinct values. Solving `s(D, n / total) = d(n)` gives `D`. This estimate is right for keys, for few values,
    /// and for foreign keys at random places.
    ///
    /// It is too low if the rows of a value are adjacent, such as the lines of an order, or if a few values are
    /// frequent and many are rare. The growth from the first halves to the whole runs measures how fast new values
    /// appear: `β = ln(d(n) / d(n₀)) / ln(n / n₀)`. It is 0 if the second halves have no new values, and 1 if they have
    /// as many new values as the first halves. `β₁` is the same growth for `s(D, n₀ / total)`, that is, for values at
    /// random places. The more `β` exceeds `β₁`, the more the estimate moves from `D` to proportional growth:
    ///
    /// ```text
    /// w = (β - β₁) / (1 - β₁)        between 0 and 1
    /// estimate = D^(1 - w) · (d(n) · total / n)^w
    /// ```
    ///
    /// The method halves each run instead of omitting whole runs, because only the halves of a run show adjacent rows.
    pub(super) fn extrapolate(&self, total: u64) -> u64 {
        let ((half, half_distinct), (n, distinct)) = (self.half, self.whole);
        if total <= n || distinct == 0 {
            return distinct.min(total);
        }
        let (all, n, d) = (total as f64, n as f64, distinct as f64);
        let half = half.max(1) as f64;
        let at_random = values_at_random(d, n / all, all);
        let growth = |of_half: f64| (d / of_half.max(1.0)).ln() / (n / half).ln();
        let beta = growth(half_distinct as f64);
        let beta_at_random = growth(seen_at_random(at_random, half / all, all));
        let weight = (beta - beta_at_random) / (1.0 - beta_at_random);
        // Not finite if there are too few rows for halves, and for keys, whose two estimates are the same.
        let weight = if weight.is_finite() { weight.clamp(0.0, 1.0) } else { 0.0 };
        let estimate = at_random.powf(1.0 - weight) * (d * all / n).powf(weight);
        // A cast from a float saturates.
        (estimate.round() as u64).clamp(distinct, total)
    }
}

/// Returns how many of `distinct` values occur in the share `q` of `total` rows, if each value has equally many rows at
/// random places.
fn seen_at_random(distinct: f64, q: f64, total: f64) -> f64 {
    -distinct * ((-q).ln_1p() * total / distinct).exp_m1()
}

/// Returns the number of distinct values if `seen` of them occur in the share `q` of the rows.
fn values_at_random(seen: f64, q: f64, total: f64) -> f64 {
    let (mut low, mut high) = (seen, total);
    for _ in 0..BISECTIONS {
        let middle = (low * high).sqrt();
        match seen_at_random(middle, q, total) < seen {
            true => low = middle,
            false => high = middle,
        }
    }
    (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Returns the counts of 16 runs of 1024 values. `value` returns the value at each of `total` places.
    fn seen(total: u64, value: impl Fn(u64) -> u64) -> DistinctCounts {
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
        DistinctCounts { half: (16 * 512, first.len() as u64), whole: (16 * 1024, all.len() as u64) }
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
        for keys in [1_000, 10_000, 150_000] {
            let estimate = seen(1_500_000, |i| scattered(i) % keys).extrapolate(1_500_000);
            assert!(q_error(estimate, keys) < 1.5, "{estimate} of {keys}");
        }
    }

    #[test]
    fn a_few_frequent_values_and_many_rare_ones() {
        // Half of the rows hold one value, the other half a value each.
        let estimate = seen(1_000_000, |i| if scattered(i).is_multiple_of(2) { 0 } else { i }).extrapolate(1_000_000);
        assert!(q_error(estimate, 500_000) < 1.5, "{estimate}");
    }

    #[test]
    fn bounds() {
        let nothing = DistinctCounts { half: (0, 0), whole: (0, 0) };
        assert_eq!(nothing.extrapolate(0), 0);
        assert_eq!(nothing.extrapolate(10), 0);
        let one = DistinctCounts { half: (0, 0), whole: (1, 1) };
        assert_eq!(one.extrapolate(1), 1);
        assert_eq!(one.extrapolate(10), 10);
        let all = DistinctCounts { half: (5, 5), whole: (10, 10) };
        assert_eq!(all.extrapolate(10), 10);
        assert_eq!(all.extrapolate(1000), 1000);
        assert_eq!(all.extrapolate(7), 7, "fewer rows than the sample found: the source has changed");
    }
}
