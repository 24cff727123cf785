//! The sites that the passes order, split and place choose from.

mod sites;

pub(super) use self::sites::{peers, port_of, refusal, site_and_domains, site_of};
