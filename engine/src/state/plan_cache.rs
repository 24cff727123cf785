//! The plans that an engine keeps, so that it plans a repeated statement or fragment once. Decision 10 (`docs/adr`) states
//! what is kept, and why nobody sees more by a kept plan.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::datatypes::DataType;
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use portolan_catalog::PortRef;
use portolan_connectors::lock;
use portolan_governance::Caller;

/// The largest number of entries. A statement or fragment has one entry before the passes, and one for each planned run.
const MOST_ENTRIES: usize = 4_096;
/// The estimated size of all entries, in bytes.
const MOST_BYTES: usize = 64 << 20;
/// The estimated size of the largest entry, in bytes.
const MOST_ENTRY_BYTES: usize = 1 << 20;
/// The size of a key without the texts in it, in bytes.
const KEY_BYTES: usize = size_of::<PlanKey>();

/// The inputs of a kept plan, apart from the version of the mesh.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum PlanKey {
    /// A statement before the passes, in a session without tables and views.
    Statement {
        text: String,
        /// The name of the principal, which a statement can read.
        user: String,
        /// The session's defaults for names without a domain.
        catalog: Option<String>,
        schema: Option<String>,
        /// The ports that the session's view of the mesh does not have.
        hidden: Arc<BTreeSet<PortRef>>,
    },
    /// A fragment of another node before the passes, without join keys.
    Fragment {
        plan: Bytes,
        /// The ports that the view of the fragment's principal does not have.
        hidden: Arc<BTreeSet<PortRef>>,
    },
    /// A statement or fragment after the passes.
    Planned {
        /// The number of the entry before the passes.
        of: u64,
        /// The values of the parameters. Values can be equal that differ in their type.
        values: Vec<(DataType, ScalarValue)>,
        caller: Caller,
        /// All settings of the session.
        settings: String,
    },
}

/// The plans that an engine keeps, for one version of the mesh. Those that are not used are dropped first: there are two
/// generations, and a new one begins when the current one is full.
pub(crate) struct PlanCache {
    kept: Mutex<Generations>,
    most_entries: usize,
    most_bytes: usize,
    /// The number of the next entry before the passes. A number is used once.
    next: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The number of kept plans, and of the runs that used one or needed another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlanTotals {
    pub(crate) entries: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

#[derive(Default)]
struct Generations {
    /// The version of the mesh.
    version: u64,
    current: Generation,
    previous: Generation,
}

#[derive(Default)]
struct Generation {
    entries: HashMap<PlanKey, Entry>,
    bytes: usize,
}

struct Entry {
    plan: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

impl Default for PlanCache {
    fn default() -> Self {
        Self::with_bounds(MOST_ENTRIES, MOST_BYTES)
    }
}

impl PlanCache {
    /// Returns an empty cache with these bounds.
    fn with_bounds(most_entries: usize, most_bytes: usize) -> Self {
        let (next, hits, misses) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { kept: Mutex::default(), most_entries, most_bytes, next, hits, misses }
    }

    /// Returns the plan with this key, if it was kept for this version of the mesh.
    pub(crate) fn find<T: Any + Send + Sync>(&self, version: u64, key: &PlanKey) -> Option<Arc<T>> {
        // Such a key is not kept. To hash it would hold the lock for long.
        if key.bytes() > self.largest() {
            return None;
        }
        // They are dropped after the lock: that takes long for many plans.
        let mut dropped = vec![];
        let mut kept = lock(&self.kept);
        if !kept.advance_to(version, &mut dropped) {
            return None;
        }
        let plan = match kept.current.entries.get(key) {
            Some(entry) => entry.plan.clone(),
            None => {
                let entry = kept.previous.remove(key)?;
                let plan = entry.plan.clone();
                self.insert(&mut kept, key.clone(), entry, &mut dropped);
                plan
            }
        };
        plan.downcast().ok()
    }

    /// Keeps a plan for this version of the mesh. `bytes` is the estimated size of the plan. Returns false if the plan is
    /// too large, or if there is a newer version.
    pub(crate) fn keep(&self, version: u64, key: PlanKey, plan: Arc<dyn Any + Send + Sync>, bytes: usize) -> bool {
        let bytes = bytes.saturating_add(key.bytes());
        if bytes > self.largest() {
            return false;
        }
        let mut dropped = vec![];
        let mut kept = lock(&self.kept);
        let is_kept = kept.advance_to(version, &mut dropped);
        if is_kept {
            self.insert(&mut kept, key, Entry { plan, bytes }, &mut dropped);
        }
        is_kept
    }

    fn insert(&self, kept: &mut Generations, key: PlanKey, entry: Entry, dropped: &mut Vec<Generation>) {
        kept.previous.remove(&key);
        kept.current.remove(&key);
        let is_full = kept.current.entries.len() >= self.most_entries / 2
            || kept.current.bytes + entry.bytes > self.most_bytes / 2;
        if is_full {
            let full = std::mem::take(&mut kept.current);
            dropped.push(std::mem::replace(&mut kept.previous, full));
        }
        kept.current.bytes += entry.bytes;
        kept.current.entries.insert(key, entry);
    }

    /// Returns the size of the largest entry, in bytes.
    fn largest(&self) -> usize {
        MOST_ENTRY_BYTES.min(self.most_bytes / 2)
    }

    /// Drops the plans for older versions of the mesh.
    pub(crate) fn forget_before(&self, version: u64) {
        let mut dropped = vec![];
        lock(&self.kept).advance_to(version, &mut dropped);
    }

    /// Returns a number that no other entry has.
    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a run whose plan may be kept: a hit if it used a kept plan.
    pub(crate) fn count(&self, is_hit: bool) {
        let counter = if is_hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts.
    pub(crate) fn totals(&self) -> PlanTotals {
        let entries = lock(&self.kept).len() as u64;
        let (hits, misses) = (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed));
        PlanTotals { entries, hits, misses }
    }
}

impl Generations {
    /// Drops the plans for older versions of the mesh than this one. Returns false if there is a newer one.
    fn advance_to(&mut self, version: u64, dropped: &mut Vec<Generation>) -> bool {
        if version > self.version {
            dropped.extend([std::mem::take(&mut self.current), std::mem::take(&mut self.previous)]);
            self.version = version;
        }
        version == self.version
    }

    fn len(&self) -> usize {
        self.current.entries.len() + self.previous.entries.len()
    }
}

impl Generation {
    fn remove(&mut self, key: &PlanKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

impl PlanKey {
    /// Returns the estimated size of the key in bytes.
    fn bytes(&self) -> usize {
        let texts = match self {
            Self::Statement { text, user, catalog, schema, .. } => {
                let defaults = [catalog, schema].into_iter().flatten().map(String::len).sum::<usize>();
                text.len() + user.len() + defaults
            }
            Self::Fragment { plan, .. } => plan.len(),
            Self::Planned { values, caller, settings, .. } => {
                let values: usize = values.iter().map(|(_, value)| size_of::<DataType>() + value.size()).sum();
                let groups: usize = caller.groups.iter().chain(&caller.via).map(String::len).sum();
                let attributes = caller.attributes.iter().map(|(name, values)| {
                    name.len() + values.iter().map(|value| size_of::<String>() + value.len()).sum::<usize>()
                });
                values + settings.len() + caller.name.len() + groups + attributes.sum::<usize>()
            }
        };
        KEY_BYTES.saturating_add(texts)
    }
}

/// Plans and keys contain values of statements.
impl fmt::Debug for PlanCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanCache").field("totals", &self.totals()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
