//! The accounts of principals: what each principal uses of an engine's memory and disk, within its share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use portolan_connectors::{AccountKey, lock};

use super::budget::Budget;
use crate::limits::Allowance;
use crate::{Limits, Principal};

/// The accounts of an engine's principals.
#[derive(Debug)]
pub(crate) struct Accounts {
    limits: Limits,
    /// The memory of all queries.
    pub(crate) memory: Arc<Budget>,
    /// The memory of the tables of all sessions, which counts in addition to that of queries.
    pub(crate) tables: Arc<Budget>,
    open: Mutex<HashMap<AccountKey, Arc<Account>>>,
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
            limits: limits.clone(),
            open: Mutex::default(),
        }
    }

    /// Returns the account of a principal. The account is the same for as long as anything of it is in use.
    pub(crate) fn of(&self, principal: &Principal) -> Arc<Account> {
        let (key, allowance) = (principal.account(), self.limits.allowance(principal));
        let mut open = lock(&self.open);
        if let Some(account) = open.get(&key) {
            account.allow(&allowance);
            return account.clone();
        }
        // Unused accounts are removed when the list has doubled, so that finding an account stays cheap.
        if open.len().is_power_of_two() {
            open.retain(|_, account| account.is_in_use());
        }
        let account = Arc::new(self.account(&key, &allowance));
        open.insert(key, account.clone());
        account
    }

    fn account(&self, key: &AccountKey, allowance: &Allowance) -> Account {
        let setting = |what: &str| format!("`{what}` of {key} in `shares`");
        let spill = Budget::new(allowance.spill, setting("spill"));
        Account {
            memory: Budget::part_of(Some(self.memory.clone()), allowance.memory, setting("memory")),
            tables: Budget::part_of(Some(self.tables.clone()), allowance.session_tables, setting("session_tables")),
            kept_results: Budget::part_of(Some(spill.clone()), allowance.kept_results, setting("kept_results")),
            spill,
        }
    }
}

impl Account {
    /// Changes the limits to those of the newest login, because a principal's groups may change.
    fn allow(&self, allowance: &Allowance) {
        self.memory.set_limit(allowance.memory);
        self.tables.set_limit(allowance.session_tables);
        self.spill.set_limit(allowance.spill);
        self.kept_results.set_limit(allowance.kept_results);
    }

    /// True if anything holds the account or one of its budgets, or holds bytes of them. Must be called with the lock
    /// on the accounts, which are the only place where an unused account is found.
    fn is_in_use(self: &Arc<Self>) -> bool {
        let budgets = [&self.memory, &self.tables, &self.kept_results];
        // The kept results hold the whole of spilled data, too.
        Arc::strong_count(self) > 1
            || budgets.into_iter().any(|budget| Arc::strong_count(budget) > 1)
            || Arc::strong_count(&self.spill) > 2
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
        for i in 0..100 {
            drop(accounts.of(&Principal::new(format!("user {i}"))));
        }
        assert!(lock(&accounts.open).len() <= 4);
        let ann = accounts.of(&Principal::new("ann").with_groups(["large"]));
        assert!(Arc::ptr_eq(&ann.memory, &memory) && memory.held() == 3);
        assert!(memory.take(5).unwrap_err().context().starts_with("3 of 7 bytes"));
        assert!(memory.take(4).unwrap_err().context().contains("limits.memory"));
        let visitor = |last: u8| accounts.of(&Principal::anonymous_at(Some([192, 0, 2, last].into())));
        assert!(!Arc::ptr_eq(&visitor(1), &visitor(2)));
    }
}
