//! `DoGet`: statements, tables about the catalog, fragments of other nodes.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::sql::Command;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};
use portolan_connectors::node::protocol::{FragmentTicket, NodeHello};
use portolan_engine::{
    Error, ErrorKind, EstimatedFragment, Prepared, Principal, QueryStream, Result, SentFragment, rows_of,
};
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::dispatch::{Caller as _, Messages, Request, unknown};
use crate::encode::{fragment_messages, no_rows, statement_messages, table_messages, until_cancelled};
use crate::prepared::{announce_prepared, bound};
use crate::service::Service;
use crate::statements::{Kind, Statement};
use crate::wire_schema::same_columns;

impl Service {
    /// Starts what a ticket asks for.
    pub(crate) async fn answer(&self, caller: &Caller, request: Request) -> Result<Messages> {
        let command = match request {
            Request::Fragment(fragment) => return self.fragment(caller, fragment).await,
            other => other.sql()?,
        };
        match &command {
            Command::TicketStatementQuery(query) => self.statement(caller, &query.statement_handle).await,
            Command::CommandPreparedStatementQuery(query) => {
                let bound = bound(caller, &self.statements, &query.prepared_statement_handle)?;
                let announced = announce_prepared(caller, &self.statements, bound).await?;
                self.statement(caller, &announced.handle).await
            }
            _ => {
                let table = self.metadata(caller, &command).await?.ok_or_else(|| unknown(command.type_url()))?;
                Ok(table_messages(table))
            }
        }
    }

    async fn statement(&self, caller: &Caller, handle: &[u8]) -> Result<Messages> {
        let statement = self.statements.find(&caller.identity.principal, handle)?;
        let (prepared, parameters) = match &statement.kind {
            Kind::Query(prepared, parameters) => (prepared, parameters),
            Kind::Applied => return Ok(no_rows(statement.schema.clone())),
            Kind::Prepared(..) => {
                return Err(Error::new(ErrorKind::InvalidQuery, "the handle is that of a prepared statement"));
            }
        };
        let sets: Vec<_> = rows_of(parameters).collect::<Result<_>>()?;
        let unbound = parameters.is_empty().then(Vec::new);
        let mut sets = unbound.into_iter().chain(sets);
        let Some(first) = sets.next() else { return Ok(no_rows(statement.schema.clone())) };
        let stopped = || Error::new(ErrorKind::Cancelled, "the statement was cancelled");
        let first = tokio::select! {
            biased;
            () = statement.stop.cancelled() => return Err(stopped()),
            rows = run(prepared, &first, &statement) => rows?,
        };
        let (prepared, of) = (prepared.clone(), statement.clone());
        let rest = stream::iter(sets)
            .then(move |values| {
                let (prepared, of) = (prepared.clone(), of.clone());
                async move { run(&prepared, &values, &of).await }
            })
            .try_flatten();
        let messages = statement_messages(first.chain(rest), statement.schema.clone());
        let messages = until_cancelled(messages, statement.stop.clone(), self.stopping.clone());
        Ok(held_by(messages, statement.clone()))
    }

    async fn fragment(&self, caller: &Caller, ticket: FragmentTicket) -> Result<Messages> {
        let rows = self.engine.fragment(sent(caller, ticket)?).await?;
        Ok(until_cancelled(fragment_messages(rows), CancellationToken::new(), self.stopping.clone()))
    }

    /// Plans a fragment and does not run it.
    pub(crate) async fn estimate(&self, caller: &Caller, ticket: FragmentTicket) -> Result<EstimatedFragment> {
        self.engine.estimate_fragment(sent(caller, ticket)?).await
    }
}

/// Starts a statement with one set of parameters.
async fn run(prepared: &Prepared, parameters: &[ScalarValue], statement: &Statement) -> Result<QueryStream> {
    let rows = prepared.execute(parameters).await?;
    if !same_columns(&rows.schema(), &statement.schema) {
        return Err(Error::new(
            ErrorKind::SiteUnavailable,
            "the columns of the statement changed since it was announced: ask for it again",
        ));
    }
    statement.started(rows.progress());
    Ok(rows)
}

/// The fragment of a caller that may send some.
fn sent(caller: &Caller, ticket: FragmentTicket) -> Result<SentFragment> {
    if !caller.identity.node {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            format!("`{}` may not send fragments: it is not marked as a node here", caller.name()),
        ));
    }
    let sender = NodeHello { protocol: ticket.protocol, datafusion: ticket.datafusion, ..NodeHello::default() };
    NodeHello::current().check(&sender)?;
    if ticket.principal.is_empty() {
        return Err(Error::new(ErrorKind::InvalidQuery, "the fragment does not say on whose behalf it runs"));
    }
    Ok(SentFragment {
        // A known node is believed when it says who asks.
        principal: Principal::new(ticket.principal),
        query_id: ticket.query_id,
        plan: ticket.plan,
        keys: ticket.keys,
        hops: ticket.hops,
        remaining: Duration::from_millis(ticket.remaining_ms),
    })
}

/// Keeps the statement for as long as its rows flow, so that it can be cancelled and asked for its progress.
fn held_by(messages: Messages, statement: Arc<Statement>) -> Messages {
    messages
        .inspect(move |_| {
            let _ = &statement;
        })
        .boxed()
}
