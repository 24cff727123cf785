//! `GetFlightInfo`, `PollFlightInfo` and `GetSchema`: what a command will give, and the ticket that gives it.

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::{Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo, Ticket};
use bytes::Bytes;
use portolan_connectors::node::protocol::FragmentTicket;
use portolan_engine::{EstimatedFragment, Result, StatementKind};
use prost::Message;

use crate::caller::Caller;
use crate::dispatch::{Request, unknown};
use crate::failure::arrow;
use crate::prepared::{Announced, announce, announce_prepared, bound, prepare};
use crate::service::Service;
use crate::wire_schema::{Strings, wire_schema};

impl Service {
    /// Plans what a descriptor asks for; a setting is applied.
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
        let (ticket, schema, rows) = match &command {
            Command::CommandStatementQuery(query) => announced(announce(caller, &self.statements, query).await?),
            Command::CommandPreparedStatementQuery(query) => {
                let bound = bound(caller, &self.statements, &query.prepared_statement_handle)?;
                announced(announce_prepared(caller, &self.statements, bound).await?)
            }
            _ => {
                let table = self.metadata(caller, &command).await?.ok_or_else(|| unknown(command.type_url()))?;
                let rows = i64::try_from(table.rows).unwrap_or(-1);
                (descriptor.cmd.clone(), table.schema, rows)
            }
        };
        info(&schema, descriptor, ticket, rows, -1)
    }

    /// What is expected of a fragment. Nodes take the figures for estimates; to clients, which take them for exact, a
    /// statement's are not told.
    async fn fragment_info(
        &self,
        caller: &Caller,
        fragment: FragmentTicket,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo> {
        let EstimatedFragment { schema, estimate } = self.estimate(caller, fragment).await?;
        let figure = |known: Option<u64>| known.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
        let ticket = descriptor.cmd.clone();
        info(&schema, descriptor, ticket, figure(estimate.rows), figure(estimate.bytes))
    }

    /// As [`Service::flight_info`]: planning is all that there is to wait for, and it is done.
    pub(crate) async fn poll_info(
        &self,
        caller: &Caller,
        request: Request,
        descriptor: FlightDescriptor,
    ) -> Result<PollInfo> {
        let info = self.flight_info(caller, request, descriptor).await?;
        PollInfo::new().with_info(info).try_with_progress(1.0).map_err(arrow)
    }

    /// The columns that a command will give; nothing is run or applied.
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
                match prepared.kind() {
                    StatementKind::Query => wire_schema(&prepared.schema(), Strings::of(&caller.session.settings())),
                    StatementKind::Setting | StatementKind::Change => SchemaRef::new(Schema::empty()),
                }
            }
            Command::CommandPreparedStatementQuery(query) => {
                let statement = self.statements.find(&caller.identity.principal, &query.prepared_statement_handle)?;
                statement.schema.clone()
            }
            _ => self.metadata(caller, command).await?.ok_or_else(|| unknown(command.type_url()))?.schema,
        })
    }
}

fn info(
    schema: &Schema,
    descriptor: FlightDescriptor,
    ticket: Bytes,
    total_records: i64,
    total_bytes: i64,
) -> Result<FlightInfo> {
    // An endpoint without a location means: fetch it from where you asked.
    let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
    let info = FlightInfo::new().try_with_schema(schema).map_err(arrow)?;
    Ok(info
        .with_descriptor(descriptor)
        .with_endpoint(endpoint)
        .with_total_records(total_records)
        .with_total_bytes(total_bytes))
}

/// Ticket, columns and number of rows of a statement. That of a change is how many it changed: clients without another
/// way to learn it take it from there.
fn announced(Announced { handle, schema, changed }: Announced) -> (Bytes, SchemaRef, i64) {
    (statement_ticket(handle), schema, changed.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX)))
}

fn statement_ticket(handle: Bytes) -> Bytes {
    TicketStatementQuery { statement_handle: handle }.as_any().encode_to_vec().into()
}
