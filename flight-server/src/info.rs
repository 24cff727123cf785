//! `GetFlightInfo`, `PollFlightInfo` and `GetSchema`: what a command will give, and the ticket that gives it.

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::{Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo, SchemaAsIpc, SchemaResult, Ticket};
use bytes::Bytes;
use portolan_engine::{Result, StatementKind};
use prost::Message;

use crate::caller::Caller;
use crate::commands::{self, unknown};
use crate::failure::arrow;
use crate::prepared::{announce, announce_prepared, bound, prepare};
use crate::service::Service;
use crate::wire_schema::wire_schema;

impl Service {
    /// Plans what a descriptor asks for; a setting is applied.
    pub(crate) async fn flight_info(&self, caller: &Caller, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let command = commands::descriptor(&descriptor)?;
        let (ticket, schema, rows) = match &command {
            Command::CommandStatementQuery(query) => {
                let (handle, schema) = announce(caller, &self.statements, query).await?;
                (statement_ticket(handle), schema, -1)
            }
            Command::CommandPreparedStatementQuery(query) => {
                let (prepared, parameters) = bound(caller, &self.statements, &query.prepared_statement_handle)?;
                let (handle, schema) = announce_prepared(caller, &self.statements, &prepared, parameters).await?;
                (statement_ticket(handle), schema, -1)
            }
            _ => {
                let table = self.metadata(&command).await?.ok_or_else(|| unknown(command.type_url()))?;
                let rows = i64::try_from(table.num_rows()).unwrap_or(-1);
                (descriptor.cmd.clone(), table.schema(), rows)
            }
        };
        // An endpoint without a location means: fetch it from where you asked.
        let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
        let info = FlightInfo::new()
            .try_with_schema(&schema)
            .map_err(arrow)?
            .with_descriptor(descriptor)
            .with_endpoint(endpoint)
            .with_total_records(rows);
        Ok(info)
    }

    /// As [`Service::flight_info`]: planning is all that there is to wait for, and it is done.
    pub(crate) async fn poll_info(&self, caller: &Caller, descriptor: FlightDescriptor) -> Result<PollInfo> {
        let info = self.flight_info(caller, descriptor).await?;
        PollInfo::new().with_info(info).try_with_progress(1.0).map_err(arrow)
    }

    /// The columns that a command will give; nothing is run or applied.
    pub(crate) async fn schema(&self, caller: &Caller, descriptor: &FlightDescriptor) -> Result<SchemaResult> {
        let command = commands::descriptor(descriptor)?;
        let schema = match &command {
            Command::CommandStatementQuery(query) => {
                let prepared = prepare(caller, &query.query, query.transaction_id.as_ref()).await?;
                match prepared.kind() {
                    StatementKind::Query => wire_schema(&prepared.schema()),
                    StatementKind::Setting => SchemaRef::new(Schema::empty()),
                }
            }
            Command::CommandPreparedStatementQuery(query) => {
                let statement = self.statements.find(&caller.identity.principal, &query.prepared_statement_handle)?;
                statement.schema.clone()
            }
            _ => self.metadata(&command).await?.ok_or_else(|| unknown(command.type_url()))?.schema(),
        };
        let options = IpcWriteOptions::default();
        SchemaAsIpc::new(&schema, &options).try_into().map_err(arrow)
    }
}

fn statement_ticket(handle: Bytes) -> Bytes {
    TicketStatementQuery { statement_handle: handle }.as_any().encode_to_vec().into()
}
