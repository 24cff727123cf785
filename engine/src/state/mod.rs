//! State that lives as long as an engine or one of its sessions: the shared state, the activity of clients, the guard
//! over the memory of the host, the audit records, the kept plans, and the tables and views of sessions.

mod activity;
mod audit;
mod client_identity;
mod engine;
mod governance;
mod memory_guard;
mod plan_cache;
mod query;
mod row_access;
mod session;
pub(crate) mod tables;
pub(crate) mod views;
mod visibility;

pub(crate) use activity::{Activity, ActivityGuard};
pub(crate) use audit::Audit;
pub(crate) use client_identity::ClientIdentity;
pub(crate) use engine::EngineState;
pub(crate) use governance::{Governance, caller_here, caller_of};
pub(crate) use memory_guard::MemoryGuard;
pub(crate) use plan_cache::{PlanCache, PlanKey, PlanTotals};
pub(crate) use query::{QueryContext, RunningMemory, RunningQuery};
pub use row_access::RowAccess;
pub(crate) use row_access::{Decided, DecidedPorts, admitted, decide};
pub(crate) use session::SessionHandle;
pub(crate) use visibility::{ShownPorts, Visibility};
