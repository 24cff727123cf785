//! The ports of this node that a query reads, with their columns and the decisions about them, for the audit record of
//! the query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use portolan_catalog::PortRef;
use portolan_connectors::lock;
use portolan_governance::Decision;

use super::port::GovernedPort;
use crate::names::PortTable;

/// The ports of this node that a query reads. The passes fill it.
#[derive(Debug, Default)]
pub(crate) struct PortAccount(Mutex<BTreeMap<PortRef, AccountedPort>>);

/// A port that a query reads, or that a policy refuses.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountedPort {
    /// The columns that the optimized statement reads; `None` until a scan of the port is found. Columns that only a
    /// policy reads are not among them.
    pub(crate) columns: Option<BTreeSet<String>>,
    /// The decision about the port, and the version of the policies; `None` if its domain has no policies.
    pub(crate) decision: Option<(Decision, String)>,
}

impl PortAccount {
    /// Notes the decision about a port.
    pub(super) fn decided(&self, port: &PortRef, decision: &Decision, version: &str) {
        lock(&self.0).entry(port.clone()).or_default().decision = Some((decision.clone(), version.to_owned()));
    }

    /// Notes columns that the query reads of a port.
    pub(super) fn reads(&self, port: &PortRef, columns: impl IntoIterator<Item = String>) {
        lock(&self.0).entry(port.clone()).or_default().columns.get_or_insert_default().extend(columns);
    }

    /// Notes the scans of a plan whose governed ports are not enclosed yet: the columns that a scan returns, and those
    /// that only its conditions read. Ports that the query of a derived port reads are not among them: it reads them on
    /// behalf of the owner.
    pub(in crate::planner) fn reads_scans(&self, plan: &LogicalPlan) {
        // The visit itself never fails.
        let _ = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(port) = scanned(scan)
            {
                self.reads(&port, scan.projected_schema.fields().iter().map(|field| field.name().clone()));
                let of_conditions = scan.filters.iter().flat_map(|filter| filter.column_refs());
                self.reads(&port, of_conditions.map(|column| column.name.clone()));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }

    /// Returns the ports with their columns and decisions, ordered by name.
    pub(crate) fn ports(&self) -> BTreeMap<PortRef, AccountedPort> {
        lock(&self.0).clone()
    }
}

/// Returns the port of this node that a scan reads for the statement itself.
fn scanned(scan: &TableScan) -> Option<PortRef> {
    let own = PortTable::with_scanned(scan, |port| (port.is_own() && !port.is_of_query).then(|| port.name.clone()));
    own.unwrap_or_else(|| GovernedPort::with_scanned(scan, |port| port.name.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portolan_catalog::PortRef;

    use super::PortAccount;

    #[test]
    fn a_port_keeps_its_columns_and_its_last_decision() {
        let (account, port) = (PortAccount::default(), PortRef::new("sales", "p", "people"));
        account.decided(&port, &portolan_governance::Decision::Open, "v1");
        assert_eq!(account.ports()[&port].columns, None, "a decision is no read");
        account.reads(&port, ["id".to_owned()]);
        account.reads(&port, ["id".to_owned(), "dept".to_owned()]);
        let columns = BTreeSet::from(["dept".to_owned(), "id".to_owned()]);
        assert_eq!(account.ports()[&port].columns, Some(columns));
    }
}
