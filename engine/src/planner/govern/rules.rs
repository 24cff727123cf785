//! The rules for the ports of this node, for one principal at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use portolan_catalog::PortRef;
use portolan_connectors::{FragmentHead, lock};
use portolan_governance::{Action, Caller, Decision, Governed, Mask};

use super::account::PortAccount;
use crate::masks::Salt;
use crate::mesh::MeshView;
use crate::state::{Decided, DecidedPorts, EngineState, admitted, caller_of, decide};
use crate::{Error, ErrorKind, Result};

/// What rules have answered while a query was planned. The plan is right for another query only if its rules answer the
/// same.
#[derive(Debug)]
pub(crate) struct RuleAnswers {
    decided: DecidedPorts,
    restricted: BTreeMap<PortRef, bool>,
    /// The columns that the query reads, for the audit record.
    reads: BTreeMap<PortRef, BTreeSet<String>>,
}

/// What one principal may see of the ports of this node in one query.
#[derive(Clone, Debug)]
pub(crate) struct PortRules {
    /// The mesh as it is now, with the policies in effect.
    pub(crate) view: Arc<MeshView>,
    /// The mesh that the plan was made over.
    planned: Arc<MeshView>,
    engine: Arc<EngineState>,
    caller: Caller,
    /// The salt of the query for hashes.
    salt: Salt,
    /// The decisions so far. Clones share them.
    taken: Arc<Mutex<DecidedPorts>>,
    /// The derived ports whose inputs were looked at, and whether an input is restricted.
    restricted: Arc<Mutex<BTreeMap<PortRef, bool>>>,
    /// True if a mask has the salt of the query.
    has_given_salt: Arc<AtomicBool>,
    /// The decisions and the columns for the audit record of the query; `None` if the engine keeps no records.
    pub(crate) account: Option<Arc<PortAccount>>,
}

impl PortRules {
    /// Returns the rules in effect now for the principal of a query that was planned over a view of the mesh.
    pub(crate) fn of(engine: &Arc<EngineState>, head: &FragmentHead, planned: &Arc<MeshView>) -> Self {
        let salt = engine.governance.salt(&head.query_id);
        let account = engine.audit.is_some().then(Arc::default);
        Self {
            view: engine.mesh.view(),
            planned: planned.clone(),
            engine: engine.clone(),
            caller: caller_of(head),
            salt,
            taken: Arc::default(),
            restricted: Arc::default(),
            has_given_salt: Arc::default(),
            account,
        }
    }

    /// Returns the decisions that were taken by these rules.
    pub(crate) fn decided(&self) -> Decided {
        Decided { caller: self.caller.clone(), ports: lock(&self.taken).clone() }
    }

    /// True if the conditions of a statement must stay above the barrier.
    pub(super) fn is_strict(&self) -> bool {
        self.engine.governance.strict
    }

    /// True if the query of a derived port reads a port of which the principal may not see all: its name, its rows and its
    /// columns. Errors, plans and measurements would show them.
    pub(crate) fn restricts_an_input(&self, port: &PortRef) -> bool {
        let is_restricted = self.has_restricted_input(port);
        lock(&self.restricted).insert(port.clone(), is_restricted);
        is_restricted
    }

    fn has_restricted_input(&self, port: &PortRef) -> bool {
        let (mut ports, mut visited) = (vec![port], BTreeSet::new());
        while let Some(port) = ports.pop() {
            let Some(known) = self.view.snapshot.port(port).filter(|_| visited.insert(port)) else { continue };
            if known.derived_from.iter().any(|input| !self.shows(input) || !self.reads_all(input)) {
                return true;
            }
            ports.extend(&known.derived_from);
        }
        false
    }

    /// True if the principal may see a port of this node in catalogs.
    fn shows(&self, port: &PortRef) -> bool {
        let Some(policies) = self.view.policies.get(&port.domain) else { return true };
        self.decided_on(port, Action::Describe).is_none_or(|(decision, _)| policies.shows(port, &decision))
    }

    /// True if the principal may read all rows and columns of a port of this node.
    fn reads_all(&self, port: &PortRef) -> bool {
        self.decided_on(port, Action::Read).is_none_or(|(decision, _)| matches!(admitted(decision), Ok(None)))
    }

    /// Decides without a trace: the principal does not ask for the port.
    fn decided_on(&self, port: &PortRef, action: Action) -> Option<(Decision, String)> {
        decide(&self.view, &self.engine.governance.decisions, &self.caller, port, action)
    }

    /// Returns the secret of a mask over a port: the salt of the query, or the key of the principal. `None` if the mask needs
    /// the key of the mesh and the node has none.
    pub(super) fn secret(&self, port: &PortRef, mask: Mask) -> Option<Salt> {
        if mask != Mask::HmacSha256 {
            if mask.takes_salt() {
                self.has_given_salt.store(true, Ordering::Relaxed);
            }
            return Some(self.salt.clone());
        }
        let key = self.view.policies.get(&port.domain)?.mask_key()?;
        Some(Salt::keyed(key, &self.caller.name, self.caller.purpose.as_deref()))
    }

    /// Returns how a port is governed; `None` if the principal sees all of it.
    ///
    /// # Errors
    /// `PermissionDenied` if the principal may not read the port; `SiteUnavailable` if the plan is older than the port's
    /// contract.
    pub(crate) fn decide(&self, port: &PortRef) -> Result<Option<Arc<Governed>>> {
        self.decide_for(port, Action::Read)
    }

    /// As [`Self::decide`], for another action.
    ///
    /// # Errors
    /// `PermissionDenied` if the principal may not do this with the port; otherwise as for [`Self::decide`].
    pub(crate) fn decide_for(&self, port: &PortRef, action: Action) -> Result<Option<Arc<Governed>>> {
        self.check_contract(port)?;
        let decided = self.decided_on(port, action);
        self.note(port, decided.as_ref());
        let governed = decided.map_or(Ok(None), |(decision, _)| admitted(decision))?;
        lock(&self.taken).insert((port.clone(), action), governed.clone());
        Ok(governed)
    }

    /// Notes a decision for the audit record.
    fn note(&self, port: &PortRef, decided: Option<&(Decision, String)>) {
        if let (Some(account), Some((decision, version))) = (&self.account, decided) {
            account.decided(port, decision, version);
        }
    }

    /// Returns the answers so far; `None` if the plan has the salt of the query, and so is for this query alone.
    pub(crate) fn answers(&self) -> Option<RuleAnswers> {
        if self.has_given_salt.load(Ordering::Relaxed) {
            return None;
        }
        let accounted = self.account.as_ref().map(|account| account.ports()).unwrap_or_default();
        let reads = accounted.into_iter().filter_map(|(port, accounted)| Some((port, accounted.columns?)));
        let (decided, restricted) = (lock(&self.taken).clone(), lock(&self.restricted).clone());
        Some(RuleAnswers { decided, restricted, reads: reads.collect() })
    }

    /// Takes the decisions of another query again. True if all answers are the same: then the decisions count as those of
    /// this query, for its audit record too. Otherwise, nothing has happened.
    pub(crate) fn repeats(&self, before: &RuleAnswers) -> bool {
        let mut taken = vec![];
        for ((port, action), admitted_before) in &before.decided {
            let decided = self.decided_on(port, *action);
            let now = decided.clone().map_or(Ok(None), |(decision, _)| admitted(decision));
            match now {
                Ok(now) if now == *admitted_before && self.check_contract(port).is_ok() => {
                    taken.push((port, *action, decided, now));
                }
                _ => return false,
            }
        }
        if before.restricted.iter().any(|(port, before)| self.has_restricted_input(port) != *before) {
            return false;
        }
        for (port, action, decided, now) in taken {
            self.note(port, decided.as_ref());
            lock(&self.taken).insert((port.clone(), action), now);
        }
        if let Some(account) = &self.account {
            for (port, columns) in &before.reads {
                account.reads(port, columns.iter().cloned());
            }
        }
        true
    }

    /// Checks that a port has the columns and the source that it had when the query was planned: the policies are about
    /// those that it has now.
    fn check_contract(&self, port: &PortRef) -> Result<()> {
        let is_governed = |view: &MeshView| view.policies.contains_key(&port.domain);
        if Arc::ptr_eq(&self.view, &self.planned) || !(is_governed(&self.view) || is_governed(&self.planned)) {
            return Ok(());
        }
        let (now, then) = (self.view.snapshot.port(port), self.planned.snapshot.port(port));
        match (now, then) {
            (Some(now), Some(then)) if now.columns == then.columns && now.source == then.source => Ok(()),
            _ => Err(Error::new(
                ErrorKind::SiteUnavailable,
                format!("the contract of {port} has changed while the statement was planned: run the statement again"),
            )),
        }
    }
}
