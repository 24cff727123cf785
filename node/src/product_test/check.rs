//! The test of a node's own ports, for `serve --check`.

use std::sync::Arc;

use portolan_connectors::lock;

use super::{Outcome, PortReport, TestOptions, mesh_of, tester};
use crate::{Error, Node, Result};

impl Node {
    /// Tests a sample of each port against its contract.
    ///
    /// # Errors
    /// Every fault of the data that was found.
    pub async fn check_data(&self) -> Result<()> {
        let Some(domain) = lock(&self.opened).clone() else { return Ok(()) };
        let declared = mesh_of(domain.catalog.clone());
        let (catalog, options) = (domain.catalog.clone(), TestOptions::default());
        let (sources, runtime) = (Arc::clone(&self.sources), self.runtime.clone());
        let tester = tester(&self.config, declared, domain, sources, runtime, &options)?;
        let mut faults = vec![];
        for port in catalog.ports() {
            let report = tester.test(port).await;
            for warning in report.with(Outcome::Warning) {
                tracing::warn!("{}: port {}: {}", warning.place(), report.port, warning.text());
            }
            faults.extend(lines(&report));
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::config(faults.join("\n"))) }
    }
}

/// Returns a line for each fault of a port.
fn lines(report: &PortReport) -> Vec<String> {
    let of_port = |what: &str| format!("port {}: {what}", report.port);
    let errors = report.error.iter().map(|error| of_port(error));
    let faults = report.faults.iter().map(|fault| of_port(&fault.message));
    let rules = report.with(Outcome::Broken).map(|rule| format!("{}: {}", rule.place(), of_port(&rule.text())));
    errors.chain(faults).chain(rules).collect()
}
