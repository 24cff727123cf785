//! Opens a domain: all its ports, and the statistics of their data.

use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, stream};
use portolan_catalog::{Diagnostic, Diagnostics, DomainCatalog, Port, PortRef};

use crate::panics::caught_async;
use crate::source::{LocalDomain, OPENINGS, OpenedPort, SourceOpener};
use crate::statistics;

/// Opens every port of a domain. Adds the columns' actual types and the data's statistics to the domain's catalog.
///
/// # Errors
/// Every problem of any port, in the order of the ports' names.
pub async fn open_domain(
    catalog: DomainCatalog,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> Result<LocalDomain, Diagnostics> {
    let openings: Vec<_> = catalog.ports().map(|port| open(port, opener, runtime)).collect();
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
    let statistics = statistics::of_domain(&catalog, &ports, opener, runtime).await;
    let schema_of = |name: &PortRef| ports.iter().find(|p| p.name == *name).map(|p| p.schema.clone());
    let catalog = Arc::new(catalog.with_statistics(&statistics).with_schemas(schema_of));
    Ok(LocalDomain { catalog, ports })
}

/// Opens one port. A panic of a reader is reported like any other fault of the port.
async fn open(port: &Port, opener: &dyn SourceOpener, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, Diagnostics> {
    caught_async(opener.open(port, runtime)).await.unwrap_or_else(|panic| {
        let place = port.source.as_ref().map(|source| source.place.clone()).unwrap_or_default();
        let message = format!("port {} cannot be opened: {panic}", port.name);
        Err(Diagnostics(vec![Diagnostic { place, message, suggestion: None }]))
    })
}
