//! The policies of the local domains, resolved for the ports that they have now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::execution::session_state::SessionState;
use portolan_catalog::{Diagnostic, DomainCatalog, DomainName, Port, PortRef, PortStatistics};
use portolan_connectors::LocalDomain;
use portolan_governance::{LayerFiles, Policies, PolicyFiles, Report};

use super::MeshState;

/// The check of the SQL conditions of policies, which the planner does.
#[derive(Clone, Debug)]
pub(crate) struct FilterCheck {
    pub(crate) state: SessionState,
    /// Returns an error for each condition that is not valid, with its port.
    pub(crate) errors: fn(&SessionState, &DomainCatalog, &Policies) -> Vec<(PortRef, Diagnostic)>,
}

/// Resolves policies for a catalog. A SQL condition that is not valid closes its port.
pub(crate) fn resolve_policies(
    files: &PolicyFiles,
    catalog: &DomainCatalog,
    check: Option<&FilterCheck>,
) -> (Policies, Report) {
    let (mut policies, mut report) = Policies::new(catalog, files);
    let errors = check.map(|check| (check.errors)(&check.state, catalog, &policies)).unwrap_or_default();
    for (port, error) in errors {
        policies.close(&port);
        report.add(error);
    }
    (policies, report)
}

/// The policies of a domain.
#[derive(Debug)]
pub(super) struct DomainPolicies {
    /// The files in effect: the newest ones without errors, if there were any.
    files: Arc<PolicyFiles>,
    pub(super) resolved: Arc<Policies>,
    /// The files with errors.
    faulty: BTreeSet<PathBuf>,
}

impl DomainPolicies {
    /// Resolves policies for the ports of a domain.
    fn new(files: Arc<PolicyFiles>, domain: &LocalDomain, check: Option<&FilterCheck>) -> Self {
        let (policies, report) = resolve_policies(&files, &domain.catalog, check);
        for error in &report.errors {
            tracing::error!(domain = %domain.catalog.domain, "{error}");
        }
        for warning in &report.warnings {
            tracing::warn!(domain = %domain.catalog.domain, "{warning}");
        }
        let faulty = report.errors.into_iter().map(|error| error.place.file).collect();
        Self { files, resolved: Arc::new(policies), faulty }
    }

    /// Returns the files with the earlier ones of each product, and of the mesh, whose present ones have errors: a change
    /// of the policies of other products does not wait. `None` if there are no earlier files to keep.
    fn with_good_layers(&self, before: &Self) -> Option<PolicyFiles> {
        let is_good = |layer: &LayerFiles, faulty: &BTreeSet<PathBuf>| {
            let files = layer.policies.iter().chain(&layer.agreements);
            layer.errors.is_empty() && files.into_iter().all(|file| !faulty.contains(&file.path))
        };
        let mut files = (*self.files).clone();
        let mut has_changed = false;
        let mut keep = |layer: &mut LayerFiles, earlier: Option<&LayerFiles>| {
            if let Some(earlier) = earlier.filter(|earlier| is_good(earlier, &before.faulty))
                && !is_good(layer, &self.faulty)
                && layer != earlier
            {
                *layer = earlier.clone();
                has_changed = true;
            }
        };
        for (product, layer) in &mut files.products {
            keep(layer, before.files.products.get(product));
        }
        keep(&mut files.mesh, Some(&before.files.mesh));
        has_changed.then_some(files)
    }
}

impl MeshState {
    /// Adds or replaces a local domain. New policies with errors do not replace good ones.
    pub(super) fn put_local(&mut self, mut domain: LocalDomain) {
        let name = domain.catalog.domain.clone();
        let before = self.policies.remove(&name);
        let wanted = domain.policies.take().or_else(|| before.as_ref().map(|before| before.files.clone()));
        if let Some(files) = wanted.filter(|files| **files != PolicyFiles::default()) {
            let mut policies = DomainPolicies::new(files, &domain, self.filter_check.as_ref());
            if let Some(files) = before.and_then(|before| policies.with_good_layers(&before)) {
                tracing::error!(domain = %name, "the policies before those with errors stay in effect");
                policies = DomainPolicies::new(Arc::new(files), &domain, self.filter_check.as_ref());
            }
            without_statistics(&mut domain, &policies.resolved);
            mark_hidden(&mut domain, &policies.resolved);
            self.policies.insert(name.clone(), policies);
        }
        self.local.insert(name, domain);
    }

    /// Returns a text for each local domain with policies, which changes when their decisions may change.
    pub(super) fn policy_states(&self) -> BTreeMap<DomainName, String> {
        let now = SystemTime::now();
        let states = self.policies.iter().map(|(domain, policies)| (domain.clone(), policies.resolved.state_at(now)));
        states.collect()
    }
}

/// Removes the statistics of governed ports, and of the ports that are derived from them, for this node too: they describe
/// rows that nobody in particular may see.
fn without_statistics(domain: &mut LocalDomain, policies: &Policies) {
    let governed = domain.catalog.ports().filter(|port| policies.is_governed(&port.name));
    let mut none: BTreeMap<PortRef, Arc<PortStatistics>> =
        governed.map(|port| (port.name.clone(), Arc::default())).collect();
    loop {
        let reads_governed = |port: &&Port| {
            !none.contains_key(&port.name) && port.derived_from.iter().any(|input| none.contains_key(input))
        };
        let derived: Vec<PortRef> =
            domain.catalog.ports().filter(reads_governed).map(|port| port.name.clone()).collect();
        if derived.is_empty() {
            break;
        }
        none.extend(derived.into_iter().map(|name| (name, Arc::default())));
    }
    domain.catalog = Arc::new((*domain.catalog).clone().with_statistics(&none));
}

/// Marks the ports that policies can hide from some principals, so that other nodes ask this one before they show them.
fn mark_hidden(domain: &mut LocalDomain, policies: &Policies) {
    if domain.catalog.ports().any(|port| port.hidden_from_some != policies.may_hide(&port.name)) {
        let catalog = DomainCatalog::clone(&domain.catalog);
        domain.catalog = Arc::new(catalog.with_hidden_from_some(|port| policies.may_hide(port)));
    }
}
