//! How many different values a column has, from how many a sample of it has.

/// Enough to halve any ratio of two counts of rows down to nothing.
const BISECTIONS: usize = 64;

/// The numbers of different values in a sample of one column, NULL aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DistinctCounts {
    /// Values in the first half of each run, and how many of them differ.
    pub(super) half: (u64, u64),
    /// The same of all runs in full.
    pub(super) whole: (u64, u64),
}

impl DistinctCounts {
    /// The number of different values among `total`, of which the sample has `n` values, `d(n)` of them different, and
    /// the first halves of its runs `n₀` and `d(n₀)`.
    ///
    /// If the rows of a value lie anywhere, and each of `D` values has `total / D` of them, a sample that takes the share
    /// `q = n / total` of the rows misses a value with the chance `(1 - q)^(total / D)`, and so sees
    ///
    /// ```text
    /// s(D, q) = D · (1 - (1 - q)^(total / D))
    /// ```
    ///
    /// of them. Solving `s(D, n / total) = d(n)` gives `D`: right for keys, for few values, for foreign keys at random.
    ///
    /// Where rows of a value lie together, such as the lines of an order, or where a few values are frequent and many
    /// are rare, more values are still to come than that. How fast they come tells the growth from the first halves to
    /// the whole, `β = ln(d(n) / d(n₀)) / ln(n / n₀)`, from 0, where nothing new comes, to 1, where the second halves
    /// bring as many as the first. `β₁` is the same for `s(D, n₀ / total)`, which is what values at random
    /// would show. The larger β is than that, the more the estimate goes from `D` to growth in proportion:
    ///
    /// ```text
    /// w = (β - β₁) / (1 - β₁)        between 0 and 1
    /// estimate = D^(1 - w) · (d(n) · total / n)^w
    /// ```
    ///
    /// Halving each run, rather than leaving out runs, is what makes rows that lie together show.
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
        // Too few rows to have halves, and keys, for which both ends are the same.
        let weight = if weight.is_finite() { weight.clamp(0.0, 1.0) } else { 0.0 };
        let estimate = at_random.powf(1.0 - weight) * (d * all / n).powf(weight);
        // A cast from a float saturates.
        (estimate.round() as u64).clamp(distinct, total)
    }
}

/// How many of `distinct` values the share `q` of `total` rows shows, where each value has as many rows, anywhere.
fn seen_at_random(distinct: f64, q: f64, total: f64) -> f64 {
    -distinct * ((-q).ln_1p() * total / distinct).exp_m1()
}

/// How many values there are if that share shows `seen`.
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

    /// What 16 runs of 1024 values show, where the value at each of `total` places is given.
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
