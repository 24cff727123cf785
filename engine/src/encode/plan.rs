//! A fragment's plan as bytes: the logical plan in DataFusion's protobuf form. A scan is the port's name and nothing
//! else. The sender decodes its bytes again and compares the plans. The receiver decodes the bytes and admits each
//! operator.

use std::sync::{Arc, LazyLock};

use datafusion::common::tree_node::Transformed;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{LogicalPlan, SkipType, union};
use datafusion::prelude::lit;
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
};
use portolan_connectors::{EncodedPlan, FragmentPlan, SiteId, WireForm};

use super::admit;
use super::codec::PortCodec;
use super::keys::SentKeys;
use super::sql;
use crate::bounds::check_plan;
use crate::functions::plain_calls;
use crate::mesh::MeshView;
use crate::{Error, ErrorKind, Result};

/// The maximum size of a fragment's plan.
const MAX_PLAN_BYTES: usize = 4 << 20;

/// The largest number of inputs of a union in a fragment. Its decoded plan has a level for each of them.
const MAX_UNION_INPUTS: usize = 64;

/// The functions that a plan may call. Every node has them and finds them by name.
static FUNCTIONS: LazyLock<Arc<TaskContext>> = LazyLock::new(|| crate::upstream::state_builder().build().task_ctx());

/// Writes a fragment's plan in the wire form of a site, over the ports of a view.
///
/// # Errors
/// `Unsupported`, with the reason in words for EXPLAIN.
pub(crate) fn write(plan: &LogicalPlan, site: &SiteId, view: &Arc<MeshView>) -> Result<FragmentPlan> {
    match view.capabilities(site).wire_form {
        WireForm::Plan => encode(plan, view).map(FragmentPlan::Encoded),
        WireForm::Sql(dialect) => sql::write(plan, site, dialect),
    }
}

/// Encodes a plan over the ports of a view, if it is the same after decoding.
///
/// # Errors
/// `Unsupported`, with the reason in words for EXPLAIN.
pub(crate) fn encode(plan: &LogicalPlan, view: &Arc<MeshView>) -> Result<EncodedPlan> {
    let refuse = |reason: String| Error::new(ErrorKind::Unsupported, reason);
    let plan = as_encoded(plan).map_err(|e| refuse(e.strip_backtrace()))?;
    let codec = PortCodec::new(view.clone(), vec![]);
    let encoded = logical_plan_to_bytes_with_extension_codec(&plan, &codec)
        .map_err(|e| refuse(format!("its plan cannot be encoded: {}", e.strip_backtrace())))?;
    if encoded.len() > MAX_PLAN_BYTES {
        return Err(refuse(format!("its plan takes {} bytes and {MAX_PLAN_BYTES} may travel", encoded.len())));
    }
    let decoded = logical_plan_from_bytes_with_extension_codec(&encoded, &FUNCTIONS, &codec)
        .map_err(|e| refuse(format!("its plan cannot be decoded again: {}", e.strip_backtrace())))?;
    let is_same = || Ok::<_, DataFusionError>(same(&decoded, &plan) || same(&decoded, &as_decoded(plan.clone())?));
    if !is_same().map_err(|e| refuse(e.strip_backtrace()))? {
        tracing::debug!(%plan, %decoded, "a plan changed by being encoded");
        return Err(refuse("its plan would change by being encoded".into()));
    }
    // The receiver checks the decoded plan, which can have more levels than this one.
    check_plan(&decoded).map_err(|e| refuse(e.context().to_owned()))?;
    Ok(EncodedPlan { plan: encoded, keys: codec.keys().iter().map(|k| k.packed.clone()).collect() })
}

/// Decodes a fragment over the ports of a view, and admits it.
///
/// # Errors
/// `InvalidQuery` for bytes that are not a plan or not keys, and for a plan with anything but known operators over
/// ports; `NotFound` for a port that this node does not know.
pub(crate) fn decode(encoded: &EncodedPlan, view: &Arc<MeshView>) -> Result<LogicalPlan> {
    let EncodedPlan { plan: encoded, keys } = encoded;
    let keys = SentKeys::unpack_all(keys)?;
    if encoded.len() > MAX_PLAN_BYTES {
        return Err(Error::new(
            ErrorKind::ResourceExhausted,
            format!("a fragment takes {} bytes, but at most {MAX_PLAN_BYTES} are accepted", encoded.len()),
        ));
    }
    let codec = PortCodec::new(view.clone(), keys);
    let plan = logical_plan_from_bytes_with_extension_codec(encoded, &FUNCTIONS, &codec).map_err(|e| {
        let error = crate::execution::errors::from_datafusion(&e);
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::SiteUnavailable => error,
            _ => Error::new(ErrorKind::InvalidQuery, format!("this is not a fragment: {}", error.chain())),
        }
    })?;
    check_plan(&plan)?;
    admit::plan(&plan)?;
    without_largest_limits(plan).map_err(|e| Error::new(ErrorKind::InvalidQuery, e.strip_backtrace()))
}

/// True if two plans are the same, including their schemas.
fn same(a: &LogicalPlan, b: &LogicalPlan) -> bool {
    a == b && a.schema().logically_equivalent_names_and_types(b.schema())
}

/// Returns a plan as a decoder returns it. Schemas have the functional dependencies of this plan, and the optimizer leaves
/// some with those of an earlier one. A union of several inputs is unions of two. An operator whose columns would change stays
/// as it is.
fn as_decoded(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let decoded = match &node {
            LogicalPlan::Union(several) if several.inputs.len() > MAX_UNION_INPUTS => None,
            LogicalPlan::Union(several) => {
                let mut inputs = several.inputs.iter().map(|input| input.as_ref().clone());
                inputs.next().map(|first| inputs.try_fold(first, union)).transpose()?
            }
            _ => Some(node.clone().recompute_schema()?),
        };
        match decoded.filter(|decoded| decoded.schema().iter().eq(node.schema().iter())) {
            Some(decoded) => Ok(Transformed::yes(decoded)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(plan.data)
}

/// Returns the plan in the form that the encoding keeps. Calls lose the bounds of the analysis, and get those of the
/// receiver's analysis. The optimizer's limit on a scan is a hint that does not travel, unlike the operator that it
/// comes from. A limit that skips 0 rows is decoded as one that skips nothing, and a limit without an end as one with
/// the largest number.
fn as_encoded(plan: &LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
    let plan = plain_calls(plan.clone())?.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) if scan.fetch.is_some() || !scan.statistics_requests.is_empty() => {
            scan.fetch = None;
            scan.statistics_requests.clear();
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        LogicalPlan::Limit(mut limit) => {
            if matches!(limit.get_skip_type(), Ok(SkipType::Literal(0))) {
                limit.skip = None;
            }
            if limit.fetch.is_none() {
                limit.fetch = Some(Box::new(lit(i64::MAX)));
            }
            Ok(Transformed::yes(LogicalPlan::Limit(limit)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

/// Returns a decoded plan with limits that have no end in the place of those with the largest number. Together with rows
/// that are skipped, that number overflows.
fn without_largest_limits(plan: LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(mut limit) if limit.fetch.as_deref() == Some(&lit(i64::MAX)) => {
            limit.fetch = None;
            Ok(Transformed::yes(LogicalPlan::Limit(limit)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

#[cfg(test)]
mod tests;
