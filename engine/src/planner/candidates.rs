//! The sites that the passes order, split and place choose from.

mod sites;

pub(super) use self::sites::{home, may_travel, peers, port_of, site_of};
