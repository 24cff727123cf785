//! Fragments that other nodes send. They are admitted, and then run or only estimated.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use portolan_connectors::{EncodedPlan, FragmentEstimate, FragmentHead, ReceivedFragment};

use super::reuse::{Reuse, is_repeatable, plan_bytes};
use super::visible_ports::view_of_fragment;
use super::{Entry, Query, QueryStream, nullable, record_unaccepted};
use crate::encode::decode;
use crate::execution::errors::{DIVISION_BY_ZERO, from_datafusion, not_converted};
use crate::execution::stop::Stop;
use crate::functions::bounded_again;
use crate::metrics::{SentEdge, Work, WorkKind};
use crate::names::reads_for_query;
use crate::planner::cardinality;
use crate::planner::govern::PortRules;
use crate::state::{ClientIdentity, EngineState, PlanKey, QueryContext, RunningQuery, caller_of};
use crate::{Error, ErrorKind, Result, Settings, planner};

/// A fragment that was planned and not run.
#[derive(Clone, Debug)]
pub struct EstimatedFragment {
    /// The columns of the fragment's rows.
    pub schema: SchemaRef,
    /// The estimate of the fragment's rows.
    pub estimate: FragmentEstimate,
}

/// A fragment before the passes.
struct AcceptedFragment {
    /// The number of the fragment among the kept plans; `None` if its plans are not kept.
    number: Option<u64>,
    decoded: LogicalPlan,
    analysed: LogicalPlan,
    /// True if the fragment reads a derived port.
    hides_queries: bool,
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
            let accepted = accepted(&query, &state, &fragment).inspect_err(|e| query.record_unaccepted(e))?;
            let AcceptedFragment { analysed: plan, hides_queries, number, .. } = &*accepted;
            let (hides_queries, reuse) = (*hides_queries, number.map(|number| reuse(&query, number)));
            let query = Query { hides_queries, reuse, ..query };
            let started = query.start_in(state, plan, nullable(plan.schema().as_arrow())).await;
            match hides_queries {
                true => started.map(QueryStream::without_values).map_err(without_values),
                false => started,
            }
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
            let accepted = accepted(&query, &state, &fragment).inspect_err(|e| query.record_unaccepted(e))?;
            let rules = PortRules::of(&query.engine, &query.context.head, &query.view);
            // Other estimates of the same fragment share its plan.
            let plan = &bounded_again(accepted.analysed.clone()).map_err(|e| from_datafusion(&e))?;
            let planned = planner::plan(&state, plan, &query.settings, &query.view, &rules, query.is_fragment());
            let planned = planned.inspect_err(|e| query.record_refusal(e, &rules));
            let planned = planned.map_err(|e| if accepted.hides_queries { without_values(e) } else { e })?;
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

/// Returns the plan of a fragment, if its ports may be processed by all nodes on its path. The engine keeps fragments
/// without join keys: the keys are data.
fn accepted(query: &Query, state: &SessionState, fragment: &ReceivedFragment) -> Result<Arc<AcceptedFragment>> {
    let (view, plans, EncodedPlan { plan, keys }) = (&query.view, &query.engine.plans, &fragment.encoded);
    let key = |plan: Bytes| PlanKey::Fragment { plan, hidden: view.hidden.clone() };
    let known = if keys.is_empty() { plans.find::<AcceptedFragment>(view.version, &key(plan.clone())) } else { None };
    if let Some(known) = known {
        planner::check_path(&known.decoded, fragment, view)?;
        return Ok(known);
    }
    let decoded = decode(&fragment.encoded, view)?;
    planner::check_path(&decoded, fragment, view)?;
    let analysed = planner::analyse(state, decoded.clone())?;
    // The optimizer may remove the scans of the query, and leave its constants.
    let hides_queries = reads_for_query(&analysed);
    let number = (keys.is_empty() && is_repeatable(&analysed)).then(|| plans.next());
    let bytes = plan_bytes(&decoded) + plan_bytes(&analysed);
    let accepted = Arc::new(AcceptedFragment { number, decoded, analysed, hides_queries });
    if number.is_some() {
        // The bytes of the request are a part of a larger message.
        plans.keep(view.version, key(Bytes::copy_from_slice(plan)), accepted.clone(), bytes);
    }
    Ok(accepted)
}

/// Returns the place of the plan of a kept fragment.
fn reuse(query: &Query, number: u64) -> Reuse {
    let caller = caller_of(&query.context.head);
    Reuse::of(&query.engine, query.view.version, number, &[], caller, &query.settings)
}

/// Returns an error of a fragment that reads a derived port as other nodes may see it: without values that the query of
/// the port reads, and without parts of the query.
pub(super) fn without_values(error: Error) -> Error {
    const DETAILS: &str = "the fragment reads a derived port, so only the log of the owner has the details";
    let shown = match error.kind() {
        ErrorKind::InvalidQuery if error.context() == DIVISION_BY_ZERO => return error,
        ErrorKind::InvalidQuery => match not_converted(error.context()) {
            Some((_, data_type)) => format!("a value cannot be converted to {data_type}"),
            None => "an expression cannot be computed for a value".to_owned(),
        },
        ErrorKind::Internal | ErrorKind::Unsupported => "the fragment cannot be run".to_owned(),
        _ => return error,
    };
    Error::new(error.kind(), format!("{shown} ({DETAILS})")).for_owner(error.owner_chain())
}

/// Returns the fragment as a query of this node, if it is within the limits.
fn admitted(engine: &Arc<EngineState>, fragment: &ReceivedFragment, kind: WorkKind) -> Result<Query> {
    check_limits(engine, fragment).inspect_err(|e| {
        engine.metrics.refused(kind, e.kind());
        record_unaccepted(engine, &fragment.head.principal, &fragment.head.query_id, e);
    })?;
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
        view: view_of_fragment(engine, &head),
        engine: engine.clone(),
        settings: Settings::default(),
        names: None,
        listed: Arc::new(engine.activity.started(listed)),
        context: Arc::new(QueryContext::new(head, limits.key_bytes, engine.metrics.clone())),
        account: engine.accounts.of(principal),
        entry: Entry::InLine,
        reuse: None,
        hides_queries: false,
        reads_rows: true,
        relay: None,
        recording: Mutex::default(),
    })
}

/// Checks that a fragment is within the limits.
pub(super) fn check_limits(engine: &EngineState, fragment: &ReceivedFragment) -> Result<()> {
    let ReceivedFragment { head, encoded, .. } = fragment;
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
