//! Ports that cannot be opened. A closed port keeps its place in the catalog, and each scan fails with the reason. A
//! port that was open keeps its last good version instead, and only the catalog has the reason. The engine closes and
//! marks derived ports in the same way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use portolan_catalog::logical_type::declared_type;
use portolan_catalog::{Column, KeyUse, Port, PortRef, PortSource};

use crate::error::{Error, ErrorKind};
use crate::poison::lock;
use crate::source::{OpenError, OpenedPort};

/// The table of a closed port.
#[derive(Debug)]
struct ClosedTable {
    /// The reason for everybody.
    reason: String,
    /// The reason for the owner of the data, from the last attempt to open the port.
    owner_reason: Mutex<String>,
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
        let error = Error::new(ErrorKind::SiteUnavailable, &self.reason).for_owner(lock(&self.owner_reason).clone());
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
    let table = ClosedTable { reason: reason.clone(), owner_reason: Mutex::new(owner_reason), schema: schema.clone() };
    let name = port.name.clone();
    let opened = OpenedPort { name, provider: Arc::new(table), schema, writer: None, site: None };
    let mut entry = port.clone();
    entry.columns.iter_mut().for_each(|column| column.data_type = Some(expected_type(column, source)));
    entry.load_error = Some(reason);
    (entry, opened)
}

/// Replaces the reason for the owner in the errors of a closed port. Returns true if the reason has changed.
pub(crate) fn renew_reason(opened: &OpenedPort, error: &OpenError) -> bool {
    let Some(table) = opened.provider.downcast_ref::<ClosedTable>() else { return false };
    let now = not_open(&opened.name, &error.owner_description());
    let mut reason = lock(&table.owner_reason);
    let is_new = *reason != now;
    *reason = now;
    is_new
}

/// Returns the last good version of an open port, marked with the reason why `newest` cannot be opened. What the newest
/// version protects is protected at once: the classification of its columns counts, and so do the rules about the places
/// of its values.
pub fn marked(last: &Port, newest: &Port, error: &OpenError) -> Port {
    let reason = format!("port {}: the last good version is in use: {}", last.name, error.description());
    let mut entry = last.clone();
    let protected: BTreeMap<&str, &Column> =
        newest.columns.iter().filter(|column| !column.is_open()).map(|column| (column.name.as_str(), column)).collect();
    let keys: BTreeMap<&str, KeyUse> = newest.columns.iter().map(|c| (c.name.as_str(), c.keys())).collect();
    entry.processed_at = last.processed_at.and(&newest.processed_at);
    for column in &mut entry.columns {
        let stricter = keys.get(column.name.as_str()).filter(|keys| **keys > column.keys()).copied();
        column.key_use = stricter.or(column.key_use);
        if let Some(newest) = protected.get(column.name.as_str()) {
            column.classification.clone_from(&newest.classification);
        }
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portolan_catalog::{Diagnostics, Place, ProcessedAt};

    use super::*;

    #[test]
    fn the_owner_sees_the_reason_of_the_last_attempt() {
        let error = |message: &str| {
            let fault = OpenError::Faulty(Diagnostics::one(Place::default(), message));
            OpenError::Described(Box::new(fault), "it has faults".to_owned())
        };
        let port = Port::new(PortRef::new("sales", "orders", "a"));
        let (_, opened) = closed(&port, &error("no such file"));
        assert!(!renew_reason(&opened, &error("no such file")));
        assert!(renew_reason(&opened, &error("permission denied")));
        let table = opened.provider.downcast_ref::<ClosedTable>().unwrap();
        assert!(lock(&table.owner_reason).ends_with("permission denied"));
        assert_eq!(table.reason, "port sales.orders.a is not open: it has faults");
    }
    #[test]
    fn a_version_that_cannot_be_opened_protects_its_values_at_once() {
        let port = |keys: [Option<KeyUse>; 3], processed_at: ProcessedAt| {
            let columns = ["a", "b", "c"].into_iter().zip(keys);
            let columns = columns.map(|(name, key_use)| {
                let mut column = Column::new(name);
                column.key_use = key_use;
                column
            });
            let mut port = Port::new(PortRef::new("sales", "orders", "a")).with_columns(columns);
            port.processed_at = processed_at;
            port
        };
        let fault = OpenError::Faulty(Diagnostics::one(Place::default(), "no such file"));
        let last = port([None, Some(KeyUse::Never), Some(KeyUse::Ship)], ProcessedAt::Any);
        let newest = port([Some(KeyUse::Hash), Some(KeyUse::Ship), None], ProcessedAt::Own);
        let entry = marked(&last, &newest, &fault);
        let keys: Vec<_> = entry.columns.iter().map(Column::keys).collect();
        assert_eq!(keys, [KeyUse::Hash, KeyUse::Never, KeyUse::Ship]);
        assert_eq!(entry.processed_at, ProcessedAt::Own);
        assert_eq!(marked(&newest, &last, &fault).processed_at, ProcessedAt::Own);
    }
}
