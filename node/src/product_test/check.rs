//! The test of a node's own ports, for `serve --check`.

use portolan_catalog::PortRef;
use portolan_connectors::is_open;

use super::{Outcome, PortReport, TestOptions, mesh_of, tester};
use crate::assemble::{Current, ServedDomain};
use crate::{Error, Node, Result};

impl Node {
    /// Tests a sample of each open port against its contract.
    ///
    /// # Errors
    /// Every fault of the data that was found.
    pub(crate) async fn test_data(&self) -> Result<()> {
        let Current { config, sources, served } = self.current();
        let Some(ServedDomain { declared, domain, .. }) = served else { return Ok(()) };
        let (runtime, options) = (self.runtime.clone(), TestOptions::default());
        let closed: Vec<PortRef> =
            domain.ports.iter().filter(|port| !is_open(port)).map(|port| port.name.clone()).collect();
        let tester = tester(&config, mesh_of(declared.clone()), domain, sources, runtime, &options)?;
        let mut faults = vec![];
        for port in declared.ports().filter(|port| !closed.contains(&port.name)) {
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
