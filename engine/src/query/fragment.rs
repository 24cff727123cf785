//! Fragments that other nodes send. They are admitted, and then run or only estimated.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use portolan_connectors::{FragmentEstimate, FragmentHead, ReceivedFragment};

use super::{Entry, Query, QueryStream, nullable};
use crate::encode::decode;
use crate::execution::stop::Stop;
use crate::metrics::{SentEdge, Work, WorkKind};
use crate::planner::cardinality;
use crate::state::{ClientIdentity, EngineState, QueryContext, RunningQuery};
use crate::{Error, ErrorKind, Result, Settings, planner};

/// A fragment that was planned and not run.
#[derive(Clone, Debug)]
pub struct EstimatedFragment {
    /// The columns of the fragment's rows.
    pub schema: SchemaRef,
    /// The estimate of the fragment's rows.
    pub estimate: FragmentEstimate,
}

/// Plans and starts a fragment that another node sent.
pub(crate) async fn run_fragment(engine: &Arc<EngineState>, fragment: ReceivedFragment) -> Result<QueryStream> {
    let query = admitted(engine, &fragment, WorkKind::Fragment)?;
    let work = query.listed.query.work.clone();
    let edge = SentEdge(Some(engine.metrics.sent_to(fragment.head.via.last().map_or("unknown", String::as_str))));
    let principal = fragment.head.principal.clone();
    let started = engine
        .cpu
        .run(&principal, async move {
            let state = query.state();
            let plan = planner::analyse(&state, decode(&fragment.encoded, &query.view)?)?;
            query.start_in(state, &plan, nullable(plan.schema().as_arrow())).await
        })
        .await;
    Ok(started.inspect_err(|e| work.end(Some(e.kind())))?.sent_over(edge))
}

/// Estimates a fragment that another node may send.
pub(crate) async fn estimate_fragment(
    engine: &Arc<EngineState>,
    fragment: ReceivedFragment,
) -> Result<EstimatedFragment> {
    let query = admitted(engine, &fragment, WorkKind::Estimate)?;
    let work = query.listed.query.work.clone();
    let principal = fragment.head.principal.clone();
    let estimate = engine
        .cpu
        .run(&principal, async move {
            let state = query.state();
            let plan = planner::analyse(&state, decode(&fragment.encoded, &query.view)?)?;
            let planned = planner::plan(&state, &plan, &query.settings, &query.view, query.is_fragment())?;
            let expected = cardinality::estimate(&planned.normalised);
            let rows = expected.known.then(|| expected.rows.round());
            let row_bytes = expected.row_bytes(plan.schema());
            let estimate = FragmentEstimate {
                rows: rows.map(|rows| rows as u64),
                bytes: rows.map(|rows| (rows * row_bytes).round() as u64),
            };
            Ok(EstimatedFragment { schema: nullable(plan.schema().as_arrow()), estimate })
        })
        .await;
    work.end(estimate.as_ref().err().map(Error::kind));
    estimate
}

/// Returns the fragment as a query of this node, if it is within the limits.
fn admitted(engine: &Arc<EngineState>, fragment: &ReceivedFragment, kind: WorkKind) -> Result<Query> {
    check_limits(engine, fragment).inspect_err(|e| engine.metrics.refused(kind, e.kind()))?;
    let FragmentHead { query_id, principal, .. } = &fragment.head;
    let limits = engine.limits();
    let head = FragmentHead {
        deadline: fragment.head.deadline.min(Instant::now() + limits.query_timeout),
        trace: fragment.head.trace.child(),
        ..fragment.head.clone()
    };
    let work = Work::start(&engine.metrics, kind, &head);
    let client = ClientIdentity::of_fragment(principal);
    let listed = RunningQuery::new(query_id.clone(), client, None, Stop::default(), work);
    Ok(Query {
        engine: engine.clone(),
        view: engine.mesh.view(),
        settings: Settings::default(),
        names: None,
        listed: Arc::new(engine.activity.started(listed)),
        context: Arc::new(QueryContext::new(head, limits.key_bytes, engine.metrics.clone())),
        account: engine.accounts.of(principal),
        entry: Entry::InLine,
    })
}

/// Checks that a fragment is within the limits.
fn check_limits(engine: &EngineState, fragment: &ReceivedFragment) -> Result<()> {
    let ReceivedFragment { head, encoded } = fragment;
    let FragmentHead { query_id, principal, via, trace, .. } = head;
    let hops = head.hops;
    let limits = engine.limits();
    if hops > limits.max_hops {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "the query has gone through {hops} nodes, but at most {} are allowed (limits.max_hops)",
                limits.max_hops
            ),
        ));
    }
    let (key_bytes, limit) = (encoded.keys.iter().map(Bytes::len).sum::<usize>(), limits.key_bytes);
    if key_bytes > limit {
        return Err(Error::new(
            ErrorKind::ResourceExhausted,
            format!("a fragment came with {key_bytes} bytes of keys, but at most {limit} are accepted (limits.keys)"),
        ));
    }
    tracing::debug!(query = query_id, %trace, %principal, via = via.join(" "), hops, key_bytes, "fragment");
    Ok(())
}
