//! The state that the sessions of one engine share: the mesh, the limits, and the threads, slots and memory of
//! queries.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use arc_swap::ArcSwap;
use datafusion::execution::session_state::SessionState;
use portolan_connectors::LocalFileOpener;

use super::{Activity, Audit, Governance, PlanCache};
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
    pub(crate) limits: ArcSwap<Limits>,
    pub(crate) cpu: CpuRuntime,
    pub(crate) admission: Admission,
    pub(crate) accounts: Accounts,
    /// The memory that the process holds, and the limit of its host.
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) governance: Governance,
    /// The plans of repeated statements and fragments.
    pub(crate) plans: Arc<PlanCache>,
    /// The records of reads; `None` if the engine keeps none.
    pub(crate) audit: Option<Audit>,
    /// Functions, rules and configuration. Each query starts with a copy.
    pub(crate) base: SessionState,
    /// The opener of the files that statements name; `None` if statements must not read any.
    pub(crate) local_files: Option<Arc<dyn LocalFileOpener>>,
    /// The channel whose end stops the guard over the memory of the host.
    pub(crate) _memory_guard: Option<Sender<()>>,
    /// The engine's folder for spilled data, which is removed last.
    pub(crate) _spill_folder: Option<SpillFolder>,
}

impl EngineState {
    /// Returns the limits in effect.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Changes the limits, except for those that the parts of the engine were built with.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        let built = self.limits();
        let limits = Arc::new(Limits {
            query_memory: built.query_memory,
            memory: built.memory,
            host_memory: built.host_memory,
            spill_bytes: built.spill_bytes,
            ..limits.clone()
        });
        self.limits.store(limits.clone());
        self.admission.set_limits(&limits);
        self.accounts.set_limits(&limits);
        self.cpu.set_limits(&limits);
    }
}
