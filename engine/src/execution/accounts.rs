//! The accounts of principals: what each principal uses of an engine's memory and disk, within its share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwap;
use portolan_connectors::{AccountKey, lock};

use super::budget::Budget;
use crate::limits::Allowance;
use crate::{Limits, Principal};

/// The accounts of an engine's principals.
#[derive(Debug)]
pub(crate) struct Accounts {
    limits: ArcSwap<Limits>,
    /// The memory of all queries.
    pub(crate) memory: Arc<Budget>,
    /// The memory of the tables of all sessions, which counts in addition to that of queries.
    pub(crate) tables: Arc<Budget>,
    open: Mutex<HashMap<AccountKey, OpenBudgets>>,
}

/// The budgets of a principal that anything holds. Bytes of a budget are held only by what also holds the budget, so
/// that a budget that is gone holds none.
#[derive(Debug, Default)]
struct OpenBudgets {
    memory: Weak<Budget>,
    tables: Weak<Budget>,
    spill: Weak<Budget>,
    kept_results: Weak<Budget>,
}

/// What a principal uses.
#[derive(Debug)]
pub(crate) struct Account {
    /// The memory of the principal's queries.
    pub(crate) memory: Arc<Budget>,
    /// The memory of the tables in the principal's sessions.
    pub(crate) tables: Arc<Budget>,
    /// The disk space for the principal's spilled data and kept results.
    pub(crate) spill: Arc<Budget>,
    /// The disk space for the principal's kept results.
    pub(crate) kept_results: Arc<Budget>,
}

impl Accounts {
    pub(crate) fn new(limits: &Limits) -> Self {
        let setting = "limits.memory";
        Self {
            memory: Budget::new(limits.memory, setting),
            tables: Budget::new(
                limits.all_session_tables(),
                format!("a quarter of {setting} for the tables of sessions"),
            ),
            limits: ArcSwap::from_pointee(limits.clone()),
            open: Mutex::default(),
        }
    }

    /// Changes the shares of principals. They apply to a principal when its account is requested next.
    pub(crate) fn set_limits(&self, limits: &Arc<Limits>) {
        self.limits.store(limits.clone());
    }

    /// Returns the account of a principal. Each of its budgets is the same for as long as anything holds the budget.
    /// The limits are those of the newest login, because a principal's groups may change.
    pub(crate) fn of(&self, principal: &Principal) -> Arc<Account> {
        let (key, allowance) = (principal.account(), self.limits.load().allowance(principal));
        let mut open = lock(&self.open);
        // Unused budgets are removed when the list has doubled, so that finding an account stays cheap.
        if open.len().is_power_of_two() && !open.contains_key(&key) {
            open.retain(|_, budgets| budgets.are_in_use());
        }
        Arc::new(self.account(&key, &allowance, open.entry(key.clone()).or_default()))
    }

    fn account(&self, key: &AccountKey, allowance: &Allowance, open: &mut OpenBudgets) -> Account {
        let budget = |open: &mut Weak<Budget>, whole: Option<&Arc<Budget>>, limit: usize, what: &str| {
            if let Some(budget) = open.upgrade() {
                budget.set_limit(limit);
                return budget;
            }
            let budget = Budget::part_of(whole.cloned(), limit, format!("`{what}` of {key} in `shares`"));
            *open = Arc::downgrade(&budget);
            budget
        };
        let spill = budget(&mut open.spill, None, allowance.spill, "spill");
        Account {
            memory: budget(&mut open.memory, Some(&self.memory), allowance.memory, "memory"),
            tables: budget(&mut open.tables, Some(&self.tables), allowance.session_tables, "session_tables"),
            kept_results: budget(&mut open.kept_results, Some(&spill), allowance.kept_results, "kept_results"),
            spill,
        }
    }
}

impl OpenBudgets {
    /// True if anything holds one of the budgets.
    fn are_in_use(&self) -> bool {
        // The kept results hold the budget of all spilled data.
        [&self.memory, &self.tables, &self.spill].into_iter().any(|budget| budget.strong_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::limits::{Share, Shares};

    #[test]
    fn one_principal_leaves_bytes_to_another() {
        let accounts = Accounts::new(&Limits { memory: 400, spill_bytes: 80, ..Limits::default() });
        let (ann, bob) = (accounts.of(&Principal::new("ann")), accounts.of(&Principal::new("bob")));
        let error = ann.memory.take(301).unwrap_err();
        assert!(error.context().contains("`memory` of `ann` in `shares`"), "{error}");
        ann.memory.take(300).unwrap();
        bob.memory.take(100).unwrap();
        assert!(bob.memory.take(1).unwrap_err().context().contains("limits.memory"));
        // The tables of sessions have a quarter of the memory, in addition to it.
        assert!(ann.tables.take(76).is_err());
        ann.tables.take(75).unwrap();
        assert!(ann.kept_results.take(41).is_err());
        ann.kept_results.take(40).unwrap();
        assert!(ann.spill.take(21).is_err());
        ann.spill.take(20).unwrap();
        assert_eq!((ann.spill.held(), bob.spill.held()), (60, 0));
    }

    #[test]
    fn an_account_stays_while_it_is_in_use_and_knows_the_newest_groups() {
        let groups = [("large".to_owned(), Share { memory: Some(7), ..Share::default() })].into();
        let limits = Limits { shares: Shares { groups, ..Shares::default() }, memory: 4, ..Limits::default() };
        let accounts = Accounts::new(&limits);
        let memory = accounts.of(&Principal::new("ann")).memory.clone();
        memory.take(3).unwrap();
        // A kept result outlives the session, and counts in all of its principal's spilled data.
        let kept_results = accounts.of(&Principal::new("bob")).kept_results.clone();
        kept_results.take(2).unwrap();
        for i in 0..100 {
            drop(accounts.of(&Principal::new(format!("user {i}"))));
        }
        assert!(lock(&accounts.open).len() <= 4);
        let bob = accounts.of(&Principal::new("bob"));
        assert_eq!((bob.kept_results.held(), bob.spill.held(), bob.memory.held()), (2, 2, 0));
        let ann = accounts.of(&Principal::new("ann").with_groups(["large"]));
        assert!(Arc::ptr_eq(&ann.memory, &memory) && memory.held() == 3);
        assert!(memory.take(5).unwrap_err().context().starts_with("3 of 7 bytes"));
        assert!(memory.take(4).unwrap_err().context().contains("limits.memory"));
        let visitor = |last: u8| accounts.of(&Principal::anonymous_at(Some([192, 0, 2, last].into())));
        assert!(!Arc::ptr_eq(&visitor(1), &visitor(2)));
    }
}
