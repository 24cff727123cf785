//! Ports that are not open, because their sources did not respond. A closed port keeps its place in the catalog, and
//! each scan fails with the reason.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use portolan_catalog::logical_type::declared_type;
use portolan_catalog::{Column, DomainCatalog, Port, PortRef, PortSource};

use crate::error::{Error, ErrorKind};
use crate::source::OpenedPort;

/// The reason why a port is closed. The node's log has the details, which are not for other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedReason {
    /// The source did not respond.
    NoResponse,
    /// The source or the contract has faults, which somebody must fix.
    Faults,
}

impl fmt::Display for ClosedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoResponse => "its source did not respond, and the node tries again",
            Self::Faults => "its source or its contract has faults, which the node's log shows",
        })
    }
}

/// The table of a closed port.
#[derive(Debug)]
struct ClosedTable {
    port: PortRef,
    reason: ClosedReason,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for ClosedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let error = Error::new(ErrorKind::SiteUnavailable, description(&self.port, self.reason));
        Err(DataFusionError::External(Box::new(error)))
    }
}

/// Returns a closed port. Until the source responds, the contract alone gives the types of the columns.
pub(crate) fn closed_port(port: &Port, reason: ClosedReason) -> OpenedPort {
    let fields =
        port.columns.iter().map(|column| Field::new(&column.name, expected_type(column, port.source.as_ref()), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let table = ClosedTable { port: port.name.clone(), reason, schema: schema.clone() };
    OpenedPort { name: port.name.clone(), provider: Arc::new(table), schema, writer: None, site: None }
}

/// True if the port is open.
pub(crate) fn is_open(port: &OpenedPort) -> bool {
    reason(port).is_none()
}

/// Returns the reason why a port is closed; `None` if it is open.
pub(crate) fn reason(port: &OpenedPort) -> Option<ClosedReason> {
    port.provider.downcast_ref::<ClosedTable>().map(|table| table.reason)
}

/// Marks the products of the closed ports in the catalog, and gives the columns of these ports their expected types. The
/// nullability stays as the contract declares it. `before` are the ports to which the catalog's marks belong: other
/// load errors stay.
pub(crate) fn mark_closed(catalog: &mut DomainCatalog, before: &[OpenedPort], now: &[OpenedPort]) {
    for product in catalog.products.values_mut() {
        let mark = |ports: &[OpenedPort]| {
            let closed = ports.iter().filter(|port| port.name.product == product.name);
            let reasons: Vec<String> = closed.filter_map(|p| Some(description(&p.name, reason(p)?))).collect();
            (!reasons.is_empty()).then(|| reasons.join("; "))
        };
        let (old, new) = (mark(before), mark(now));
        if product.load_error == old {
            product.load_error = new;
        }
        for port in product.ports.values_mut() {
            if now.iter().any(|closed| closed.name == port.name && !is_open(closed)) {
                let source = port.source.as_ref();
                port.columns.iter_mut().for_each(|column| column.data_type = Some(expected_type(column, source)));
            }
        }
    }
}

fn description(port: &PortRef, reason: ClosedReason) -> String {
    format!("port {port} is not open: {reason}")
}

fn expected_type(column: &Column, source: Option<&PortSource>) -> DataType {
    declared_type(column, source).unwrap_or(DataType::Utf8)
}
