//! The generator's state: its source of randomness, the names that it has used, and the constructs of its query so far.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::scope::Output;

/// A generator of one query.
pub(super) struct Generator {
    random: StdRng,
    aliases: usize,
    /// The common table expressions that can be used: name, columns, rows.
    pub(super) expressions: Vec<(String, Vec<Output>, f64)>,
    /// The common table expressions that the next relations must use.
    pub(super) forced: Vec<usize>,
    pub(super) kinds: BTreeSet<&'static str>,
    /// The number of queries around the one that is being written.
    pub(super) nesting: usize,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            aliases: 0,
            expressions: vec![],
            forced: vec![],
            kinds: BTreeSet::new(),
            nesting: 0,
        }
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    /// Returns a number from 0 up to, but without, `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.choose(&mut self.random)
    }

    /// Returns a new alias.
    pub(super) fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// Decides whether the query gets a construct of this kind, and records it.
    pub(super) fn maybe(&mut self, kind: &'static str, probability: f64) -> bool {
        let chosen = self.chance(probability);
        if chosen {
            self.tag(kind);
        }
        chosen
    }

    /// Records that the query has a construct of this kind.
    pub(super) fn tag(&mut self, kind: &'static str) {
        self.kinds.insert(kind);
    }
}
