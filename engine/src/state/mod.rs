//! State that lives as long as an engine or one of its sessions: the shared state, the activity of clients, and the
//! tables of sessions.

mod activity;
mod client_identity;
mod engine;
mod query;
mod session;
pub(crate) mod tables;

pub(crate) use activity::{Activity, ActivityGuard};
pub(crate) use client_identity::ClientIdentity;
pub(crate) use engine::EngineState;
pub(crate) use query::{QueryContext, RunningQuery};
pub(crate) use session::SessionHandle;
