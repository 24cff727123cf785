//! What the sessions of one engine share: the mesh, the limits, and what queries take threads, places and memory from.

use std::sync::Arc;

use datafusion::execution::session_state::SessionState;

use super::Activity;
use crate::Limits;
use crate::execution::admission::Admission;
use crate::execution::memory::SharedMemory;
use crate::execution::runtime::CpuRuntime;
use crate::mesh::Mesh;

/// What the sessions of one engine share.
#[derive(Debug)]
pub(crate) struct EngineState {
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) limits: Limits,
    pub(crate) cpu: CpuRuntime,
    pub(crate) admission: Admission,
    pub(crate) memory: Arc<SharedMemory>,
    /// What sessions hold beside what their queries do: a share of `memory`, so that it starves no query.
    pub(crate) held: Arc<SharedMemory>,
    pub(crate) activity: Arc<Activity>,
    /// Functions, rules and configuration: each query starts from a copy.
    pub(crate) base: SessionState,
}
