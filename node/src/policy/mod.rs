//! The policies of a node's domain, for their owner: checks them, explains what a principal may see, and runs tests.
//!
//! Nothing here needs a running node. The ports are opened as far as possible: without the types of their columns,
//! policies cannot be checked.

mod cases;
mod explain;
mod principal;
mod run;
mod sql;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{Diagnostic, Diagnostics, PortRef};
use portolan_connectors::{LocalDomain, Sources, install_crypto_provider};
use portolan_engine::Engine;
use portolan_governance::{Policies, PolicyFiles, Report};

pub use self::explain::{ExplainOptions, Explanation, explain_policies};
pub use self::principal::parse_attribute;
pub use self::run::{CaseFailure, CaseReport, PolicyTestReport, test_policies};
use crate::assemble::load;
use crate::open::{OpenedInPart, apart, open_in_part};
use crate::policy_files::policy_files;
use crate::{Error, Node, NodeConfig, Result};

/// The outcome of a check of policies.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyReport {
    /// The name of the domain.
    pub domain: String,
    /// The number of files of policies, of the products and of the mesh.
    pub policy_files: usize,
    /// The number of agreements.
    pub agreements: usize,
    /// The number of rules, without agreements.
    pub rules: usize,
    /// The ports that rules or agreements are about.
    pub governed: Vec<PortRef>,
    /// The ports that are open to everybody whom the node accepts.
    pub open: Vec<PortRef>,
    /// The ports that are closed, because their policies have errors.
    pub closed: Vec<PortRef>,
    /// The ports whose data cannot be opened, with the reasons. Their policies are checked against the contract alone.
    pub not_open: Vec<(PortRef, String)>,
    /// The errors and warnings.
    pub report: Report,
}

/// Checks the policies of the domain of a config, also their SQL conditions. Must be called on a tokio runtime.
///
/// # Errors
/// Invalid descriptors; a config without a domain. The errors of policies are in the report.
pub async fn check_policies(config: &NodeConfig) -> Result<PolicyReport> {
    Ok(ResolvedDomain::load(config).await?.summary())
}

/// A domain with its policies, resolved for its ports.
struct ResolvedDomain {
    /// The domain, with the files of its policies.
    domain: LocalDomain,
    policies: Policies,
    report: Report,
    /// The ports whose data cannot be opened.
    not_open: BTreeMap<PortRef, Diagnostics>,
    runtime: Arc<RuntimeEnv>,
    /// The openers of the ports, which may own connections.
    _sources: Sources,
}

impl ResolvedDomain {
    /// Opens the ports of a config's domain as far as possible, and resolves its policies.
    ///
    /// # Errors
    /// Invalid descriptors; a config without a domain.
    async fn load(config: &NodeConfig) -> Result<Self> {
        install_crypto_provider();
        let no_domain = || Error::config("the config has no `domain`: a gateway has no ports, and so no policies");
        let catalog = load(config).await?.ok_or_else(no_domain)?.catalog;
        let declared = Arc::new(catalog.clone());
        let (sources, runtime) = (config.configure(Sources::default()), Arc::new(RuntimeEnv::default()));
        let OpenedInPart { domain, errors } = open_in_part(catalog, &sources, &runtime, config.open_timeout()).await?;
        let domain = domain.with_policies(policy_files(config, &declared).await?);
        let to_check = domain.clone();
        let (policies, report) = apart(move || Engine::check_policies(&to_check)).await?;
        Ok(Self { domain, policies, report, not_open: errors, runtime, _sources: sources })
    }

    /// Returns the errors of the policies, if there are any.
    ///
    /// # Errors
    /// All errors of the policies.
    fn require_valid(&self) -> Result<()> {
        match self.report.errors.is_empty() {
            true => Ok(()),
            false => Err(Diagnostics(self.report.errors.clone()).into()),
        }
    }

    fn summary(self) -> PolicyReport {
        let Self { domain, policies, report, not_open, .. } = self;
        let governed = domain.catalog.ports().map(|port| &port.name).filter(|port| policies.is_governed(port));
        PolicyReport {
            domain: domain.catalog.domain.to_string(),
            policy_files: domain.policies.as_deref().map(count_files).unwrap_or_default(),
            agreements: policies.agreement_count(),
            rules: policies.rule_count(),
            governed: governed.cloned().collect(),
            open: policies.ungoverned().cloned().collect(),
            closed: policies.closed().cloned().collect(),
            not_open: not_open.into_iter().map(|(port, faults)| (port, one_line(&faults))).collect(),
            report,
        }
    }
}

impl Node {
    /// Returns every error of the policies of the node's domain.
    ///
    /// # Errors
    /// The check panics.
    pub(crate) async fn policy_errors(&self) -> Result<Vec<Diagnostic>> {
        let Some(domain) = self.local_domain() else { return Ok(vec![]) };
        Ok(apart(move || Engine::check_policies(&domain)).await?.1.errors)
    }
}

/// Returns the number of files of policies. Products in one folder share its files.
fn count_files(files: &PolicyFiles) -> usize {
    let layers = files.products.values().chain([&files.mesh]);
    let paths: BTreeSet<&Path> = layers.flat_map(|layer| &layer.policies).map(|file| file.path.as_path()).collect();
    paths.len()
}

fn one_line(Diagnostics(faults): &Diagnostics) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
