//! What lives as long as an engine or one of its sessions: what the engine holds, what it runs, and what a session made.

mod engine;
pub(crate) mod tables;

pub(crate) use engine::EngineState;
