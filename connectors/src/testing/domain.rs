//! Domains whose rows are in memory.

#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use portolan_catalog::{Column, DomainCatalog, DomainName, Port, PortRef, Product, ProductName};

use crate::source::{LocalDomain, OpenedPort};

/// Returns a column that is never NULL, without other properties.
pub fn column(name: &str, data_type: DataType) -> Column {
    Column { data_type: Some(data_type), nullable: false, ..Column::new(name) }
}

/// Returns a column for each field of `schema`.
pub fn columns(schema: &Schema) -> Vec<Column> {
    let of =
        |field: &FieldRef| Column { nullable: field.is_nullable(), ..column(field.name(), field.data_type().clone()) };
    schema.fields().iter().map(of).collect()
}

/// Returns the catalog of a domain at version `1`, with each port in its product.
pub fn catalog(domain: &str, ports: impl IntoIterator<Item = Port>) -> DomainCatalog {
    let mut products: BTreeMap<ProductName, Product> = BTreeMap::new();
    for port in ports {
        let name = port.name.product.clone();
        let product = products.entry(name.clone()).or_insert_with(|| Product::new(name.as_str()));
        product.ports.insert(port.name.port.clone(), port);
    }
    DomainCatalog { domain: DomainName::new(domain), version: "1".into(), products }
}

/// Returns a domain as its owner opens it, without derived ports. `rows` returns the batches of a port, with the port's
/// columns.
///
/// # Panics
/// A column has no type, or a batch has other columns.
pub fn local_domain(catalog: DomainCatalog, rows: impl Fn(&PortRef) -> Vec<RecordBatch>) -> LocalDomain {
    let open = |port: &Port| {
        let schema = port.schema().expect("every column has a type");
        let table = MemTable::try_new(schema.clone(), vec![rows(&port.name)]).expect("batches of the port's columns");
        OpenedPort { name: port.name.clone(), provider: Arc::new(table), schema, writer: None, site: None }
    };
    let ports = catalog.ports().filter(|port| !port.is_derived()).map(open).collect();
    LocalDomain { catalog: Arc::new(catalog), ports }
}
