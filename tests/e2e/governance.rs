//! Governance: what principals observe of ports with policies. Hidden rows, hidden columns and masked values must not
//! show in rows, errors, plans, counters, catalogs or the bytes that a client receives.
//!
//! The generator runs 200 random cases with a fixed seed. By hand, it runs any number:
//!
//! ```sh
//! PORTOLAN_GOVERNED_CASES=10000 PORTOLAN_GOVERNED_SEED=7 cargo test --workspace --test e2e governance::generator -- --nocapture
//! ```
//!
//! `PORTOLAN_GOVERNED_CASE=42` runs only that case and shows it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod buffers;
mod contracts;
mod databases;
mod describe;
mod explain;
mod explain_policy;
mod faulty_policies;
mod flight_calls;
mod forged;
mod generator;
mod handmade;
mod label;
mod masked_joins;
mod paths;
mod places;
mod probes;
mod purposes;
mod revocation;
mod strict;
