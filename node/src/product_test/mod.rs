//! Tests the data of a domain's ports against their contracts: a sample of each port, or all of it.
//!
//! A source reports the values that it cannot read ([`SourceOpener::check_data`]). Every other check is a query of an
//! engine that has only this domain. So the checks work for every kind of source, and spill.
//!
//! [`SourceOpener::check_data`]: portolan_connectors::SourceOpener::check_data

mod check;
mod conditions;
mod examples;
mod judge;
mod literal;
mod port;
mod queries;
mod relation;
mod report;
mod selection;
mod sql_rules;
mod wanted;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{DomainCatalog, DomainEntry, MeshSnapshot, ServedBy};
use portolan_connectors::{LocalDomain, Sources, install_crypto_provider};
use portolan_engine::{Engine, Principal};

use self::port::Tester;
pub use self::report::{Fault, Outcome, PortReport, RuleReport, TestReport};
pub(crate) use self::selection::select;
use self::wanted::wanted_ports;
use crate::assemble::{load, with_resources};
use crate::host::memory_limits;
use crate::open::open_in_part;
use crate::progress::Progress;
use crate::{Error, NodeConfig, Result};

/// The time limit of each query of a test that reads everything. Its user waits for it, and can stop it.
const FULL_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The options of a test.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct TestOptions {
    /// The names of the products and ports to test: `product`, `port`, `product.port` or `domain.product.port`. Empty
    /// for all ports of the domain.
    pub names: Vec<String>,
    /// Reads all data if true, and a sample of each port if false.
    pub full: bool,
    /// The receiver of the progress.
    pub progress: Option<Progress>,
}

impl fmt::Debug for TestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, full, progress } = self;
        let progress = progress.as_ref().map(|_| "…");
        f.debug_struct("TestOptions").field("names", names).field("full", full).field("progress", &progress).finish()
    }
}

/// Tests the data of the domain of a config. Must be called on a tokio runtime.
///
/// A port that cannot be opened is in the report, and does not keep the others from being tested.
///
/// # Errors
/// Invalid descriptors; a name that is no product and no port; an engine that does not start.
pub async fn test_products(config: &NodeConfig, options: &TestOptions) -> Result<TestReport> {
    install_crypto_provider();
    let no_domain = || Error::config("the config has no `domain`: a gateway has no products to test");
    let catalog = load(config).await?.ok_or_else(no_domain)?.catalog;
    let tested = select(&catalog, &options.names)?;
    let declared = mesh_of(Arc::new(catalog.clone()));
    let (sources, runtime) = (Arc::new(config.configure(Sources::default())), Arc::new(RuntimeEnv::default()));
    let wanted = wanted_ports(&declared, &tested);
    let opened = open_in_part(wanted, &sources, &runtime, config.open_timeout()).await?;
    let tester = tester(config, declared, opened.domain, sources, runtime, options)?;
    let mut ports = vec![];
    for port in tested {
        ports.push(match opened.errors.get(&port.name) {
            Some(error) => PortReport { error: Some(error.to_string()), ..PortReport::new(&port.name) },
            None => tester.test(port).await,
        });
    }
    Ok(TestReport { domain: catalog.domain.to_string(), full: options.full, ports })
}

/// Returns a tester with an engine of its own, which has only these ports.
fn tester(
    config: &NodeConfig,
    declared: MeshSnapshot,
    domain: LocalDomain,
    sources: Arc<Sources>,
    runtime: Arc<RuntimeEnv>,
    options: &TestOptions,
) -> Result<Tester> {
    let mut limits = config.limits(memory_limits().first().map(|limit| limit.bytes));
    if options.full {
        limits.query_timeout = FULL_TIMEOUT;
    }
    // The owner tests all rows, whatever the policies permit others to read.
    let mut ungoverned = domain.clone();
    ungoverned.policies = None;
    let builder = Engine::builder().limits(limits).runtime_env(runtime.clone()).local_domain(ungoverned);
    let session = with_resources(builder, config).build()?.session(Principal::new("product-test"));
    let (is_full, progress) = (options.full, options.progress.clone());
    Ok(Tester { declared, domain, sources, runtime, session, is_full, progress })
}

/// Returns a mesh of this domain alone.
fn mesh_of(catalog: Arc<DomainCatalog>) -> MeshSnapshot {
    let domain = catalog.domain.clone();
    let entry = DomainEntry { catalog, served_by: ServedBy::Here };
    MeshSnapshot { domains: BTreeMap::from([(domain, entry)]), ..MeshSnapshot::default() }
}

#[cfg(test)]
mod tests;
