//! `DoAction`: the actions between nodes, cancellation, and the options of a session.

use std::collections::HashMap;

use arrow_flight::sql::Command;
use arrow_flight::{Action, ActionType, CancelStatus, FlightInfo};
use bytes::Bytes;
use portolan_connectors::node::protocol::{
    ACTION_CATALOG, ACTION_DECISIONS, ACTION_HELLO, ACTION_PROGRESS, NodeHello, ProgressRequest,
};
use portolan_connectors::node::signed_catalog::{CatalogContent, CatalogRequest, MAX_NONCE_BYTES, SignedCatalog};
use portolan_engine::{Error, ErrorKind, Progress, Result, SETTINGS, server};
use prost::Message;
use serde::Serialize;

use super::service::Service;
use crate::callers::Caller;
use crate::dispatch::{
    CloseSessionStatus, OptionValue, Request, SessionOptions, SetSessionOptionErrorValue, plain, ticket, unknown,
};
use crate::failure::invalid;
use crate::statements::handle_and_part;

/// The node's own actions, each with a description.
const ACTIONS: [(&str, &str); 4] = [
    (ACTION_HELLO, "the version handshake between nodes"),
    (ACTION_CATALOG, "the catalogs of the domains that this node owns"),
    (ACTION_DECISIONS, "what the policies of this node's ports decide for a principal"),
    (ACTION_PROGRESS, "the progress of a running statement"),
];

/// Returns the node's own actions.
pub(crate) fn own_actions() -> Vec<ActionType> {
    ACTIONS
        .iter()
        .map(|(name, what)| ActionType { r#type: (*name).to_owned(), description: (*what).to_owned() })
        .collect()
}

impl Service {
    /// Runs one of the node's own actions, except for the decisions of policies.
    pub(crate) fn own_action(&self, caller: &Caller, action: Action) -> Result<Bytes> {
        match action.r#type.as_str() {
            ACTION_HELLO => Ok(self.hello(caller, &plain(action.body)?).encode_to_vec().into()),
            ACTION_CATALOG => {
                let request: CatalogRequest = plain(action.body)?;
                Ok(self.catalog(caller, &request)?.encode_to_vec().into())
            }
            ACTION_PROGRESS => {
                let request: ProgressRequest = plain(action.body)?;
                json(&self.progress(caller, &request.handle)?)
            }
            other => Err(unknown(other)),
        }
    }

    /// Returns the catalogs of the domains that this node owns, signed for this request. Only a trusted node gets the
    /// statistics of classified columns, and only a node whose fragments are accepted gets the peers.
    fn catalog(&self, caller: &Caller, request: &CatalogRequest) -> Result<SignedCatalog> {
        let size = request.nonce.len();
        if size > MAX_NONCE_BYTES {
            return Err(invalid(format!(
                "the nonce of a catalog request has {size} bytes, but at most {MAX_NONCE_BYTES} are accepted"
            )));
        }
        let (rules, known) = (self.callers.rules(), request.known.as_deref());
        let delegations = &rules.delegations;
        let content = CatalogContent {
            instance: server::instance(&self.engine),
            audiences: delegations.audiences().to_vec(),
            answer: server::catalog_for(
                &self.engine,
                &caller.identity.principal,
                known,
                delegations.reader(&caller.identity, request.proof.as_deref()),
            ),
        };
        SignedCatalog::sign(&self.key, &request.nonce, &content)
    }

    fn progress(&self, caller: &Caller, handle: &[u8]) -> Result<Progress> {
        let statement = self.statements.find(&caller.identity.principal, handle)?;
        Ok(statement.runs.progress().map(|progress| progress.now()).unwrap_or_default())
    }

    /// Cancels the statements behind the tickets of `info`.
    pub(crate) fn cancel_statements(&self, caller: &Caller, info: &FlightInfo) -> Result<CancelStatus> {
        let mut cancelled = CancelStatus::NotCancellable;
        for bytes in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            if let Request::Sql(Command::TicketStatementQuery(query)) = ticket(&bytes.ticket)? {
                let (handle, _) = handle_and_part(&query.statement_handle)?;
                let statement = self.statements.find(&caller.identity.principal, handle.as_bytes())?;
                statement.runs.stop.cancel();
                cancelled = CancelStatus::Cancelled;
            }
        }
        Ok(cancelled)
    }

    fn hello(&self, caller: &Caller, theirs: &NodeHello) -> NodeHello {
        let ours = NodeHello::current();
        if let Err(e) = ours.check(theirs) {
            tracing::warn!(portolan = theirs.portolan, "a node cannot send fragments to this one: {}", e.chain());
        }
        let proof = theirs.proof.as_deref();
        let takes_fragments = self.callers.rules().delegations.takes_fragments(&caller.identity, proof);
        NodeHello { takes_fragments: Some(takes_fragments), ..ours }
    }

    /// Ends the caller's session.
    pub(crate) fn end_session(&self, caller: &Caller) -> CloseSessionStatus {
        if caller.shares_session() {
            return CloseSessionStatus::NotCloseable;
        }
        let closed = caller.kept_as.as_ref().is_some_and(|key| self.callers.access.sessions.close(key));
        if closed { CloseSessionStatus::Closed } else { CloseSessionStatus::NotCloseable }
    }
}

/// Returns the options of the caller's session.
pub(crate) fn options(caller: &Caller) -> SessionOptions {
    let values = caller.session.settings().values();
    values.into_iter().map(|(name, value)| (name.to_owned(), Some(OptionValue::String(value)))).collect()
}

/// Sets options of the caller's session, and returns an error for each option that it rejects.
pub(crate) fn set_options(
    caller: &Caller,
    options: SessionOptions,
) -> Result<HashMap<String, SetSessionOptionErrorValue>> {
    if !options.is_empty() {
        caller.require_kept_session()?;
    }
    let mut errors = HashMap::new();
    for (name, value) in options {
        let known = SETTINGS.iter().any(|setting| setting.eq_ignore_ascii_case(&name));
        let set = match &value {
            None => caller.session.reset(&name).is_ok(),
            Some(value) => value.as_text().is_some_and(|text| caller.session.set(&name, &text).is_ok()),
        };
        let error = match (known, set) {
            (_, true) => continue,
            (false, false) => SetSessionOptionErrorValue::InvalidName,
            (true, false) => SetSessionOptionErrorValue::InvalidValue,
        };
        errors.insert(name, error);
    }
    Ok(errors)
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|e| Error::new(ErrorKind::Internal, "a response cannot be encoded").with_source(e))
}
