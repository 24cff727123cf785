//! Keys that cut a remote scan at its owner: the restrictions in a join's filter after its build side is complete, the
//! cheapest form of the keys, and the fragment's plan with a filter on top that tests rows for them.
//!
//! Before: `fragment = scan b`.
//! After, with the keys of a join that has built `a`:
//! `fragment = Filter: portolan_in_keys(b.k) AND b.k >= 3 AND b.k <= 99 (scan b)`.

mod column;
mod form;
mod report;
mod restrict;
mod restriction;
mod set;

pub(super) use report::KeyReport;
pub(super) use restrict::restrict;
pub(super) use restriction::Restriction;

#[cfg(test)]
mod tests;
