//! Tests of ports over a database in memory: opening, reading, writing, and a database that fails.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fake;
mod opening;
mod running;
mod writing;
