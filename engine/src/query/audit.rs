//! The audit records of a query at the owner of its ports: one record of the read, or one of the refusal.

mod insert;

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use portolan_audit::{Decision, KeySet, PortRead, Refusal, Request, Verdict};
use portolan_catalog::PortRef;
use portolan_connectors::{FragmentHead, lock};
use portolan_governance::Decision as Decided;

use super::Query;
use crate::encode::keys::{InKeys, KeyTest};
use crate::execution::recording::Recording;
use crate::planner::govern::{AccountedPort, PortRules};
use crate::state::{EngineState, Governance};
use crate::{Error, ErrorKind, Principal, Result};

pub(super) use self::insert::Insert;

/// The ports of a query at their owner.
type Ports = BTreeMap<PortRef, AccountedPort>;

impl Query {
    /// Starts to write the record of the query's read. A query that reads no rows of the engine's ports has no record.
    pub(super) fn record(&self, plan: &LogicalPlan, rules: &PortRules) {
        let (Some(audit), Some(account)) = (&self.engine.audit, &rules.account) else { return };
        let mut ports = account.ports();
        ports.retain(|_, port| port.columns.is_some());
        if !self.reads_rows || ports.is_empty() {
            return;
        }
        let mut request = self.request(&ports, Verdict::Permit);
        if self.is_fragment() {
            request.keys = key_sets(plan, &self.engine);
        }
        *lock(&self.recording) = Some(Recording::new(audit.store.begin(request)));
    }

    /// Waits until the record of the read is durable, if the query has one.
    ///
    /// # Errors
    /// As [`Recording::durable`].
    pub(super) async fn recorded(&self) -> Result<()> {
        let taken = lock(&self.recording).take();
        let Some(mut recording) = taken else { return Ok(()) };
        recording.durable().await?;
        *lock(&self.recording) = Some(recording);
        Ok(())
    }

    /// Records that the read failed before its first row.
    pub(super) fn record_failure(&self, error: &Error) {
        if let Some(mut recording) = lock(&self.recording).take() {
            recording.fail(error.kind());
        }
    }

    /// Records that policies refuse the query, or that it reads a port that is closed because of its policies. Other
    /// errors of planning have no record.
    pub(super) fn record_refusal(&self, error: &Error, rules: &PortRules) {
        let (Some(audit), Some(account)) = (&self.engine.audit, &rules.account) else { return };
        let mut ports = account.ports();
        if ports.values().any(is_refused) {
            ports.retain(|_, port| is_refused(port));
        } else if error.kind() != ErrorKind::PermissionDenied {
            return;
        }
        audit.store.refuse(refusal(self.request(&ports, Verdict::Deny), error));
    }

    /// Records that a fragment is not accepted.
    pub(super) fn record_unaccepted(&self, error: &Error) {
        if let Some(audit) = &self.engine.audit {
            audit.store.refuse(refusal(self.request(&Ports::new(), Verdict::Deny), error));
        }
    }

    /// Returns the request of the query, without join keys.
    fn request(&self, ports: &Ports, verdict: Verdict) -> Request {
        let head = &self.context.head;
        // Each run of a fragment is a span of its own.
        let fragment = self.is_fragment().then(|| format!("{:016x}", head.trace.span_id()));
        Request { fragment, ..request(head, ports, verdict) }
    }
}

/// Records that a fragment is not accepted, before it is a query of this node: its sender may not send it, or it exceeds
/// a limit. `sender` is the principal that has sent it, because nothing else in the fragment is believed.
pub(crate) fn record_unaccepted(engine: &EngineState, sender: &Principal, query_id: &str, error: &Error) {
    let Some(audit) = &engine.audit else { return };
    let request = Request { principal: sender.name().to_owned(), query: query_id.to_owned(), ..Request::default() };
    audit.store.refuse(refusal(request, error));
}

/// Returns the request of a query at the owner of these ports.
fn request(head: &FragmentHead, ports: &Ports, verdict: Verdict) -> Request {
    let read = |(port, accounted): (&PortRef, &AccountedPort)| PortRead {
        port: port.to_string(),
        columns: accounted.columns.iter().flatten().cloned().collect(),
    };
    Request {
        principal: head.principal.name().to_owned(),
        via: head.via.clone(),
        purpose: head.purpose.clone(),
        query: head.query_id.clone(),
        ports: ports.iter().map(read).collect(),
        decision: decision(verdict, ports),
        ..Request::default()
    }
}

/// True if the decision about a port refuses access.
fn is_refused(port: &AccountedPort) -> bool {
    port.decision.as_ref().is_some_and(|(decision, _)| decision.refusal().is_some())
}

fn refusal(request: Request, error: &Error) -> Refusal {
    Refusal { request, reason: error.kind().name().to_owned(), detail: error.context().to_owned() }
}

/// Returns the decision about these ports, with the rules that decided. A port without rules adds nothing.
fn decision(verdict: Verdict, ports: &Ports) -> Decision {
    let (mut rules, mut versions) = (BTreeSet::new(), BTreeSet::new());
    for (decided, version) in ports.values().filter_map(|port| port.decision.as_ref()) {
        match decided {
            Decided::Governed(governed) => {
                let reasons = &governed.reasons;
                let all = reasons.permits.iter().chain(&reasons.forbids).chain(reasons.columns.values().flatten());
                rules.extend(all.cloned());
            }
            Decided::Denied(denial) => rules.extend(denial.rules.iter().cloned()),
            Decided::Open => continue,
            Decided::Closed(_) => {}
        }
        versions.insert(version.clone());
    }
    let version = versions.into_iter().collect::<Vec<_>>().join(", ");
    Decision { verdict, rules: rules.into_iter().collect(), version }
}

/// Returns the sets of join keys that have travelled with a fragment, each once.
fn key_sets(plan: &LogicalPlan, engine: &EngineState) -> Vec<KeySet> {
    let mut found: Vec<KeySet> = vec![];
    // The visitor does not fail.
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && let Some(set) = key_set(call, &engine.governance)
                    && !found.contains(&set)
                {
                    found.push(set);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found
}

/// Returns the keys of a test; `None` for another function. The number of keys in a Bloom filter is not known, and is 0.
fn key_set(call: &ScalarFunction, governance: &Governance) -> Option<KeySet> {
    let sent = &InKeys::of(call)?.keys;
    let columns = call.args.iter().map(|arg| match arg {
        Expr::Column(column) => column.name.as_str(),
        // An expression may contain values.
        _ => "an expression",
    });
    let form = match sent.test {
        KeyTest::Exact(_) => "batch",
        KeyTest::Bloom { .. } => "bloom",
    };
    Some(KeySet {
        column: columns.collect::<Vec<_>>().join(", "),
        count: sent.test.number().unwrap_or_default() as u64,
        form: form.to_owned(),
        digest: governance.key_digest(&sent.packed),
    })
}

#[cfg(test)]
mod tests;
