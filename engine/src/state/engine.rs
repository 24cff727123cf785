//! The state that the sessions of one engine share: the mesh, the limits, and the threads, slots and memory of
//! queries.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use datafusion::execution::session_state::SessionState;
use portolan_connectors::LocalFileOpener;

use super::Activity;
use crate::Limits;
use crate::execution::accounts::Accounts;
use crate::execution::admission::Admission;
use crate::execution::pressure::Pressure;
use crate::execution::runtime::CpuRuntime;
use crate::execution::spill_folder::SpillFolder;
use crate::mesh::Mesh;
use crate::metrics::Metrics;

/// The state that the sessions of one engine share.
#[derive(Debug)]
pub(crate) struct EngineState {
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) limits: Limits,
    pub(crate) cpu: CpuRuntime,
    pub(crate) admission: Admission,
    pub(crate) accounts: Accounts,
    /// The memory that the process holds, and the limit of its host.
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) metrics: Arc<Metrics>,
    /// Functions, rules and configuration. Each query starts with a copy.
    pub(crate) base: SessionState,
    /// The opener of the files that statements name; `None` if statements must not read any.
    pub(crate) local_files: Option<Arc<dyn LocalFileOpener>>,
    /// The channel whose end stops the guard over the memory of the host.
    pub(crate) _memory_guard: Option<Sender<()>>,
    /// The engine's folder for spilled data, which is removed last.
    pub(crate) _spill_folder: Option<SpillFolder>,
}
