//! The rules about the places of values: columns whose values no node of another domain may get, and ports whose rows
//! only some nodes may process. The planner keeps to them. An owner also checks each fragment that came through other
//! nodes, because the sender may have another planner.
//!
//! The node that the client queries may hold all rows: the principal of the query may see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};
use portolan_catalog::{DomainName, KeyUse, PortRef, ServedBy};
use portolan_connectors::{FragmentHead, ReceivedFragment, SiteId};

use crate::mesh::MeshView;
use crate::names::{Barrier, PortTable};
use crate::{Error, ErrorKind, Result};

/// A column of a port, and its rule. If it is guarded, no node of another domain may get its values, except for the node
/// that the client queries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PortColumn {
    port: PortRef,
    column: String,
    keys: KeyUse,
}

/// The columns of a port that an operator reads.
pub(super) struct PortRead {
    port: PortRef,
    columns: BTreeSet<String>,
    /// True if the query of a derived port reads the port.
    is_of_query: bool,
}

/// A node that gets rows in order to process them for another node.
struct Holder {
    /// The domains that the node owns, as far as they are known.
    domains: BTreeSet<DomainName>,
    is_trusted: bool,
}

impl PortColumn {
    /// True if a fragment over ports of these domains may get the values as join keys.
    pub(super) fn may_be_key_for(&self, domains: &BTreeSet<DomainName>) -> bool {
        // A fragment that reads other domains, too, may send the keys on.
        !self.is_guarded() || (domains.len() == 1 && domains.contains(&self.port.domain))
    }

    /// True if the values may not leave.
    pub(super) fn is_guarded(&self) -> bool {
        self.keys != KeyUse::Ship
    }
}

impl fmt::Display for PortColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {} may not leave as a key", self.column, self.port)?;
        if self.keys == KeyUse::Hash { f.write_str(", because no encoding of keys hides it") } else { Ok(()) }
    }
}

impl PortRead {
    /// Returns the port and the columns that an operator reads, if it reads a port.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        let (port, is_of_query) = match plan {
            LogicalPlan::TableScan(scan) => {
                PortTable::with_scanned(scan, |table| (table.name.clone(), table.is_of_query))?
            }
            _ => (Barrier::of(plan)?.port.clone(), false),
        };
        let mut columns: BTreeSet<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        if let LogicalPlan::TableScan(scan) = plan {
            columns.extend(scan.filters.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()));
        }
        Some(Self { port, columns, is_of_query })
    }

    /// Returns the columns that the operator reads, by name.
    pub(super) fn columns(&self, view: &MeshView) -> BTreeMap<String, PortColumn> {
        let columns = view.snapshot.port(&self.port).into_iter().flat_map(|port| &port.columns);
        let known: BTreeMap<&str, KeyUse> = columns.map(|column| (column.name.as_str(), column.keys())).collect();
        let of_port = |column: &String| {
            // A column that the catalog does not have may be any.
            let keys = known.get(column.as_str()).copied().unwrap_or(KeyUse::Never);
            (column.clone(), PortColumn { port: self.port.clone(), column: column.clone(), keys })
        };
        self.columns.iter().map(of_port).collect()
    }

    /// Returns a guarded column of the derived ports that may read this one for their queries, if they have one. The plan
    /// does not show which of them does, so it may be that of any derived port of the domain. One of them is enough, because
    /// [`PortColumn::may_be_key_for`] depends on the domain alone. Hundreds of them, in each column, would slow the planner.
    pub(super) fn guarded_by_queries(&self, view: &MeshView) -> Option<PortColumn> {
        if !self.is_of_query {
            return None;
        }
        let domain = view.snapshot.domains.get(&self.port.domain);
        let derived = domain.into_iter().flat_map(|entry| entry.catalog.ports()).filter(|port| port.is_derived());
        let columns = derived.flat_map(|port| port.columns.iter().map(move |column| (port, column)));
        let mut guarded = columns.filter(|(_, column)| column.keys() != KeyUse::Ship);
        guarded.next().map(|(port, column)| PortColumn {
            port: port.name.clone(),
            column: column.name.clone(),
            keys: column.keys(),
        })
    }

    /// Returns the guard of a column with guarded values from below the port's barrier. It names the port alone: readers see
    /// neither the query of a derived port, nor the columns that a policy compares.
    pub(super) fn guard_of_hidden(&self, column: &str, below: &BTreeSet<PortColumn>) -> Option<PortColumn> {
        let keys = below.iter().map(|guard| guard.keys).max()?;
        Some(PortColumn { port: self.port.clone(), column: column.to_owned(), keys })
    }

    /// Returns why a node must not hold the rows; `None` if it may.
    fn withheld(&self, holder: &Holder, view: &MeshView) -> Option<String> {
        let Self { port: name, .. } = self;
        if holder.domains.contains(&name.domain) {
            return None;
        }
        let port = view.snapshot.port(name);
        if !port.is_some_and(|p| p.processed_at.allows(&name.domain, &holder.domains, holder.is_trusted)) {
            let rule = port.map_or_else(|| "own".to_owned(), |port| port.processed_at.to_string());
            return Some(format!(
                "the rows of {name} may be processed only where `portolan.processedAt` allows it: {rule}"
            ));
        }
        let (column, guarded) = self.columns(view).into_iter().find(|(_, column)| column.is_guarded())?;
        Some(format!("`{column}` of {name} may not leave with its rows: its keys are `{}`", guarded.keys.word()))
    }
}

/// Returns why a site must not get the rows that an operator reads from a port; `None` if it may, or if the operator
/// reads no port.
pub(super) fn confinement(plan: &LogicalPlan, site: &SiteId, view: &MeshView) -> Option<String> {
    // Whom the owner trusts, only the owner knows.
    let holder = || Holder { domains: view.domains_at(site), is_trusted: true };
    PortRead::of(plan).and_then(|read| read.withheld(&holder(), view))
}

/// True if a site must not get some of the rows that a plan reads from ports.
pub(super) fn is_confined(plan: &LogicalPlan, site: &SiteId, view: &MeshView) -> bool {
    let mut found = false;
    // The visit itself never fails.
    let _ = plan.apply_with_subqueries(|operator| {
        found = confinement(operator, site, view).is_some();
        Ok(match Barrier::of(operator) {
            _ if found => TreeNodeRecursion::Stop,
            // The columns that only a policy reads do not leave.
            Some(_) => TreeNodeRecursion::Jump,
            None => TreeNodeRecursion::Continue,
        })
    });
    found
}

/// Checks that the nodes on the path of a fragment may hold the rows of this node's ports that the fragment reads. The
/// first node on the path is the one that the client queries, which may hold them. The others fetch the rows for it.
///
/// # Errors
/// `PermissionDenied` if one of the nodes must not hold the rows.
pub(crate) fn check_path(plan: &LogicalPlan, fragment: &ReceivedFragment, view: &MeshView) -> Result<()> {
    let FragmentHead { via, hops, .. } = &fragment.head;
    // A node knows the last names of the path. Without signatures, this is only the sender.
    let unnamed = (*hops as usize).saturating_sub(via.len());
    let mut reads = vec![];
    for position in 1..*hops as usize {
        if reads.is_empty() {
            own_reads(plan, view, &mut reads);
        }
        let name = position.checked_sub(unnamed).and_then(|i| via.get(i));
        let keys = name.and_then(|name| fragment.node_keys.get(name));
        let domains = keys.map(|keys| view.domains_of(keys)).unwrap_or_default();
        let holder = Holder { domains, is_trusted: keys.is_some() };
        if let Some(reason) = reads.iter().find_map(|read| read.withheld(&holder, view)) {
            let node = name.map_or_else(|| "an unknown node".to_owned(), |name| format!("node `{name}`"));
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("{node} may not fetch these rows for another node: {reason}"),
            ));
        }
    }
    Ok(())
}

/// Collects the ports of this node that a fragment reads, each with the columns that the fragment reads.
fn own_reads(plan: &LogicalPlan, view: &MeshView, reads: &mut Vec<PortRead>) {
    let mut own = |read: Option<PortRead>| {
        let is_own = |read: &PortRead| {
            view.snapshot.domains.get(&read.port.domain).is_some_and(|entry| entry.served_by == ServedBy::Here)
        };
        reads.extend(read.filter(is_own));
    };
    let mut inputs = plan.inputs();
    match plan {
        // The scan of a derived port is its query, below a projection of the columns that the fragment reads.
        LogicalPlan::Projection(projection) if Barrier::of(&projection.input).is_some() => {
            let columns =
                projection.expr.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()).collect();
            own(PortRead::of(&projection.input).map(|read| PortRead { columns, ..read }));
            inputs.clear();
        }
        _ if Barrier::of(plan).is_some() => {
            own(PortRead::of(plan));
            inputs.clear();
        }
        _ => own(PortRead::of(plan)),
    }
    // The visit itself never fails.
    let _ = plan.apply_subqueries(|subquery| {
        own_reads(subquery, view, reads);
        Ok(TreeNodeRecursion::Continue)
    });
    inputs.into_iter().for_each(|input| own_reads(input, view, reads));
}

#[cfg(test)]
mod tests;
