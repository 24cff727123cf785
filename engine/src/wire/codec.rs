//! A scan on the wire: the port's name and nothing else. Who receives it resolves the name for itself.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::{Result, not_impl_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use portolan_catalog::PortRef;

use crate::execution::errors::into_datafusion;
use crate::mesh::MeshView;
use crate::names::{PortTable, port_table};
use crate::{Error, ErrorKind};

/// Encodes ports by name and resolves them against one view of the mesh.
#[derive(Debug)]
pub(super) struct PortCodec(Arc<MeshView>);

impl PortCodec {
    pub(super) fn new(view: Arc<MeshView>) -> Self {
        Self(view)
    }
}

impl LogicalExtensionCodec for PortCodec {
    fn try_decode(&self, _: &[u8], _: &[LogicalPlan], _: &TaskContext) -> Result<Extension> {
        not_impl_err!("no operator of another kind travels")
    }

    fn try_encode(&self, node: &Extension, _: &mut Vec<u8>) -> Result<()> {
        not_impl_err!("`{}` does not travel", node.node.name())
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
            .0
            .snapshot
            .domains
            .get(&name.domain)
            .and_then(|entry| port_table(&self.0, entry, &name))
            .ok_or_else(|| unknown(format!("there is no port `{name}` here")))?;
        if !same_columns(&table.schema(), &schema) {
            return Err(into_datafusion(Error::new(
                ErrorKind::SiteUnavailable,
                format!("the columns of port `{name}` changed since the sender learned them: try again in a moment"),
            )));
        }
        Ok(Arc::new(table))
    }

    fn try_encode_table_provider(
        &self,
        _: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        match node.downcast_ref::<PortTable>() {
            Some(port) => serde_json::to_writer(buf, &port.name)
                .map_err(|e| datafusion::error::DataFusionError::External(e.into())),
            None => not_impl_err!("a table of this node does not travel"),
        }
    }
}

/// The same names and types in the same order: a projection by position means the same.
fn same_columns(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields().iter().zip(b.fields()).all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}
