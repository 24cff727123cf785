//! The decisions that a query was planned by. While somebody may still read the query's rows, the node takes the decisions
//! again, and the rows end when a decision is another one.
//!
//! This node decides about its own ports. For rows that other nodes have sent, it compares the digests of their policies,
//! which their catalogs have: it cannot decide for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use portolan_catalog::{DomainName, PortRef};
use portolan_connectors::lock;
use portolan_governance::{Action, Caller, Decision, DecisionCache, Governed};

use super::EngineState;
use crate::mesh::{Mesh, MeshView};
use crate::{EdgeProgress, Error, ErrorKind, ProgressHandle, Result};

/// The time between two checks of one query. The book names the time after which a change has taken effect.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The time in which the owner of rows has ended them, if a change of its policies is about them.
const OWNER_ENDS_IN: Duration = Duration::from_secs(3);

/// Decides what a caller may do with a port of this node, with the version of the policies; `None` if the port's domain has
/// no policies.
pub(crate) fn decide(
    view: &MeshView,
    decisions: &DecisionCache,
    caller: &Caller,
    port: &PortRef,
    action: Action,
) -> Option<(Decision, String)> {
    let policies = view.policies.get(&port.domain)?;
    Some((decisions.decide(policies, caller, port, action, SystemTime::now()), policies.version().to_owned()))
}

/// Returns the rows and columns that a decision admits; `None` if that is all of the port.
///
/// # Errors
/// `PermissionDenied` if the caller may not do this with the port; `SiteUnavailable` if the port's policies cannot be
/// applied.
pub(crate) fn admitted(decision: Decision) -> Result<Option<Arc<Governed>>> {
    match decision {
        Decision::Open => Ok(None),
        Decision::Closed(reason) => Err(Error::new(ErrorKind::SiteUnavailable, reason)),
        Decision::Denied(denial) => Err(Error::new(ErrorKind::PermissionDenied, denial.message.clone())),
        Decision::Governed(governed) if governed.is_open() => Ok(None),
        Decision::Governed(governed) => Ok(Some(governed)),
    }
}

/// The decisions of one query about ports of this node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decided {
    pub(crate) caller: Caller,
    pub(crate) ports: DecidedPorts,
}

/// What decisions admit, by port and action.
pub(crate) type DecidedPorts = BTreeMap<(PortRef, Action), Option<Arc<Governed>>>;

/// The right of a principal to see the rows of one query. The right ends when the policies change what the principal may
/// see: then nobody may read the rows any more, wherever they are kept.
#[derive(Debug)]
pub struct RowAccess {
    decided: Decided,
    mesh: Arc<Mesh>,
    decisions: Arc<DecisionCache>,
    /// The edges of the query.
    progress: ProgressHandle,
    /// The digests of the policies of other domains, as they were known when the query was planned, or changed later
    /// without ending the rows.
    reported: Mutex<BTreeMap<DomainName, Option<String>>>,
    /// Later digests, each with the time when this node learned of it.
    newer: Mutex<BTreeMap<DomainName, Change>>,
    next_check: Mutex<Instant>,
    lost: OnceLock<Error>,
}

/// A change of the policies of another node's domain, while the node sends rows.
#[derive(Debug)]
struct Change {
    digest: Option<String>,
    /// The time at which it was noticed, and the rows of each edge at that time.
    since: Instant,
    rows: Vec<u64>,
}

impl RowAccess {
    /// Returns the right to see the rows of a query that was planned by these decisions, in this view.
    pub(crate) fn new(engine: &EngineState, decided: Decided, view: &MeshView, progress: ProgressHandle) -> Arc<Self> {
        let domains = progress.now().edges.into_iter().flat_map(|edge| edge.domains).map(DomainName::new);
        let reported = domains.filter_map(|domain| Some((domain.clone(), reported(view, &domain)?)));
        let reported = Mutex::new(reported.collect());
        Arc::new(Self {
            decided,
            mesh: engine.mesh.clone(),
            decisions: engine.governance.decisions.clone(),
            progress,
            reported,
            newer: Mutex::default(),
            next_check: Mutex::new(Instant::now()),
            lost: OnceLock::new(),
        })
    }

    /// True if two queries were planned by decisions that show the same rows and columns. Their policies may differ in what
    /// is not about the principal.
    pub fn is_same(&self, other: &Self) -> bool {
        let (Decided { caller, ports }, Decided { caller: other_caller, ports: others }) =
            (&self.decided, &other.decided);
        let mut pairs = ports.iter().zip(others);
        let is_equal = |a: &Governed, b: &Governed| a.still_holds(b) && b.still_holds(a);
        caller == other_caller
            && ports.len() == others.len()
            && pairs.all(|((port, a), (other, b))| match (a, b) {
                (Some(a), Some(b)) => port == other && is_equal(a, b),
                (None, None) => port == other,
                _ => false,
            })
    }

    /// Checks that the principal may still see the rows, at most once a second.
    ///
    /// # Errors
    /// `PermissionDenied` from the first change on.
    pub fn check(&self) -> Result<()> {
        if let Some(lost) = self.lost.get() {
            return Err(lost.flat());
        }
        {
            let (mut next, now) = (lock(&self.next_check), Instant::now());
            if now < *next {
                return Ok(());
            }
            *next = now + CHECK_EVERY;
        }
        match self.changed() {
            None => Ok(()),
            Some(what) => Err(self.lost.get_or_init(|| changed_policies(&what)).flat()),
        }
    }

    /// Returns the error when the principal may no longer see the rows.
    pub async fn ended(&self) -> Error {
        if self.decided.ports.is_empty() && lock(&self.reported).is_empty() {
            return std::future::pending().await;
        }
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    /// Returns the port or the domain whose policies no longer allow the rows.
    fn changed(&self) -> Option<String> {
        let view = self.mesh.view();
        let Decided { caller, ports } = &self.decided;
        let own = ports.iter().find(|((port, action), before)| {
            let now = decide(&view, &self.decisions, caller, port, *action);
            let now = now.map_or(Ok(None), |(decision, _)| admitted(decision));
            let holds = match (before, &now) {
                (_, Ok(None)) => true,
                (Some(before), Ok(Some(now))) => before.still_holds(now),
                (None, Ok(Some(_))) | (_, Err(_)) => false,
            };
            !holds
        });
        own.map(|((port, _), _)| port.to_string()).or_else(|| self.changed_elsewhere(&view))
    }

    /// Returns the domain of another node whose policies have changed, if nobody can say that its rows may still be seen.
    /// While the owner sends rows, the owner itself decides again, but may send the last rows before it does. If no row has
    /// come for a while, the next ones may be older than the change.
    fn changed_elsewhere(&self, view: &MeshView) -> Option<String> {
        let (mut known, mut newer) = (lock(&self.reported), lock(&self.newer));
        let mut edges: BTreeMap<DomainName, Vec<EdgeProgress>> = BTreeMap::new();
        for edge in self.progress.now().edges {
            for domain in &edge.domains {
                edges.entry(DomainName::new(domain)).or_default().push(edge.clone());
            }
        }
        for (domain, edges) in edges {
            // The owner of a domain that has left the mesh reports no change.
            let Some(digest) = reported(view, &domain) else { continue };
            let rows: Vec<u64> = edges.iter().map(|edge| edge.rows).collect();
            match (known.get(&domain), newer.get(&domain)) {
                (None, _) => drop(known.insert(domain, digest)),
                (Some(before), _) if *before == digest => drop(newer.remove(&domain)),
                (Some(_), _) if edges.iter().any(|edge| edge.finished) => return Some(domain.to_string()),
                (Some(_), Some(change)) if change.digest == digest => {
                    if change.since.elapsed() < OWNER_ENDS_IN {
                        continue;
                    }
                    if rows.iter().zip(&change.rows).any(|(now, then)| now == then && *now > 0) {
                        return Some(domain.to_string());
                    }
                    known.insert(domain, digest);
                }
                (Some(_), _) => drop(newer.insert(domain, Change { digest, since: Instant::now(), rows })),
            }
        }
        None
    }
}

/// Returns the digest of the policies of a domain, as its owner reports it; `None` if no owner is known.
fn reported(view: &MeshView, domain: &DomainName) -> Option<Option<String>> {
    view.snapshot.domains.get(domain).map(|entry| entry.catalog.policies.clone())
}

fn changed_policies(what: &str) -> Error {
    let message = format!("the policies of `{what}` have changed since the query started: run it again");
    Error::new(ErrorKind::PermissionDenied, message)
}

#[cfg(test)]
mod tests;
