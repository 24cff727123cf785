//! The mesh as a principal sees it: without the ports that policies hide from the principal in catalogs. For ports of
//! other nodes, this node asks their owners, and keeps the answers for some seconds. A port whose owner does not answer
//! is not shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use portolan_catalog::{DomainCatalog, PortRef};
use portolan_connectors::{
    CatalogAnswer, DecidedAction, DecisionRequest, FragmentHead, MOST_DECIDED_PORTS, Principal, SiteId,
};
use portolan_governance::{Action, Caller};

use super::port_decisions::of_owner;
use crate::mesh::{GuardedPorts, MeshView};
use crate::state::{EngineState, SessionHandle, ShownPorts, caller_here, caller_of};

/// The time for which the answer of another node is kept, and the time without questions to a node that did not answer.
const KEPT: Duration = Duration::from_secs(10);

/// Returns the mesh as the principal of a session sees it, after asking the owners of other ports.
pub(crate) async fn view_of(session: &SessionHandle) -> Arc<MeshView> {
    let (engine, whole) = (&session.engine, session.engine.mesh.view());
    if whole.guarded().is_empty() {
        return whole;
    }
    let head = head_of(session);
    let caller = caller_of(&head);
    let unknown = hidden_ports(engine, &whole, &caller).unknown.into_iter();
    let asked: Vec<_> = unknown.map(|(site, ports)| ask(engine, &whole, &head, &caller, site, ports)).collect();
    join_all(asked).await;
    // An answer may be dropped by then, if very many principals ask. Its ports are hidden.
    without(engine, &whole, hidden_ports(engine, &whole, &caller))
}

/// Returns the mesh as the principal of a session sees it. `None` if an owner must be asked first.
pub(crate) fn known_view(session: &SessionHandle) -> Option<Arc<MeshView>> {
    let whole = session.engine.mesh.view();
    if whole.guarded().is_empty() {
        return Some(whole);
    }
    let found = hidden_ports(&session.engine, &whole, &caller_in(session));
    found.unknown.is_empty().then(|| without(&session.engine, &whole, found))
}

/// Returns the mesh as the principal of a session sees it, without the ports of owners that must be asked first.
pub(crate) fn view_without_asking(session: &SessionHandle) -> Arc<MeshView> {
    let whole = session.engine.mesh.view();
    if whole.guarded().is_empty() {
        return whole;
    }
    let found = hidden_ports(&session.engine, &whole, &caller_in(session));
    without(&session.engine, &whole, found)
}

/// Returns the mesh for a fragment of another node: without the ports of this node that its principal may not see. Other
/// owners check their own ports.
pub(crate) fn view_of_fragment(engine: &EngineState, head: &FragmentHead) -> Arc<MeshView> {
    let whole = engine.mesh.view();
    let hidden = hidden_here(engine, &whole, &caller_of(head));
    engine.governance.visibility.without_ports(&whole, hidden)
}

/// Returns an answer with the catalogs of this node as a caller may see them who is no trusted node. `answer` returns the
/// answer with all ports, for the version that the caller has.
pub(crate) fn catalogs_for(
    engine: &EngineState,
    principal: &Principal,
    known: Option<&str>,
    answer: impl FnOnce(Option<&str>) -> CatalogAnswer,
) -> CatalogAnswer {
    let caller = caller_here(principal, None);
    let hidden = hidden_here(engine, &engine.mesh.view(), &caller);
    if hidden.is_empty() {
        return answer(known);
    }
    match answer(None) {
        CatalogAnswer::Unchanged => CatalogAnswer::Unchanged,
        CatalogAnswer::Changed { version, domains, reaches, peers } => {
            // The versions differ if the hidden ports do, and tell nothing of what is hidden.
            let version = engine.governance.version_without(&hidden, &version);
            if known == Some(version.as_str()) {
                return CatalogAnswer::Unchanged;
            }
            let has_ports = |catalog: &DomainCatalog| catalog.ports().next().is_some();
            let shown = domains.into_iter().filter_map(|catalog| {
                let had_ports = has_ports(&catalog);
                Some(catalog.without_ports(&hidden)).filter(|catalog| !had_ports || has_ports(catalog))
            });
            CatalogAnswer::Changed { version, domains: shown.collect(), reaches, peers }
        }
    }
}

/// The ports that a principal may not see, and the owners that must be asked. All of their ports are hidden until then.
struct HiddenPorts<'a> {
    hidden: BTreeSet<PortRef>,
    unknown: Vec<(&'a SiteId, &'a [PortRef])>,
}

fn hidden_ports<'a>(engine: &EngineState, whole: &'a Arc<MeshView>, caller: &Caller) -> HiddenPorts<'a> {
    let mut found = HiddenPorts { hidden: hidden_here(engine, whole, caller), unknown: vec![] };
    for GuardedPorts { site, ports } in whole.guarded() {
        let Some(site) = site else { continue };
        let shown = engine.governance.visibility.shown(caller, Some(site), whole);
        // A port that is new since the answer is hidden.
        let is_shown = |port: &&PortRef| shown.as_ref().is_some_and(|shown| shown.contains(*port));
        found.hidden.extend(ports.iter().filter(|port| !is_shown(port)).cloned());
        if shown.is_none() {
            found.unknown.push((site, ports.as_slice()));
        }
    }
    found
}

fn without(engine: &EngineState, whole: &Arc<MeshView>, found: HiddenPorts<'_>) -> Arc<MeshView> {
    engine.governance.visibility.without_ports(whole, found.hidden)
}

/// Returns the ports of this node that a principal may not see.
fn hidden_here(engine: &EngineState, whole: &Arc<MeshView>, caller: &Caller) -> BTreeSet<PortRef> {
    let Some(GuardedPorts { ports, .. }) = whole.guarded().iter().find(|guarded| guarded.site.is_none()) else {
        return BTreeSet::new();
    };
    let visibility = &engine.governance.visibility;
    let shown = visibility.shown(caller, None, whole).unwrap_or_else(|| {
        let answer = decided(whole, caller, ports);
        visibility.keep(caller, None, whole, answer.clone());
        answer.shown
    });
    ports.iter().filter(|port| !shown.contains(*port)).cloned().collect()
}

/// Decides which ports of this node a principal may see.
fn decided(whole: &Arc<MeshView>, caller: &Caller, ports: &[PortRef]) -> ShownPorts {
    let (now, start) = (SystemTime::now(), Instant::now());
    let (mut shown, mut until) = (BTreeSet::new(), None::<SystemTime>);
    for port in ports {
        let Some(policies) = whole.policies.get(&port.domain) else { continue };
        let decision = policies.decide(caller, port, Action::Describe, now);
        until = until.into_iter().chain(decision.valid_until()).min();
        if policies.shows(port, &decision) {
            shown.insert(port.clone());
        }
    }
    let until = until.map(|until| start + until.duration_since(now).unwrap_or_default().min(KEPT));
    ShownPorts { shown: Arc::new(shown), until, of: Some(Arc::downgrade(whole)) }
}

/// Asks an owner which of its ports a principal may see, and keeps the answer.
async fn ask(
    engine: &EngineState,
    whole: &Arc<MeshView>,
    head: &FragmentHead,
    caller: &Caller,
    site: &SiteId,
    ports: &[PortRef],
) {
    let mut shown = BTreeSet::new();
    for some in ports.chunks(MOST_DECIDED_PORTS) {
        let asked = DecisionRequest { action: DecidedAction::Describe, ports: some.to_vec() };
        match of_owner(whole, site, head, &asked).await {
            Ok(decisions) => {
                let permitted = decisions.into_iter().filter(|decision| decision.is_permitted);
                shown.extend(permitted.map(|decision| decision.port));
            }
            Err(error) => {
                tracing::debug!(%site, "ports are not shown, because their owner does not answer: {}", error.chain());
                break;
            }
        }
    }
    let answer = ShownPorts { shown: Arc::new(shown), until: Some(Instant::now() + KEPT), of: None };
    engine.governance.visibility.keep(caller, Some(site), whole, answer);
}

/// Returns the principal of a session as policies see it.
fn caller_in(session: &SessionHandle) -> Caller {
    caller_here(session.principal(), session.change_settings(|settings| settings.purpose.clone()))
}

/// Returns the head of a query of the session, of which the owners of ports get the principal and the purpose.
pub(super) fn head_of(session: &SessionHandle) -> FragmentHead {
    let deadline = Instant::now() + session.query_timeout();
    let id = uuid::Uuid::new_v4().to_string();
    let head = FragmentHead::new(id, session.principal().clone(), deadline);
    FragmentHead { purpose: session.settings().purpose, ..head }
}

#[cfg(test)]
mod tests;
