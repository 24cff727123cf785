//! `DoGet`: statements, tables about the catalog, and other nodes' fragments.

use std::sync::Arc;

use arrow_flight::sql::Command;
use futures::{StreamExt, TryStreamExt, stream};
use portolan_connectors::ReceivedFragment;
use portolan_connectors::node::protocol::{FragmentTicket, NodeHello, is_query_id};
use portolan_engine::server::{
    EstimatedFragment, RowPart, estimate_fragment, is_current, record_unaccepted, run_fragment,
};
use portolan_engine::{Result, TraceContext};
use tokio_util::sync::CancellationToken;

use super::service::Service;
use crate::callers::{Asker, Caller, OpenCall, Purpose};
use crate::dispatch::{Messages, Request, unknown};
use crate::failure::{invalid, statement_cancelled};
use crate::rows::{fragment_messages, labelled, no_rows, statement_messages, table_messages, until_cancelled};
use crate::statements::{
    Delivery, Execution, ExecutionAccess, Kind, Part, Statement, When, announce_prepared, bound, handle_and_part, relay,
};

impl Service {
    /// Starts the request in a ticket.
    pub(crate) async fn answer(&self, caller: &Caller, request: Request) -> Result<Messages> {
        let command = match request {
            Request::Fragment(fragment) => return self.fragment(caller, fragment).await,
            other => other.sql()?,
        };
        match &command {
            Command::TicketStatementQuery(query) => self.statement(caller, &query.statement_handle).await,
            Command::CommandPreparedStatementQuery(query) => {
                let bound = bound(caller, &self.statements, &query.prepared_statement_handle)?;
                let announced = announce_prepared(caller, &self.statements, bound, Delivery::Stream).await?;
                self.statement(caller, &announced.handle).await
            }
            _ => {
                let table =
                    self.metadata.table(&caller.session, &command).await?.ok_or_else(|| unknown(command.type_url()))?;
                Ok(table_messages(table.schema, table.batches))
            }
        }
    }

    async fn statement(&self, caller: &Caller, handle: &[u8]) -> Result<Messages> {
        let (handle, part) = handle_and_part(handle)?;
        let statement = self.statements.find(&caller.identity.principal, handle.as_bytes())?;
        let (schema, stop) = (statement.schema.clone(), statement.runs.stop.clone());
        let settings = caller.session.settings();
        let rows = match (&statement.kind, part) {
            (Kind::Query(prepared, parameters, speculative_run), None) => {
                let execution = Execution {
                    prepared: prepared.clone(),
                    parameters: parameters.clone(),
                    schema: schema.clone(),
                    runs: statement.runs.clone(),
                    access: ExecutionAccess::default(),
                    relay: relay(&schema, statement.strings, &settings),
                };
                let rows = async {
                    // The client must see rows that were inserted after the announcement.
                    if !is_current(prepared) {
                        speculative_run.cancel();
                    }
                    let started = speculative_run.rows().await;
                    match started {
                        Some(rows) => rows,
                        None => execution.start(When::Asked).await,
                    }
                };
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(statement_cancelled()),
                    rows = rows => rows?,
                }
            }
            (Kind::Kept(result), part) => {
                let rows = result.clone().rows(part.unwrap_or(Part::Share { first: 0, of: 1 }));
                rows.map_ok(RowPart::Batch).boxed()
            }
            (Kind::Applied, _) => return Ok(no_rows(schema)),
            (Kind::Query(..), Some(_)) => {
                return Err(invalid("the statement has no parts, because its rows are not kept"));
            }
            (Kind::Prepared(..), _) => {
                return Err(invalid("the handle belongs to a prepared statement, which must be executed first"));
            }
        };
        let messages = statement_messages(rows, schema, settings.compression)?;
        let label = statement.runs.progress().map(|progress| progress.now().label).unwrap_or_default();
        let messages = labelled(messages, &label);
        let messages = until_cancelled(messages, stop, self.stopping.clone());
        Ok(held_by(messages, statement))
    }

    async fn fragment(&self, caller: &Caller, ticket: FragmentTicket) -> Result<Messages> {
        let sent = self.sent(caller, ticket, Purpose::Run)?;
        let relayed = sent.head.relayed;
        let rows = run_fragment(&self.engine, sent).await?;
        Ok(until_cancelled(fragment_messages(rows, relayed), CancellationToken::new(), self.stopping.clone()))
    }

    /// Plans a fragment without running it.
    pub(crate) async fn estimate(&self, caller: &Caller, ticket: FragmentTicket) -> Result<EstimatedFragment> {
        estimate_fragment(&self.engine, self.sent(caller, ticket, Purpose::Estimate)?).await
    }

    /// Returns the fragment in a ticket, if the caller may send it. A refusal is recorded.
    pub(super) fn sent(&self, caller: &Caller, ticket: FragmentTicket, purpose: Purpose) -> Result<ReceivedFragment> {
        let query_id = ticket.query_id.clone();
        let accepted = self.accepted(caller, ticket, purpose);
        accepted.inspect_err(|e| record_unaccepted(&self.engine, &caller.identity.principal, &query_id, e))
    }

    fn accepted(&self, caller: &Caller, ticket: FragmentTicket, purpose: Purpose) -> Result<ReceivedFragment> {
        let (protocol, datafusion) = (ticket.protocol, ticket.datafusion.clone());
        // This check comes first, because another version may not be able to send a principal.
        NodeHello::current().check(&NodeHello { protocol, datafusion, ..NodeHello::default() })?;
        ticket.check()?;
        if !is_query_id(&ticket.query_id) {
            let shown: String = ticket.query_id.chars().take(40).collect();
            return Err(invalid(format!(
                "`{shown}` is not a valid id of a query: use letters, digits, `-`, `_`, `.` and `:`, at most 128 \
                 characters"
            )));
        }
        let Asker { principal, declared_purpose, via, node_keys } =
            self.callers.rules().delegations.asker(&caller.identity, &ticket, purpose)?;
        let trace = caller.session.trace().cloned().unwrap_or_else(TraceContext::start);
        let fragment = ticket.into_fragment(principal, declared_purpose, via, trace);
        Ok(ReceivedFragment { node_keys, ..fragment })
    }
}

/// Ends `messages` with an error when their caller is no longer accepted.
pub(super) fn while_accepted(messages: Messages, call: OpenCall) -> Messages {
    stream::unfold(Some((messages, call)), |state| async move {
        let (mut messages, call) = state?;
        let item = tokio::select! {
            biased;
            error = call.ended() => Some(Err(error)),
            item = messages.next() => item,
        }?;
        let rest = item.is_ok().then_some((messages, call));
        Some((item, rest))
    })
    .boxed()
}

/// Keeps the statement while its rows flow, so that clients can cancel it and query its progress.
fn held_by(messages: Messages, statement: Arc<Statement>) -> Messages {
    messages
        .inspect(move |_| {
            let _ = &statement;
        })
        .boxed()
}
