//! Domains whose rows are in memory.

#![allow(clippy::expect_used)]

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use portolan_catalog::{Column, DomainCatalog, Port, PortRef};

use crate::source::{LocalDomain, OpenedPort};

/// Returns a column that is never NULL, without other properties.
pub fn column(name: &str, data_type: DataType) -> Column {
    let mut column = Column::new(name).with_type(data_type);
    column.nullable = false;
    column
}

/// Returns a column for each field of `schema`.
pub fn columns(schema: &Schema) -> Vec<Column> {
    let of = |field: &FieldRef| {
        let mut column = Column::new(field.name()).with_type(field.data_type().clone());
        column.nullable = field.is_nullable();
        column
    };
    schema.fields().iter().map(of).collect()
}

/// Returns the catalog of a domain at version `1`, with each port in its product.
pub fn catalog(domain: &str, ports: impl IntoIterator<Item = Port>) -> DomainCatalog {
    let mut catalog = DomainCatalog::new(domain, ports);
    catalog.version = "1".to_owned();
    catalog
}

/// Returns a domain as its owner opens it, without derived ports. `rows` returns the batches of a port, with the port's
/// columns.
///
/// # Panics
/// A column has no type, or a batch has other columns.
pub fn local_domain(catalog: DomainCatalog, rows: impl Fn(&PortRef) -> Vec<RecordBatch>) -> LocalDomain {
    let open = |port: &Port| {
        let schema = port.schema().expect("every column has a type");
        let table = MemTable::try_new(schema, vec![rows(&port.name)]).expect("batches of the port's columns");
        OpenedPort::new(port.name.clone(), Arc::new(table))
    };
    let ports = catalog.ports().filter(|port| !port.is_derived()).map(open).collect();
    LocalDomain { catalog: Arc::new(catalog), ports, policies: None }
}
