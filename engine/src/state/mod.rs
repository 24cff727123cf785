//! What lives as long as an engine or one of its sessions: what the engine holds, what it runs, and what a session made.

mod activity;
mod engine;
mod query;
mod session;
pub(crate) mod tables;

pub(crate) use activity::{Activity, ActivityGuard};
pub(crate) use engine::EngineState;
pub(crate) use query::{QueryContext, RunningQuery};
pub(crate) use session::SessionHandle;
