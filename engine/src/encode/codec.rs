//! The wire form of a scan and of a test for keys. A scan is the port's name and nothing else: the receiver resolves
//! the name itself. A test for keys is the number of the keys, which are sent next to the plan.

use std::sync::{Arc, Mutex};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::{Result, not_impl_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan, ScalarUDF};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use portolan_catalog::PortRef;
use portolan_connectors::lock;

use super::keys::{InKeys, SentKeys};
use crate::execution::errors::into_datafusion;
use crate::mesh::MeshView;
use crate::names::{PortTable, port_table};
use crate::{Error, ErrorKind};

/// Encodes ports by name and resolves them against one view of the mesh.
#[derive(Debug)]
pub(super) struct PortCodec {
    view: Arc<MeshView>,
    /// The keys of the plan's tests, by number.
    keys: Mutex<Vec<Arc<SentKeys>>>,
}

impl PortCodec {
    pub(super) fn new(view: Arc<MeshView>, keys: Vec<Arc<SentKeys>>) -> Self {
        Self { view, keys: Mutex::new(keys) }
    }

    /// Returns the keys that are sent next to the plan.
    pub(super) fn keys(&self) -> Vec<Arc<SentKeys>> {
        lock(&self.keys).clone()
    }
}

impl LogicalExtensionCodec for PortCodec {
    fn try_decode(&self, _: &[u8], _: &[LogicalPlan], _: &TaskContext) -> Result<Extension> {
        not_impl_err!("operators of other kinds do not travel")
    }

    fn try_encode(&self, node: &Extension, _: &mut Vec<u8>) -> Result<()> {
        not_impl_err!("`{}` does not travel", node.node.name())
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        let number = buf.try_into().map(u32::from_le_bytes).ok();
        let keys = number.and_then(|n| self.keys().get(n as usize).cloned());
        match keys.map(|keys| ScalarUDF::from(InKeys::new(keys))) {
            Some(function) if function.name() == name => Ok(Arc::new(function)),
            _ => plan_err!("there is no function `{name}` over keys that came with the fragment"),
        }
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        let function: &dyn std::any::Any = node.inner().as_ref();
        let Some(function) = function.downcast_ref::<InKeys>() else { return Ok(()) };
        let mut keys = lock(&self.keys);
        let number = keys.iter().position(|k| Arc::ptr_eq(k, &function.keys)).unwrap_or_else(|| {
            keys.push(function.keys.clone());
            keys.len() - 1
        });
        buf.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        _: &TableReference,
        schema: SchemaRef,
        _: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        let unknown = |what: String| into_datafusion(Error::new(ErrorKind::NotFound, what));
        let name: PortRef = serde_json::from_slice(buf).map_err(|e| {
            into_datafusion(Error::new(ErrorKind::InvalidQuery, "a scan without a port's name").with_source(e))
        })?;
        let table = self
            .view
            .snapshot
            .domains
            .get(&name.domain)
            .and_then(|entry| port_table(&self.view, entry, &name))
            .ok_or_else(|| unknown(format!("there is no port `{name}` here")))?;
        if !same_columns(&table.schema(), &schema) {
            return Err(into_datafusion(Error::new(
                ErrorKind::SiteUnavailable,
                format!("the columns of port `{name}` changed since the sender learned them: try again in a moment"),
            )));
        }
        Ok(Arc::new(table.of_fragment()))
    }

    fn try_encode_table_provider(
        &self,
        _: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        match node.downcast_ref::<PortTable>() {
            Some(port) if port.is_of_query => not_impl_err!("the query of a derived port stays with its owner"),
            Some(port) => serde_json::to_writer(buf, &port.name)
                .map_err(|e| datafusion::error::DataFusionError::External(e.into())),
            None => not_impl_err!("a table of this node does not travel"),
        }
    }
}

/// True if two schemas have the same names and types in the same order. Then a projection by position means the same.
fn same_columns(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields().iter().zip(b.fields()).all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}
