//! The vocabulary of a plan: what the planner decides, execution follows and EXPLAIN shows.

mod counted;
mod decision;
mod edge;
mod exchange;
mod fragment;
mod placed;
mod planned;
mod shared;

pub(crate) use counted::{Counted, MAX_LISTED_KEYS};
pub(crate) use decision::{Alternative, Cost, Decision};
pub(crate) use edge::{Edge, KeyPlan, Strategy, THIS_NODE};
pub(crate) use exchange::{Exchange, Running};
pub(crate) use fragment::Fragment;
pub(crate) use placed::{Placed, Reason, SharedMark, SiteChoice};
pub(crate) use planned::Planned;
pub(crate) use shared::Shared;
