//! Derived ports: each is a query over other ports of its domain. When a domain is opened or changes, the engine plans
//! the queries, and compares their columns with the contracts. A statement or a fragment that reads a derived port then
//! has the plan of the query in the place of the port.
//!
//! A port whose newest query has faults, or reads a closed port, keeps its last good version, as a port over data does.
//! If that version reads a closed port too, the port is closed, and opens again with it.

mod definition;
mod outcome;
mod query;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::execution::session_state::SessionState;
use portolan_catalog::{Column, Diagnostic, Diagnostics, DomainCatalog, Port, PortRef};
use portolan_connectors::{LocalDomain, OpenError, OpenedPort, close_port, is_open, mark_port};

use self::definition::Definition;
use self::outcome::{DerivedDomain, PortChange};
use self::query::{PortQuery, caught, fault};
use crate::Error;
use crate::bounds::QueryDepth;
use crate::execution::runtime::on_large_stack;
use crate::mesh::MeshView;
use crate::names::DerivedTable;

/// The largest number of ports of a cycle that an error names.
const MOST_SHOWN: usize = 20;

/// True if a domain has derived ports.
pub(crate) fn has_derived_ports(domain: &LocalDomain) -> bool {
    domain.catalog.ports().any(|port| port.query().is_some())
}

/// Opens the derived ports of a domain, whose other ports are open or closed. `before` is the domain as it is served
/// until now. `domain` may be the same: the plans and the statistics of its derived ports are then made again.
pub(crate) fn open(base: &SessionState, domain: LocalDomain, before: Option<&LocalDomain>) -> DerivedDomain {
    if !has_derived_ports(&domain) {
        return DerivedDomain { domain, faults: vec![], changes: vec![] };
    }
    let opened = on_large_stack(|| DerivedOpening::new(base, &domain, before).run());
    opened.unwrap_or_else(|error| DerivedOpening::new(base, &domain, before).close_all(&error))
}

/// The opening of a domain's derived ports.
struct DerivedOpening<'a> {
    base: &'a SessionState,
    given: &'a LocalDomain,
    before: Option<&'a LocalDomain>,
    catalog: DomainCatalog,
    /// The ports that are open or closed by now.
    ports: BTreeMap<PortRef, OpenedPort>,
    /// The derived ports that are neither yet.
    pending: BTreeMap<PortRef, PendingPort>,
    /// The depths of the open derived ports.
    depths: BTreeMap<PortRef, QueryDepth>,
    /// The open derived ports that read classified columns, also through other ports.
    classified: BTreeSet<PortRef>,
    faults: Vec<Diagnostic>,
    changes: Vec<(PortRef, PortChange)>,
}

/// A version of a derived port that is to be opened.
struct PendingPort {
    /// The newest version of the port.
    declared: Port,
    /// This version: the newest or the last good one.
    port: Port,
    query: PortQuery,
    /// The reason why the newest version cannot be opened, if this is the last good one.
    fault: Option<OpenError>,
}

impl<'a> DerivedOpening<'a> {
    fn new(base: &'a SessionState, given: &'a LocalDomain, before: Option<&'a LocalDomain>) -> Self {
        let catalog = (*given.catalog).clone();
        let is_derived = |opened: &OpenedPort| {
            catalog.port(&opened.name.product, &opened.name.port).is_some_and(|port| port.query().is_some())
        };
        let ports = given.ports.iter().filter(|opened| !is_derived(opened));
        let ports = ports.map(|opened| (opened.name.clone(), opened.clone())).collect();
        Self {
            base,
            given,
            before,
            catalog,
            ports,
            pending: BTreeMap::new(),
            depths: BTreeMap::new(),
            classified: BTreeSet::new(),
            faults: vec![],
            changes: vec![],
        }
    }

    /// Returns the derived ports of the domain.
    fn declared(&self) -> Vec<Port> {
        self.given.catalog.ports().filter(|port| port.query().is_some()).cloned().collect()
    }

    /// Opens each derived port when its inputs are open or closed.
    fn run(mut self) -> DerivedDomain {
        for port in self.declared() {
            self.attempt(port.clone(), port, None);
        }
        while !self.pending.is_empty() {
            let is_ready = |attempt: &PendingPort| !attempt.query.inputs.iter().any(|i| self.pending.contains_key(i));
            let ready = self.pending.iter().filter(|(_, attempt)| is_ready(attempt));
            let ready: Vec<PortRef> = ready.map(|(name, _)| name.clone()).collect();
            if ready.is_empty() {
                self.break_cycles();
                continue;
            }
            let view = Arc::new(MeshView::of_queries(&self.domain()));
            for name in ready {
                if let Some(attempt) = self.pending.remove(&name) {
                    self.open(attempt, &view);
                }
            }
        }
        self.finish()
    }

    fn parse(&self, port: &Port) -> Result<PortQuery, OpenError> {
        caught(port, || PortQuery::parse(port, &self.catalog, self.base))
    }

    /// Prepares to open a version of a port.
    fn attempt(&mut self, declared: Port, port: Port, fault: Option<OpenError>) {
        match self.parse(&port) {
            Ok(query) => drop(self.pending.insert(port.name.clone(), PendingPort { declared, port, query, fault })),
            Err(error) => self.fail(declared, fault, error),
        }
    }

    /// Opens a version of a port. Its inputs are open or closed.
    fn open(&mut self, attempt: PendingPort, view: &Arc<MeshView>) {
        let PendingPort { port, query, .. } = &attempt;
        if let Some(closed) = query.inputs.iter().find(|input| !self.ports.get(*input).is_some_and(is_open)) {
            let error = fault(port, format!("the query reads port {closed}, which is not open"));
            return self.fail(attempt.declared, attempt.fault, error);
        }
        let is_classified = query.inputs.iter().any(|input| self.is_classified(input));
        let depth = self.depth(port, query);
        let plan = || Definition::plan(port, query, self.base, view, is_classified);
        match depth.and_then(|depth| Ok((depth, caught(port, plan)?))) {
            Ok((depth, definition)) => {
                self.depths.insert(port.name.clone(), depth);
                if is_classified {
                    self.classified.insert(port.name.clone());
                }
                self.keep(attempt, definition);
            }
            Err(error) => self.fail(attempt.declared, attempt.fault, error),
        }
    }

    /// Returns the depth of a port with those that it reads, which are open.
    ///
    /// # Errors
    /// A port beyond the limits.
    fn depth(&self, port: &Port, query: &PortQuery) -> Result<QueryDepth, OpenError> {
        let below = query.inputs.iter().filter_map(|input| self.depths.get(input).copied());
        let depth = QueryDepth::above(below, port.query().map(|query| query.text.as_str()).unwrap_or_default());
        depth.check_queries("derived ports").map_err(|error| fault(port, error.context()))?;
        let together =
            |error: Error| fault(port, error.within("the query with those of the ports that it reads").context());
        depth.check_levels().map_err(together)?;
        Ok(depth)
    }

    /// True if a port has classified columns, or reads some.
    fn is_classified(&self, name: &PortRef) -> bool {
        let port = self.catalog.port(&name.product, &name.port);
        self.classified.contains(name) || port.is_some_and(|port| !port.columns.iter().all(Column::is_open))
    }

    /// Opens the last good version of a port, or closes the port. `error` is the fault of the version that was tried.
    /// `newest` is the fault of the newest version, if that was another one.
    fn fail(&mut self, declared: Port, newest: Option<OpenError>, error: OpenError) {
        if let Some(newest) = newest {
            return self.close(&declared, &newest);
        }
        self.faults.extend(error.diagnostics().0.clone());
        match self.last_good(&declared.name) {
            Some(port) => self.attempt(declared, port, Some(error)),
            None => self.close(&declared, &error),
        }
    }

    /// Returns the version of a derived port that is served until now, if the port is open.
    fn last_good(&self, name: &PortRef) -> Option<Port> {
        let before = self.before?;
        before.ports.iter().find(|opened| opened.name == *name).filter(|opened| is_open(opened))?;
        before.catalog.port(&name.product, &name.port).filter(|port| port.query().is_some()).cloned()
    }

    /// Fails the ports whose queries read themselves.
    fn break_cycles(&mut self) {
        let chains = self.pending.keys().map(|name| self.chain(name));
        let cycles: Vec<_> = chains.filter(|chain| chain.len() > 1 && chain.first() == chain.last()).collect();
        for cycle in cycles {
            let Some(attempt) = cycle.first().and_then(|name| self.pending.remove(name)) else { continue };
            let shown: Vec<_> = cycle.iter().take(MOST_SHOWN).map(ToString::to_string).collect();
            let more = if cycle.len() > MOST_SHOWN { " → …" } else { "" };
            let error = fault(&attempt.port, format!("the query reads its own port: {}{more}", shown.join(" → ")));
            self.fail(attempt.declared, attempt.fault, error);
        }
    }

    /// Returns a path along pending inputs, up to the first port that occurs again.
    fn chain(&self, from: &PortRef) -> Vec<PortRef> {
        let mut chain = vec![from.clone()];
        loop {
            let last = chain.last().and_then(|name| self.pending.get(name));
            let next = last.and_then(|attempt| attempt.query.inputs.iter().find(|i| self.pending.contains_key(*i)));
            let Some(next) = next.cloned() else { return chain };
            let is_known = chain.contains(&next);
            chain.push(next);
            if is_known {
                return chain;
            }
        }
    }

    /// Keeps an open port.
    fn keep(&mut self, attempt: PendingPort, definition: Definition) {
        let PendingPort { declared, mut port, query, fault } = attempt;
        // A port that is planned again keeps its mark.
        let given = self.given.ports.iter().find(|opened| opened.name == port.name);
        let mark = port.load_error.take().filter(|_| fault.is_none() && given.is_some_and(is_open));
        port.load_error = mark;
        port.derived_from = query.inputs.into_iter().collect();
        port.statistics = Arc::new(definition.statistics);
        let port = match &fault {
            Some(error) => mark_port(&port, &declared, error),
            None => port,
        };
        let opened = OpenedPort::new(port.name.clone(), Arc::new(definition.table));
        self.settle(port, opened, fault.map(|error| error.one_line()));
    }

    /// Closes a port.
    fn close(&mut self, declared: &Port, error: &OpenError) {
        let inputs = self.parse(declared).map(|query| query.inputs);
        self.close_over(declared, inputs.unwrap_or_default(), error);
    }

    /// Closes all derived ports. Reads no query: the thread may have a small stack.
    fn close_all(mut self, error: &Error) -> DerivedDomain {
        for port in self.declared() {
            let error = fault(&port, error.chain());
            self.faults.extend(error.diagnostics().0.clone());
            self.close_over(&port, BTreeSet::new(), &error);
        }
        self.finish()
    }

    /// Closes a port whose query reads these ports.
    fn close_over(&mut self, declared: &Port, inputs: BTreeSet<PortRef>, error: &OpenError) {
        let mut port = declared.clone();
        port.derived_from = inputs.into_iter().collect();
        port.statistics = Arc::default();
        let (port, closed) = close_port(&port, error);
        self.settle(port, closed, Some(error.one_line()));
    }

    /// Puts a port into the domain. `reason` is the reason for its owner why it is closed or marked.
    fn settle(&mut self, port: Port, opened: OpenedPort, reason: Option<String>) {
        let before = self.before.and_then(|before| before.catalog.port(&port.name.product, &port.name.port));
        let had_error = before.and_then(|before| before.load_error.as_ref());
        let of_failure: fn(String) -> PortChange = if is_open(&opened) { PortChange::Kept } else { PortChange::Closed };
        let change = match reason {
            Some(reason) => (had_error != port.load_error.as_ref()).then(|| of_failure(reason)),
            None => (had_error.is_some() && port.load_error.is_none()).then_some(PortChange::Opened),
        };
        self.changes.extend(change.map(|change| (port.name.clone(), change)));
        self.ports.insert(port.name.clone(), opened);
        if let Some(product) = self.catalog.products.get_mut(&port.name.product) {
            product.ports.insert(port.name.port.clone(), port);
        }
    }

    /// Returns the domain as far as it is open.
    fn domain(&self) -> LocalDomain {
        let mut domain = self.given.clone();
        domain.catalog = Arc::new(self.catalog.clone());
        domain.ports = self.ports.values().cloned().collect();
        domain
    }

    fn finish(mut self) -> DerivedDomain {
        // The types of closed ports come from their contracts.
        let schema_of = |name: &PortRef| {
            let table = self.ports.get(name)?.provider.downcast_ref::<DerivedTable>()?;
            Some(table.schema.clone())
        };
        self.catalog = self.catalog.clone().with_schemas(schema_of);
        DerivedDomain { domain: self.domain(), faults: self.faults, changes: self.changes }
    }
}

/// Checks the derived ports of a domain.
///
/// # Errors
/// The faults of all derived ports.
pub(crate) fn check(base: &SessionState, domain: &LocalDomain) -> Result<(), Diagnostics> {
    let faults = open(base, domain.clone(), None).faults;
    if faults.is_empty() { Ok(()) } else { Err(Diagnostics(faults)) }
}

#[cfg(test)]
mod tests;
