//! What the engine asks of a place where a port's rows lie.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{StreamExt, stream};
use portolan_catalog::{Diagnostics, DomainCatalog, Port, PortRef, PortStatistics};

/// Opens the ports of a domain. One per kind of source.
#[async_trait]
pub trait SourceOpener: Debug + Send + Sync {
    /// Opens `port`: finds its data, reads its schema, compares that with what its contract declares.
    /// Object stores that the scan will need are registered with `runtime`.
    ///
    /// # Errors
    /// What is wrong, pointing into the contract: data that is not there, a column that the source lacks,
    /// a type that does not fit.
    async fn open(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, Diagnostics>;
}

/// A port whose data was found.
#[derive(Clone, Debug)]
pub struct OpenedPort {
    /// Its name.
    pub name: PortRef,
    /// Reads its rows. Its schema is exactly `schema`.
    pub provider: Arc<dyn TableProvider>,
    /// Its columns as they really are, in the order of the contract.
    pub schema: SchemaRef,
}

/// A domain whose ports are all open: what an engine that owns the domain is given.
#[derive(Clone, Debug)]
pub struct LocalDomain {
    /// The catalog, with the columns' real types filled in.
    pub catalog: Arc<DomainCatalog>,
    /// The ports, in the order of their names.
    pub ports: Vec<OpenedPort>,
}

/// How many ports of a domain are opened at once.
const OPENINGS: usize = 8;

/// A source that takes longer to tell how many rows it has is not waited for.
const COUNTING_TIMEOUT: Duration = Duration::from_secs(10);

/// How many rows a port has, where a plan of its scan knows.
async fn count_rows(port: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<u64> {
    let session = SessionContext::new_with_config_rt(SessionConfig::new(), runtime.clone());
    let state = session.state();
    let no_columns = vec![];
    let scan = port.provider.scan(&state, Some(&no_columns), &[], None);
    let scan = tokio::time::timeout(COUNTING_TIMEOUT, scan).await.ok()?.ok()?;
    let known = StatisticsContext::new().compute(scan.as_ref(), &StatisticsArgs::new()).ok()?;
    known.num_rows.get_value().and_then(|rows| u64::try_from(*rows).ok())
}

/// Opens every port of a domain and fills the columns' real types into its catalog.
///
/// # Errors
/// Everything that is wrong with any of the ports, in the order of their names.
pub async fn open_domain(
    mut catalog: DomainCatalog,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> Result<LocalDomain, Diagnostics> {
    let openings: Vec<_> = catalog.ports().map(|port| opener.open(port, runtime)).collect();
    let results: Vec<_> = stream::iter(openings).buffered(OPENINGS).collect().await;
    let mut ports = Vec::new();
    let mut wrong = Vec::new();
    for result in results {
        match result {
            Ok(port) => ports.push(port),
            Err(Diagnostics(diagnostics)) => wrong.extend(diagnostics),
        }
    }
    if !wrong.is_empty() {
        return Err(Diagnostics(wrong));
    }
    for port in catalog.products.values_mut().flat_map(|p| p.ports.values_mut()) {
        if let Some(opened) = ports.iter().find(|o| o.name == port.name) {
            port.statistics =
                Arc::new(PortStatistics { rows: count_rows(opened, runtime).await, ..PortStatistics::default() });
        }
    }
    let schema_of = |name: &PortRef| ports.iter().find(|p| p.name == *name).map(|p| p.schema.clone());
    let catalog = Arc::new(catalog.with_schemas(schema_of));
    Ok(LocalDomain { catalog, ports })
}
