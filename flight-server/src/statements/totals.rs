//! What principals hold: the number and the size of their statements. A new statement need not search all others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use portolan_connectors::AccountKey;
use portolan_engine::Principal;

/// The number of each principal's statements, and their size in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals(HashMap<AccountKey, (usize, usize)>);

impl Totals {
    /// Returns the number of a principal's statements, and their size.
    pub(super) fn of(&self, owner: &Principal) -> (usize, usize) {
        self.0.get(&owner.account()).copied().unwrap_or_default()
    }

    /// Adds a statement.
    pub(super) fn add(&mut self, owner: &Principal, bytes: usize) {
        let (count, sum) = self.0.entry(owner.account()).or_default();
        *count += 1;
        *sum += bytes;
    }

    /// Removes a statement that was added with this size.
    pub(super) fn remove(&mut self, owner: &Principal, bytes: usize) {
        let Entry::Occupied(mut entry) = self.0.entry(owner.account()) else { return };
        let (count, sum) = entry.get_mut();
        *count = count.saturating_sub(1);
        *sum = sum.saturating_sub(bytes);
        if *count == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
impl From<HashMap<AccountKey, (usize, usize)>> for Totals {
    fn from(totals: HashMap<AccountKey, (usize, usize)>) -> Self {
        Self(totals)
    }
}
