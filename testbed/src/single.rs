//! The demo's three domains in one process. Results and times of a mesh are compared with it.

use std::path::Path;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{DomainName, load_domain};
use portolan_connectors::files::FileSources;
use portolan_connectors::open_domain;
use portolan_engine::Engine;
use portolan_node::{Error, Result};

use crate::descriptors;
use crate::tpch::DOMAINS;

/// Returns an engine that owns all three domains over the tables in `data`. Must be called on a tokio runtime.
///
/// # Errors
/// Missing data, or an engine that does not start.
pub async fn single_process(data: &Path) -> Result<Engine> {
    let folder = tempfile::tempdir().map_err(|e| Error::output("the temporary folder", e))?;
    let runtime = Arc::new(RuntimeEnv::default());
    let mut builder = Engine::builder().runtime_env(runtime.clone());
    for domain in DOMAINS {
        let products = descriptors::write(domain, data, &folder.path().join(domain))?;
        let catalog = load_domain(&DomainName::new(domain), &products)?;
        builder = builder.local_domain(open_domain(catalog, &FileSources::default(), &runtime).await?);
    }
    Ok(builder.build()?)
}
