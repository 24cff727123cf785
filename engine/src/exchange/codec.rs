//! Remote scans as bytes, for an engine that distributes physical plans. The bytes are for processes of one build.
//! Nodes send each other logical plans instead (`encode/`), and these bytes are not part of their protocol.

mod edge;

use std::sync::Arc;

use arrow::datatypes::Schema;
use bytes::Bytes;
use datafusion::common::{DFSchema, Result, internal_err, not_impl_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use portolan_catalog::DomainName;
use portolan_connectors::{EncodedPlan, FragmentPlan, SiteId};
use prost::Message;

use self::edge::WireEdge;
use super::live::LiveEdges;
use super::remote_scan::RemoteScanExec;
use crate::encode::decode;
use crate::execution::errors::into_datafusion;
use crate::mesh::MeshView;
use crate::plan::Fragment;

/// Encodes the operators of a physical plan that read fragments of other nodes, so that parts of the plan can run in
/// other processes.
///
/// A scan is encoded as a description: its fragment, site, columns, edge, and the filters that it waits for. To decode
/// it and to run it, a task needs the configuration that
/// [`with_remote_scans`](crate::server::with_remote_scans) returns, of an engine with the same peers that has
/// fetched their catalogs. The catalogs show which peers are replicas of one owner.
///
/// Parts of a plan that [several readers share](crate::Settings::share) cannot be encoded: plan with `portolan.share` off.
///
/// Convert plans with
/// [`DeduplicatingProtoConverter`](datafusion_proto::physical_plan::DeduplicatingProtoConverter) in both directions: a
/// join and the scan that waits for the join's keys then share one filter, as before. Otherwise the scan waits as long
/// as its edge allows, and reads all rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoteScanCodec;

/// A remote scan.
#[derive(Clone, PartialEq, Message)]
struct WireScan {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    site: String,
    #[prost(string, repeated, tag = "3")]
    domains: Vec<String>,
    #[prost(bytes = "bytes", tag = "4")]
    plan: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    keys: Vec<Bytes>,
    #[prost(message, optional, tag = "6")]
    schema: Option<protobuf::Schema>,
    #[prost(uint64, optional, tag = "7")]
    rows: Option<u64>,
    #[prost(message, optional, tag = "8")]
    edge: Option<WireEdge>,
    #[prost(message, repeated, tag = "9")]
    filters: Vec<protobuf::PhysicalExprNode>,
}

impl WireScan {
    fn of(fragment: &Fragment, filters: Vec<protobuf::PhysicalExprNode>) -> Result<Self> {
        let Fragment { number, site, domains, plan: _, sent, schema, rows, edge, is_hidden: _ } = fragment;
        let FragmentPlan::Encoded(EncodedPlan { plan, keys }) = sent.clone() else {
            return not_impl_err!("the scan of {site} cannot run in another process: it does not read from a node");
        };
        Ok(Self {
            number: *number as u64,
            site: site.to_string(),
            domains: domains.iter().map(ToString::to_string).collect(),
            plan,
            keys,
            schema: Some(protobuf::Schema::try_from(schema.as_arrow())?),
            rows: rows.map(|rows| rows as u64),
            edge: Some(WireEdge::of(edge)),
            filters,
        })
    }

    /// Returns the fragment over the ports of a view. Its logical plan is decoded again from its wire form.
    fn fragment(self, view: &Arc<MeshView>) -> Result<Fragment> {
        let Self { number, site, domains, plan, keys, schema, rows, edge, filters: _ } = self;
        let (Some(schema), Some(edge)) = (schema, edge) else {
            return plan_err!("a remote scan came without its columns or its edge");
        };
        let encoded = EncodedPlan { plan, keys };
        let plan = decode(&encoded, view).map_err(into_datafusion)?;
        let columns = Arc::new(Schema::try_from(&schema)?);
        let qualifiers: Vec<_> = plan.schema().iter().map(|(qualifier, _)| qualifier.cloned()).collect();
        if qualifiers.len() != columns.fields().len() {
            return plan_err!("a remote scan came with other columns than those of its plan");
        }
        Ok(Fragment {
            number: number as usize,
            site: SiteId::new(site),
            domains: domains.into_iter().map(DomainName::new).collect(),
            schema: Arc::new(DFSchema::from_field_specific_qualified_schema(qualifiers, &columns)?),
            plan,
            sent: FragmentPlan::Encoded(encoded),
            rows: rows.map(|rows| rows as usize),
            edge: edge.edge()?,
            // Fragments below a barrier are queries of databases, which stay in their process.
            is_hidden: false,
        })
    }
}

impl PhysicalExtensionCodec for RemoteScanCodec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(scan) = node.downcast_ref::<RemoteScanExec>() else {
            return not_impl_err!("`{}` is not a remote scan", node.name());
        };
        let filters = scan.filters().iter().map(|filter| proto_converter.physical_expr_to_proto(filter, self));
        let scan = WireScan::of(&scan.fragment, filters.collect::<Result<Vec<_>>>()?)?;
        buf.extend(scan.encode_to_vec());
        Ok(())
    }

    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !inputs.is_empty() {
            return internal_err!("a remote scan has no inputs, and came with {}", inputs.len());
        }
        let mut scan = WireScan::decode(buf).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let filters = std::mem::take(&mut scan.filters);
        let fragment = scan.fragment(&LiveEdges::of(ctx.session_config())?.view())?;
        let (schema, context) = (fragment.arrow_schema(), PhysicalPlanDecodeContext::new(ctx, self));
        let filters = filters.iter().map(|filter| proto_converter.proto_to_physical_expr(filter, &schema, &context));
        let filters = filters.collect::<Result<Vec<_>>>()?;
        let scan = RemoteScanExec::new(Arc::new(fragment), ExecutionPlanMetricsSet::new());
        Ok(Arc::new(scan.with_filters(filters)))
    }
}

#[cfg(test)]
mod tests;
