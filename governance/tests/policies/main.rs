//! Decisions of policies over a small domain, with values stated by hand and with Cedar itself as the oracle.
//! The oracle is in `oracle.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod agreements;
mod cache;
mod columns;
mod combination;
mod describe;
mod faults;
mod fixtures;
mod oracle;
mod rows;
mod speed;
mod warnings;
