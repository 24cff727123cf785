//! `GetFlightInfo`, `PollFlightInfo` and `GetSchema`: the columns of a command's rows, and the tickets for the
//! rows.

use std::time::{Duration, SystemTime};

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::{Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo, Ticket};
use bytes::Bytes;
use portolan_connectors::node::protocol::FragmentTicket;
use portolan_engine::server::{EstimatedFragment, is_ordered, refreshed};
use portolan_engine::{Prepared, Progress, Result};
use prost::Message;
use prost_types::Timestamp;

use super::service::Service;
use crate::callers::Caller;
use crate::dispatch::{Request, ticket, unknown};
use crate::failure::{arrow, invalid, unsupported};
use crate::rows::Strings;
use crate::statements::{
    Announced, Delivery, KeptResult, Kind, Part, announce_prepared, bound, bound_schema, handle_and_part,
    handle_of_part, prepare, unbound,
};

/// The longest time that the response to a poll waits for progress.
const POLL: Duration = Duration::from_secs(2);

impl Service {
    /// Plans the request in a descriptor. A statement that changes a setting is applied.
    pub(crate) async fn flight_info(
        &self,
        caller: &Caller,
        request: Request,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo> {
        let command = match request {
            Request::Fragment(fragment) => return self.fragment_info(caller, fragment, descriptor).await,
            other => other.sql()?,
        };
        let endpoints = caller.session.settings().endpoints;
        let delivery = |prepared: &Prepared| match endpoints > 1 && !is_ordered(prepared) {
            true => Delivery::Keep,
            false => Delivery::Stream,
        };
        let Some(announced) = self.announced(caller, &command, delivery).await? else {
            let table =
                self.metadata.table(&caller.session, &command).await?.ok_or_else(|| unknown(command.type_url()))?;
            let rows = i64::try_from(table.rows).unwrap_or(-1);
            let ticket = descriptor.cmd.clone();
            return info(&table.schema, descriptor, vec![endpoint(ticket)], rows, -1);
        };
        let Announced { handle, schema, changed, kept } = announced;
        // The row count of a change is the number of changed rows. Some clients have no other way to read it.
        let rows = changed.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX));
        let endpoints = match kept {
            None => vec![endpoint(statement_ticket(handle))],
            Some(kept) => {
                (0..endpoints).map(|first| part(&handle, Part::Share { first, of: endpoints }, &kept)).collect()
            }
        };
        info(&schema, descriptor, endpoints, rows, -1)
    }

    /// Announces a statement; `None` if the command is not a statement.
    async fn announced(
        &self,
        caller: &Caller,
        command: &Command,
        delivery: impl Fn(&Prepared) -> Delivery,
    ) -> Result<Option<Announced>> {
        let bound = match command {
            Command::CommandStatementQuery(query) => unbound(caller, query).await?,
            Command::CommandPreparedStatementQuery(query) => {
                bound(caller, &self.statements, &query.prepared_statement_handle)?
            }
            _ => return Ok(None),
        };
        let delivery = delivery(&bound.prepared);
        announce_prepared(caller, &self.statements, bound, delivery).await.map(Some)
    }

    /// Returns the estimate for a fragment. Nodes read the figures as estimates. Clients read them as exact, so a
    /// statement's estimate is not sent.
    async fn fragment_info(
        &self,
        caller: &Caller,
        fragment: FragmentTicket,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo> {
        let EstimatedFragment { schema, estimate } = self.estimate(caller, fragment).await?;
        let figure = |known: Option<u64>| known.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
        let ticket = descriptor.cmd.clone();
        info(&schema, descriptor, vec![endpoint(ticket)], figure(estimate.rows), figure(estimate.bytes))
    }

    /// Starts a query, or reports its progress: the parts that can be fetched now, and the descriptor of the next poll.
    /// Any other request is complete at once.
    pub(crate) async fn poll_info(
        &self,
        caller: &Caller,
        request: Request,
        descriptor: FlightDescriptor,
    ) -> Result<PollInfo> {
        let command = match request {
            Request::Sql(command) => command,
            other => {
                let info = self.flight_info(caller, other, descriptor).await?;
                return PollInfo::new().with_info(info).try_with_progress(1.0).map_err(arrow);
            }
        };
        let (handle, seen) = match &command {
            Command::TicketStatementQuery(query) => {
                let (handle, part) = handle_and_part(&query.statement_handle)?;
                (Bytes::copy_from_slice(handle.as_bytes()), part)
            }
            _ => match self.announced(caller, &command, |_| Delivery::Keep).await? {
                Some(Announced { handle, kept: Some(_), .. }) => (handle, None),
                Some(Announced { handle, schema, changed, .. }) => {
                    let rows = changed.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX));
                    let info = info(&schema, descriptor, vec![endpoint(statement_ticket(handle))], rows, -1)?;
                    return PollInfo::new().with_info(info).try_with_progress(1.0).map_err(arrow);
                }
                None => {
                    let info = self.flight_info(caller, Request::Sql(command), descriptor).await?;
                    return PollInfo::new().with_info(info).try_with_progress(1.0).map_err(arrow);
                }
            },
        };
        self.polled(caller, handle, seen, descriptor).await
    }

    /// Waits until a kept result has more pieces than the client has seen, and returns its progress.
    async fn polled(
        &self,
        caller: &Caller,
        handle: Bytes,
        seen: Option<Part>,
        descriptor: FlightDescriptor,
    ) -> Result<PollInfo> {
        let statement = self.statements.find(&caller.identity.principal, &handle)?;
        let Kind::Kept(kept) = &statement.kind else { return Err(invalid("the statement cannot be polled")) };
        let seen = match seen {
            Some(Part::Piece(pieces)) => pieces,
            _ => 0,
        };
        let extent = kept.further(seen, POLL).await?;
        let expires = kept.renew();
        let rows = if extent.finished { i64::try_from(extent.rows).unwrap_or(-1) } else { -1 };
        let endpoints = (0..extent.pieces).map(|piece| part(&handle, Part::Piece(piece), kept)).collect();
        let info = info(&statement.schema, descriptor, endpoints, rows, -1)?.with_ordered(true);
        let poll = PollInfo::new().with_info(info).with_expiration_time(timestamp(expires));
        if extent.finished {
            return poll.try_with_progress(1.0).map_err(arrow);
        }
        let next = statement_ticket(handle_of_part(&handle, Part::Piece(extent.pieces)));
        let progress = statement.runs.progress().map_or(0.0, |progress| share_done(&progress.now()));
        poll.with_descriptor(FlightDescriptor::new_cmd(next)).try_with_progress(progress).map_err(arrow)
    }

    /// Extends the expiry of a part of a kept result, and so of the whole result.
    pub(crate) fn renewed(&self, caller: &Caller, mut endpoint: FlightEndpoint) -> Result<FlightEndpoint> {
        let bytes = endpoint.ticket.as_ref().map(|ticket| &ticket.ticket);
        let request = ticket(bytes.ok_or_else(|| invalid("the endpoint to renew has no ticket"))?)?;
        let Request::Sql(Command::TicketStatementQuery(query)) = request else {
            return Err(unsupported("the endpoint does not expire"));
        };
        let (handle, _) = handle_and_part(&query.statement_handle)?;
        let statement = self.statements.find(&caller.identity.principal, handle.as_bytes())?;
        let Kind::Kept(kept) = &statement.kind else { return Err(unsupported("the endpoint does not expire")) };
        endpoint.expiration_time = Some(timestamp(kept.renew()));
        Ok(endpoint)
    }

    /// Returns the columns of a command's rows, without running or applying it.
    pub(crate) async fn announced_schema(&self, caller: &Caller, request: Request) -> Result<SchemaRef> {
        match request {
            Request::Fragment(fragment) => Ok(self.estimate(caller, fragment).await?.schema),
            other => self.command_schema(caller, &other.sql()?).await,
        }
    }

    async fn command_schema(&self, caller: &Caller, command: &Command) -> Result<SchemaRef> {
        Ok(match command {
            Command::CommandStatementQuery(query) => {
                let prepared = prepare(caller, &query.query, query.transaction_id.as_ref()).await?;
                bound_schema(&prepared, &[], Strings::of(&caller.session.settings())).await?
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = bound(caller, &self.statements, &query.prepared_statement_handle)?;
                bound_schema(&refreshed(&bound.prepared).await?, &bound.parameters, bound.strings).await?
            }
            _ => {
                self.metadata.table(&caller.session, command).await?.ok_or_else(|| unknown(command.type_url()))?.schema
            }
        })
    }
}

fn info(
    schema: &Schema,
    descriptor: FlightDescriptor,
    endpoints: Vec<FlightEndpoint>,
    total_records: i64,
    total_bytes: i64,
) -> Result<FlightInfo> {
    let mut info = FlightInfo::new().try_with_schema(schema).map_err(arrow)?;
    info.endpoint = endpoints;
    Ok(info.with_descriptor(descriptor).with_total_records(total_records).with_total_bytes(total_bytes))
}

/// Returns an endpoint without a location, which means that the client fetches it from the same node.
fn endpoint(ticket: Bytes) -> FlightEndpoint {
    FlightEndpoint::new().with_ticket(Ticket { ticket })
}

/// Returns the endpoint of a part of a kept result.
fn part(handle: &Bytes, part: Part, kept: &KeptResult) -> FlightEndpoint {
    endpoint(statement_ticket(handle_of_part(handle, part))).with_expiration_time(timestamp(kept.expires()))
}

fn statement_ticket(handle: Bytes) -> Bytes {
    TicketStatementQuery { statement_handle: handle }.as_any().encode_to_vec().into()
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from(time)
}

/// Returns the share of the edges from other sites that are done. The work at the local node after them is unknown.
fn share_done(progress: &Progress) -> f64 {
    let done = progress.edges.iter().filter(|edge| edge.finished).count();
    if progress.edges.is_empty() { 0.0 } else { 0.9 * done as f64 / progress.edges.len() as f64 }
}
