//! The decisions of policies about ports, for people: those of this node, for its own principals and for other nodes, and
//! those of other owners. They name rules and masks, and never a condition.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portolan_catalog::{NodeLocation, NodeState, PortRef, ServedBy};
use portolan_connectors::{
    DecidedAction, DecidedPart, DecisionRequest, FragmentHead, MOST_DECIDED_PORTS, PortDecision, ReceivedFragment,
    SiteId,
};
use portolan_governance::{Action, Caller, Decision, Governed};
use tokio::time::timeout;

use super::fragment::check_limits;
use super::visible_ports::view_of_fragment;
use crate::mesh::MeshView;
use crate::state::{EngineState, caller_of, decide};
use crate::{Error, ErrorKind, Result};

/// The time limit for the answer of a node.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Asks an owner for its decisions: the first of its nodes that answers.
///
/// # Errors
/// `SiteUnavailable` if no node of the owner answers; `Unsupported` if the owner has an older version; the refusal of the
/// owner.
pub(super) async fn of_owner(
    view: &MeshView,
    site: &SiteId,
    head: &FragmentHead,
    asked: &DecisionRequest,
) -> Result<Vec<PortDecision>> {
    let mut error = Error::new(ErrorKind::SiteUnavailable, format!("{site} did not answer the last request"));
    for replica in view.replicas(site) {
        let id = replica.site.id();
        let is_this = |location: &NodeLocation| matches!(location, NodeLocation::Peer(url) if url == id.as_str());
        if view.snapshot.nodes.iter().any(|node| node.state == NodeState::Down && is_this(&node.location)) {
            continue;
        }
        let head = head.sent_on();
        let answer = timeout(ANSWER_LIMIT, replica.site.decisions(&head, asked)).await;
        error = match answer {
            Ok(Ok(mut decisions)) => {
                decisions.retain(|decision| asked.ports.contains(&decision.port));
                return Ok(decisions);
            }
            Ok(Err(error)) if error.kind() == ErrorKind::SiteUnavailable => error,
            Ok(Err(error)) => return Err(error),
            Err(_) => Error::new(ErrorKind::SiteUnavailable, format!("{id} did not answer in time")),
        };
    }
    Err(error)
}

/// Decides about ports of this node, for the principal of a request of another node.
///
/// # Errors
/// `PermissionDenied` beyond the limit on hops; `InvalidQuery` for too many ports.
pub(crate) async fn decide_ports(
    engine: &Arc<EngineState>,
    sent: ReceivedFragment,
    asked: DecisionRequest,
) -> Result<Vec<PortDecision>> {
    check_limits(engine, &sent)?;
    if asked.ports.len() > MOST_DECIDED_PORTS {
        let (asked, most) = (asked.ports.len(), MOST_DECIDED_PORTS);
        let what = format!("a request for decisions names {asked} ports, but at most {most} are accepted");
        return Err(Error::new(ErrorKind::InvalidQuery, what));
    }
    let (engine, principal) = (engine.clone(), sent.head.principal.clone());
    let cpu = engine.clone();
    let decisions = cpu.cpu.run(&principal, async move {
        let (view, caller) = (view_of_fragment(&engine, &sent.head), caller_of(&sent.head));
        let own = |port: &PortRef| match asked.action {
            DecidedAction::Read => of_reading(&engine, &view, &caller, port),
            DecidedAction::Describe => PortDecision {
                port: port.clone(),
                is_permitted: view.snapshot.port(port).is_some() && is_own(&view, port),
                parts: vec![],
                policy_version: None,
                valid_until: None,
            },
        };
        Ok(asked.ports.iter().map(own).collect())
    });
    decisions.await
}

/// Returns the decision about reading a port of this node. `view` has the ports that the principal may see: any other
/// port does not exist.
pub(super) fn of_reading(engine: &EngineState, view: &MeshView, caller: &Caller, port: &PortRef) -> PortDecision {
    let Some(known) = view.snapshot.port(port).filter(|_| is_own(view, port)) else {
        return PortDecision::of_rows(port.clone(), false, format!("denied: there is no port `{port}`"));
    };
    let decisions = &engine.governance.decisions;
    let Some((decision, version)) = decide(&engine.mesh.view(), decisions, caller, port, Action::Read) else {
        return PortDecision::of_rows(port.clone(), true, "open");
    };
    let valid_until = decision.valid_until().and_then(milliseconds);
    let of_rows = |is_permitted, text: String| PortDecision::of_rows(port.clone(), is_permitted, text);
    let decided = match &decision {
        Decision::Open => return of_rows(true, "open".to_owned()),
        Decision::Closed(reason) => of_rows(false, format!("closed: {reason}")),
        // The names of rules would tell what the message does not: whether a rule forbids the access.
        Decision::Denied(denial) => of_rows(false, format!("denied: {}", denial.message)),
        Decision::Governed(governed) => {
            let columns = known.columns.iter().map(|column| of_column(governed, &column.name));
            let parts = std::iter::once(rows_of(governed)).chain(columns).collect();
            PortDecision { parts, ..of_rows(true, String::new()) }
        }
    };
    PortDecision { policy_version: Some(version), valid_until, ..decided }
}

fn is_own(view: &MeshView, port: &PortRef) -> bool {
    view.snapshot.domains.get(&port.domain).is_some_and(|entry| entry.served_by == ServedBy::Here)
}

fn rows_of(governed: &Governed) -> DecidedPart {
    let decision = if governed.filter.is_some() { "filtered" } else { "all" };
    let decided_by = [governed.reasons.permits.as_slice(), &governed.reasons.forbids].concat();
    DecidedPart { column: None, decision: decision.to_owned(), decided_by }
}

fn of_column(governed: &Governed, column: &str) -> DecidedPart {
    let decision = governed.rule(column).map_or_else(|| "visible".to_owned(), |rule| rule.to_string());
    let decided_by = governed.reasons.columns.get(column).cloned().unwrap_or_default();
    DecidedPart { column: Some(column.to_owned()), decision, decided_by }
}

fn milliseconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis()).ok()
}
