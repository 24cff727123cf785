//! The query of a derived port, parsed: the ports that it reads, and what it must not contain.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use datafusion::common::TableReference;
use datafusion::common::utils::quote_identifier;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{Diagnostic, Diagnostics, DomainCatalog, MAX_INPUTS, Port, PortRef};
use portolan_connectors::OpenError;
use sqlparser::ast::{Expr, Statement as SqlStatement, Value};

use crate::Error;
use crate::dialect::is_of_session;
use crate::execution::errors::from_datafusion;
use crate::planner::resolve::parse_query;
use crate::visit::find_expression;

/// The parsed query of a derived port.
#[derive(Debug)]
pub(super) struct PortQuery {
    pub(super) statement: SqlStatement,
    /// The ports that the query reads. Not empty.
    pub(super) inputs: BTreeSet<PortRef>,
}

impl PortQuery {
    /// Parses the query of a port, and finds the ports that it reads.
    ///
    /// # Errors
    /// A text that is not a SELECT; each name that is not that of a port of the same domain; a parameter, or a value of
    /// the session.
    pub(super) fn parse(port: &Port, catalog: &DomainCatalog, base: &SessionState) -> Result<Self, OpenError> {
        let text = port.query().map(|query| query.text.as_str()).unwrap_or_default();
        let statement = parse_query(text).map_err(|e| hidden(port, &e))?;
        if let Some(message) = refused_expression(&statement) {
            return Err(fault(port, message));
        }
        let references = base.resolve_table_references(&Statement::Statement(Box::new(statement.clone())));
        let references = references.map_err(|e| hidden(port, &from_datafusion(&e)))?;
        let (mut inputs, mut faults) = (BTreeSet::new(), vec![]);
        for reference in references {
            match input(&reference, port, catalog) {
                Ok(input) => drop(inputs.insert(input)),
                Err((message, suggestion)) => faults.push(Diagnostic { suggestion, ..diagnostic(port, message) }),
            }
        }
        if faults.is_empty() && inputs.is_empty() {
            faults
                .push(diagnostic(port, "the query reads no port of the domain, and a derived port reads at least one"));
        }
        if inputs.len() > MAX_INPUTS {
            faults.push(diagnostic(port, format!("the query reads more than {MAX_INPUTS} ports")));
        }
        if faults.is_empty() { Ok(Self { statement, inputs }) } else { Err(OpenError::Faulty(Diagnostics(faults))) }
    }
}

/// Runs work on the query of a port. A panic is a fault of this port, and the others open.
pub(super) fn caught<T>(port: &Port, work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    // The state that the work has changed is dropped with the work.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(fault(port, "planning the query ended abnormally")))
}

/// Returns a fault of a derived port's query.
pub(super) fn fault(port: &Port, message: impl Into<String>) -> OpenError {
    OpenError::Faulty(Diagnostics(vec![diagnostic(port, message)]))
}

/// Returns a fault with a message that may quote the query. Only the owner sees the message.
pub(super) fn hidden(port: &Port, error: &Error) -> OpenError {
    let fault = fault(port, format!("the query cannot be planned: {}", error.owner_chain()));
    OpenError::Described(
        Box::new(fault),
        "its query cannot be planned, and the log of the node has the reason".to_owned(),
    )
}

pub(super) fn diagnostic(port: &Port, message: impl Into<String>) -> Diagnostic {
    let place = port.source.as_ref().map(|source| source.place.clone()).unwrap_or_default();
    Diagnostic::new(place, message)
}

/// Returns the port that a name in a query means.
fn input(
    reference: &TableReference,
    port: &Port,
    catalog: &DomainCatalog,
) -> Result<PortRef, (String, Option<String>)> {
    let domain = &catalog.domain;
    // As a query writes it.
    let short = |PortRef { product, port, .. }: &PortRef| {
        format!("{}.{}", quote_identifier(product.as_str()), quote_identifier(port.as_str()))
    };
    let name = match reference {
        TableReference::Bare { table } => {
            let same = catalog.ports().find(|known| known.name.port.as_str() == &**table && known.name != port.name);
            let message = format!("the query reads `{table}`, and a name in it is `product.port`");
            return Err((message, same.map(|port| short(&port.name))));
        }
        TableReference::Partial { schema, table } => PortRef::new(domain.as_str(), &**schema, &**table),
        TableReference::Full { catalog, schema, table } => PortRef::new(&**catalog, &**schema, &**table),
    };
    if name.domain != *domain {
        let message = format!("the query reads `{name}`, and a derived port reads only ports of its domain `{domain}`");
        return Err((message, None));
    }
    if catalog.port(&name.product, &name.port).is_none() {
        let plain = |PortRef { product, port, .. }: &PortRef| format!("{product}.{port}");
        let others = catalog.ports().filter(|known| known.name != port.name);
        let known: BTreeMap<String, &Port> = others.map(|port| (plain(&port.name), port)).collect();
        let near = nearest(&plain(&name), known.keys().map(String::as_str)).and_then(|near| known.get(near));
        let message = format!("the domain has no port `{}`, which the query reads", short(&name));
        return Err((message, near.map(|port| short(&port.name))));
    }
    Ok(name)
}

/// Returns why the query of a port must not contain one of its expressions.
fn refused_expression(statement: &SqlStatement) -> Option<String> {
    find_expression(statement, |expr| match expr {
        Expr::Function(call) => {
            let name = call.name.0.last()?.as_ident()?.value.to_lowercase();
            is_of_session(&name).then(|| format!("the query calls `{name}`, which differs between sessions or nodes"))
        }
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(format!("the query has a parameter `{name}`: write its value")),
            _ => None,
        },
        _ => None,
    })
}
