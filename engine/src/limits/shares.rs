//! The share of each principal in the resources of an engine: the values that a config can set, and their defaults.

use std::collections::BTreeMap;

use portolan_connectors::Principal;

use super::Limits;

/// The shares of principals. The value of a principal's own entry comes first, then the largest value in the entries of
/// the principal's groups, then the value in `default`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shares {
    /// The share of a principal without an entry.
    pub default: Share,
    /// The share of each member of a group, by the name of the group. The members do not share it.
    pub groups: BTreeMap<String, Share>,
    /// The shares of single principals, by name. The entry of `anonymous` is the share of each address.
    pub principals: BTreeMap<String, Share>,
}

/// The share of one principal. `None`: the entry has no such value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// The number of slots that the principal gets for each slot of a principal with weight 1, and the number of thread
    /// pools, of which a principal uses at most four. Default: 1.
    pub weight: Option<u32>,
    /// The number of the principal's queries that run at once. Default: three quarters of `concurrent_queries`.
    pub concurrent_queries: Option<usize>,
    /// The number of the principal's queries that wait. Default: `queued_queries`.
    pub queued_queries: Option<usize>,
    /// The memory of the principal's queries together, in bytes. Default: three quarters of `memory`.
    pub memory: Option<u64>,
    /// The disk space for the principal's spilled data and kept results, in bytes. Default: three quarters of
    /// `spill_bytes`.
    pub spill: Option<u64>,
    /// The memory of the tables in all sessions of the principal, in bytes. Default: three quarters of what the tables
    /// of all sessions may hold.
    pub session_tables: Option<u64>,
    /// The disk space for the principal's kept results, in bytes. Default: half of `spill_bytes`.
    pub kept_results: Option<u64>,
}

/// The tables of all sessions together may hold the memory of queries divided by this number.
const SESSION_TABLES_DIVISOR: usize = 4;

/// The resources that one principal may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) weight: u32,
    pub(crate) concurrent_queries: usize,
    pub(crate) queued_queries: usize,
    pub(crate) memory: usize,
    pub(crate) spill: usize,
    pub(crate) session_tables: usize,
    pub(crate) kept_results: usize,
}

impl Limits {
    /// Returns the memory of the tables of all sessions together, in bytes.
    pub(crate) fn all_session_tables(&self) -> usize {
        self.memory / SESSION_TABLES_DIVISOR
    }

    /// Returns the weight of a principal, at least 1.
    pub(crate) fn weight(&self, principal: &Principal) -> u32 {
        self.shares.value(principal, |share| share.weight).unwrap_or(1).max(1)
    }

    /// Returns the resources that a principal may use.
    pub(crate) fn allowance(&self, principal: &Principal) -> Allowance {
        let shares = &self.shares;
        let bytes = |given: Option<u64>, default: usize| given.map_or(default, to_usize);
        let spill = to_usize(self.spill_bytes);
        Allowance {
            weight: self.weight(principal),
            concurrent_queries: shares
                .value(principal, |share| share.concurrent_queries)
                .unwrap_or_else(|| three_quarters(self.concurrent_queries))
                .max(1),
            queued_queries: shares.value(principal, |share| share.queued_queries).unwrap_or(self.queued_queries),
            memory: bytes(shares.value(principal, |share| share.memory), three_quarters(self.memory)),
            spill: bytes(shares.value(principal, |share| share.spill), three_quarters(spill)),
            session_tables: bytes(
                shares.value(principal, |share| share.session_tables),
                three_quarters(self.all_session_tables()),
            ),
            kept_results: bytes(shares.value(principal, |share| share.kept_results), spill / 2),
        }
    }
}

impl Shares {
    fn value<T: Ord>(&self, principal: &Principal, of: impl Fn(&Share) -> Option<T>) -> Option<T> {
        let own = self.principals.get(principal.name()).and_then(&of);
        let of_groups = || principal.groups().iter().filter_map(|group| of(self.groups.get(group)?)).max();
        own.or_else(of_groups).or_else(|| of(&self.default))
    }
}

/// Returns all but a quarter, which is rounded down.
pub(crate) fn three_quarters(all: usize) -> usize {
    all - all / 4
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_left_to_others() {
        let allowance = Limits::default().allowance(&Principal::new("ann"));
        assert_eq!((allowance.weight, allowance.concurrent_queries, allowance.queued_queries), (1, 48, 256));
        assert_eq!((allowance.memory, allowance.session_tables), (6 << 30, 3 << 29));
        assert_eq!((allowance.spill, allowance.kept_results), (75 << 29, 25 << 30));
        let small = |concurrent_queries| Limits { concurrent_queries, ..Limits::default() };
        let slots = |all| small(all).allowance(&Principal::new("ann")).concurrent_queries;
        assert_eq!([0, 1, 2, 3, 4, 8].map(slots), [1, 1, 2, 3, 3, 6]);
    }

    #[test]
    fn the_own_entry_goes_first_and_then_the_largest_of_the_groups() {
        let weight = |weight| Share { weight: Some(weight), ..Share::default() };
        let shares = Shares {
            default: Share { queued_queries: Some(7), ..weight(2) },
            groups: [("a".to_owned(), weight(3)), ("b".to_owned(), Share { memory: Some(1000), ..weight(5) })].into(),
            principals: [("ann".to_owned(), weight(1)), ("anonymous".to_owned(), weight(9))].into(),
        };
        let limits = Limits { shares, ..Limits::default() };
        let allowance =
            |name: &str, groups: &[&str]| limits.allowance(&Principal::new(name).with_groups(groups.iter().copied()));
        assert_eq!([allowance("bob", &[]).weight, allowance("bob", &["a"]).weight], [2, 3]);
        assert_eq!([allowance("bob", &["a", "b", "c"]).weight, allowance("ann", &["a", "b"]).weight], [5, 1]);
        assert_eq!([allowance("ann", &["b"]).memory, allowance("ann", &["b"]).queued_queries], [1000, 7]);
        assert_eq!(limits.allowance(&Principal::anonymous_at(Some([192, 0, 2, 1].into()))).weight, 9);
    }
}
