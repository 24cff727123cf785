//! A bounded cache of decisions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use portolan_catalog::PortRef;

use crate::caller::Caller;
use crate::decision::{Action, Decision};
use crate::policies::Policies;

/// A cache of decisions with a bound on their number.
///
/// The key has everything that a decision depends on: the caller, the port, the action and the version of the policies.
/// A decision that depends on time is kept until it may change. Decisions that are not used are dropped first: the
/// cache has two generations, and a new one begins when the current one is full.
#[derive(Debug)]
pub struct DecisionCache {
    capacity: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    current: HashMap<Key, Kept>,
    previous: HashMap<Key, Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    version: String,
    caller: Caller,
    port: PortRef,
    action: Action,
}

#[derive(Clone, Debug)]
struct Kept {
    decision: Decision,
    /// The time of the decision. The clock may be set back.
    from: SystemTime,
}

impl DecisionCache {
    /// Returns a cache of at most `capacity` decisions.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, generations: Mutex::default() }
    }

    /// Returns the decision of the policies, from the cache if it has one that is valid at `now`.
    pub fn decide(
        &self,
        policies: &Policies,
        caller: &Caller,
        port: &PortRef,
        action: Action,
        now: SystemTime,
    ) -> Decision {
        let version = policies.version().to_owned();
        let key = Key { version, caller: caller.clone(), port: port.clone(), action };
        if let Some(decision) = self.find(&key, now) {
            return decision;
        }
        let decision = policies.decide(caller, port, action, now);
        // The version of the policies does not have the errors that close a port.
        if !matches!(decision, Decision::Closed(_)) {
            self.keep(key, Kept { decision: decision.clone(), from: now });
        }
        decision
    }

    /// Returns the number of decisions in the cache.
    pub fn len(&self) -> usize {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.current.len() + generations.previous.len()
    }

    /// True if the cache is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, key: &Key, now: SystemTime) -> Option<Decision> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let is_valid = |kept: &Kept| match kept.decision.valid_until() {
            Some(until) => kept.from <= now && now < until,
            // Such decisions do not depend on time.
            None => true,
        };
        if let Some(kept) = generations.current.get(key) {
            return is_valid(kept).then(|| kept.decision.clone());
        }
        let kept = generations.previous.remove(key).filter(is_valid)?;
        let decision = kept.decision.clone();
        self.insert(&mut generations, key.clone(), kept);
        Some(decision)
    }

    fn keep(&self, key: Key, kept: Kept) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        self.insert(&mut generations, key, kept);
    }

    fn insert(&self, generations: &mut Generations, key: Key, kept: Kept) {
        if self.capacity == 0 {
            return;
        }
        generations.previous.remove(&key);
        generations.current.insert(key, kept);
        if generations.current.len() >= self.capacity / 2 {
            generations.previous = std::mem::take(&mut generations.current);
        }
    }
}
