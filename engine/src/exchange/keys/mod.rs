//! Keys that cut a remote scan at its owner: what a join's filter says of them once its build side is there, the form
//! in which they cost least, and the fragment's plan with a filter on top that tests rows for them.
//!
//! Before: `fragment = scan b`. After, as a join that built `a` asks for it:
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
