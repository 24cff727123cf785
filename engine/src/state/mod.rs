//! What lives as long as an engine or one of its sessions: what the engine holds, what it runs, and what a session made.

mod activity;
mod engine;
pub(crate) mod tables;

pub(crate) use activity::{Activity, Listed, RunningQuery};
pub(crate) use engine::EngineState;
