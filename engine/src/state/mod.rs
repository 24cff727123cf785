//! State that lives as long as an engine or one of its sessions: the shared state, the activity of clients, the guard
//! over the memory of the host, and the tables and views of sessions.

mod activity;
mod client_identity;
mod engine;
mod memory_guard;
mod query;
mod session;
pub(crate) mod tables;
pub(crate) mod views;

pub(crate) use activity::{Activity, ActivityGuard};
pub(crate) use client_identity::ClientIdentity;
pub(crate) use engine::EngineState;
pub(crate) use memory_guard::MemoryGuard;
pub(crate) use query::{QueryContext, RunningMemory, RunningQuery};
pub(crate) use session::SessionHandle;
