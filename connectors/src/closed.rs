//! Ports that cannot be opened. A closed port keeps its place in the catalog, and each scan fails with the reason. A
//! port that was open keeps its last good version instead, and only the catalog has the reason. The engine closes and
//! marks derived ports in the same way.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use portolan_catalog::logical_type::declared_type;
use portolan_catalog::{Column, Port, PortRef, PortSource};

use crate::error::{Error, ErrorKind};
use crate::source::{OpenError, OpenedPort};

/// The table of a closed port.
#[derive(Debug)]
struct ClosedTable {
    /// The reason for everybody.
    reason: String,
    /// The reason for the owner of the data.
    owner_reason: String,
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
        let error = Error::new(ErrorKind::SiteUnavailable, &self.reason).for_owner(&self.owner_reason);
        Err(DataFusionError::External(Box::new(error)))
    }
}

/// Returns a port that could not be opened, closed: its entry in the catalog, and a table whose scans fail. Until the
/// port opens, the contract alone gives the types of the columns. Their nullability stays as the contract declares it.
pub fn closed(port: &Port, error: &OpenError) -> (Port, OpenedPort) {
    let source = port.source.as_ref();
    let fields = port.columns.iter().map(|column| Field::new(&column.name, expected_type(column, source), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reason = not_open(&port.name, &error.description());
    let owner_reason = not_open(&port.name, &error.owner_description());
    let table = ClosedTable { reason: reason.clone(), owner_reason, schema: schema.clone() };
    let name = port.name.clone();
    let opened = OpenedPort { name, provider: Arc::new(table), schema, writer: None, site: None };
    let mut entry = port.clone();
    entry.columns.iter_mut().for_each(|column| column.data_type = Some(expected_type(column, source)));
    entry.load_error = Some(reason);
    (entry, opened)
}

/// Returns the last good version of an open port, marked with the reason why its newest version cannot be opened.
pub fn marked(last: &Port, error: &OpenError) -> Port {
    let reason = format!("port {}: the last good version is in use: {}", last.name, error.description());
    let mut entry = last.clone();
    entry.load_error = Some(reason);
    entry
}

/// True if the port is open.
pub fn is_open(port: &OpenedPort) -> bool {
    port.provider.downcast_ref::<ClosedTable>().is_none()
}

fn not_open(port: &PortRef, reason: &str) -> String {
    format!("port {port} is not open: {reason}")
}

fn expected_type(column: &Column, source: Option<&PortSource>) -> DataType {
    declared_type(column, source).unwrap_or(DataType::Utf8)
}
