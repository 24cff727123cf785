//! `flight_sql` and `flight_sql:extension`: every command and action of Flight SQL, inside and outside of transactions.
//! The handler checks requests field by field, as Arrow's own servers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, UnionArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::metadata::SqlInfoDataBuilder;
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest, Command,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, ProstMessageExt, SqlInfo, SubstraitPlan, TicketStatementQuery,
};
use arrow_flight::{CancelStatus, FlightDescriptor, FlightInfo, PollInfo};
use futures::TryStreamExt;
use portolan_flight_server::Result;
use portolan_flight_server::dispatch::{Handler, Head, Messages, PutAnswer, Request, Upload};
use prost::Message;
use prost::bytes::Bytes;

use super::sql_schemas::{metadata, query};
use super::{Anyone, Handshake, anyone, demand, endpoint, info, messages, unexpected};

const SELECT: &str = "SELECT STATEMENT";
const UPDATE: &str = "UPDATE STATEMENT";
const TRANSACTION: &str = "transaction_id";
const SAVEPOINT: &str = "savepoint_id";

/// A handler with the two statements of the scenarios, the two prepared statements, and one plan.
#[derive(Default)]
pub(super) struct Sql {
    in_transaction: AtomicBool,
}

/// True if a request is in the transaction.
fn within_transaction(id: Option<&Bytes>) -> Result<bool> {
    match id {
        None => Ok(false),
        Some(id) if id == TRANSACTION => Ok(true),
        Some(id) => Err(unexpected(id)),
    }
}

fn check_plan(plan: Option<&SubstraitPlan>) -> Result<()> {
    demand(&plan, &Some(&SubstraitPlan { plan: "plan".into(), version: "version".to_owned() }))
}

/// Returns a handle made from a statement's text, which shows if the statement is in the transaction.
fn handle(text: &str, in_transaction: bool) -> Bytes {
    format!("{text}{} HANDLE", if in_transaction { " WITH TXN" } else { "" }).into()
}

/// True if the statement of a handle is in the transaction. The statement must be one of `texts`.
fn opened(found: &Bytes, texts: &[&str]) -> Result<bool> {
    let matching = texts.iter().find_map(|text| [false, true].into_iter().find(|t| *found == handle(text, *t)));
    matching.ok_or_else(|| unexpected(found))
}

/// Checks that a metadata command has the fields that the scenario sets.
fn check_metadata(command: &Command) -> Result<()> {
    let text = |text: &str| Some(text.to_owned());
    let (catalog, db_schema, table) = (text("catalog"), text("db_schema"), "table".to_owned());
    match command {
        Command::CommandGetDbSchemas(schemas) => {
            let db_schema_filter_pattern = text("db_schema_filter_pattern");
            demand(schemas, &CommandGetDbSchemas { catalog, db_schema_filter_pattern })
        }
        Command::CommandGetTables(tables) => {
            let wanted = CommandGetTables {
                catalog,
                db_schema_filter_pattern: text("db_schema_filter_pattern"),
                table_name_filter_pattern: text("table_filter_pattern"),
                table_types: vec!["table".to_owned(), "view".to_owned()],
                include_schema: true,
            };
            demand(tables, &wanted)
        }
        Command::CommandGetPrimaryKeys(keys) => demand(keys, &CommandGetPrimaryKeys { catalog, db_schema, table }),
        Command::CommandGetExportedKeys(keys) => demand(keys, &CommandGetExportedKeys { catalog, db_schema, table }),
        Command::CommandGetImportedKeys(keys) => demand(keys, &CommandGetImportedKeys { catalog, db_schema, table }),
        Command::CommandGetCrossReference(keys) => {
            let wanted = CommandGetCrossReference {
                pk_catalog: text("pk_catalog"),
                pk_db_schema: text("pk_db_schema"),
                pk_table: "pk_table".to_owned(),
                fk_catalog: text("fk_catalog"),
                fk_db_schema: text("fk_db_schema"),
                fk_table: "fk_table".to_owned(),
            };
            demand(keys, &wanted)
        }
        Command::CommandGetXdbcTypeInfo(types) => demand(&types.data_type, &None),
        Command::CommandGetSqlInfo(info) if info.info.len() == 2 => demand(&info.info, &vec![0, 3]),
        _ => Ok(()),
    }
}

/// Returns the columns of a command, and its ticket if it differs from the command.
fn announced(command: &Command) -> Result<(SchemaRef, Option<Bytes>)> {
    let ticket = |text, in_transaction| {
        let ticket = TicketStatementQuery { statement_handle: handle(text, in_transaction) };
        (query(in_transaction), Some(ticket.as_any().encode_to_vec().into()))
    };
    match command {
        Command::CommandStatementQuery(statement) => {
            demand(&statement.query.as_str(), &SELECT)?;
            Ok(ticket(SELECT, within_transaction(statement.transaction_id.as_ref())?))
        }
        Command::CommandStatementSubstraitPlan(plan) => {
            check_plan(plan.plan.as_ref())?;
            Ok(ticket("PLAN", within_transaction(plan.transaction_id.as_ref())?))
        }
        Command::CommandPreparedStatementQuery(prepared) => {
            let texts = ["SELECT PREPARED STATEMENT", "PLAN"];
            Ok((query(opened(&prepared.prepared_statement_handle, &texts)?), None))
        }
        other => Ok((metadata(other)?, None)),
    }
}

/// Returns the server's properties with the schema that Flight SQL specifies, because the schema of the builder allows
/// NULLs.
fn server_info(ids: &[u32], schema: SchemaRef) -> RecordBatch {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerSql, false);
    info.append(SqlInfo::FlightSqlServerSubstrait, true);
    info.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "min_version");
    info.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "max_version");
    info.append(SqlInfo::FlightSqlServerTransaction, 2_i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 42_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 7_i32);
    let built = info.build().unwrap().record_batch(ids.iter().copied()).unwrap();
    let DataType::Union(fields, _) = schema.field(1).data_type() else { unreachable!("the value is a union") };
    let (_, kinds, offsets, values) = built.column(1).as_union().clone().into_parts();
    let values = UnionArray::try_new(fields.clone(), kinds, offsets, values).unwrap();
    RecordBatch::try_new(schema, vec![built.column(0).clone(), Arc::new(values)]).unwrap()
}

fn prepared(handle: Bytes) -> ActionCreatePreparedStatementResult {
    ActionCreatePreparedStatementResult { prepared_statement_handle: handle, ..Default::default() }
}

#[tonic::async_trait]
impl Handler for Sql {
    type Caller = Anyone;

    async fn identify(&self, head: &Head) -> Result<Anyone> {
        Ok(anyone(head))
    }

    async fn log_in(&self, _: &Head, _: Handshake) -> Result<String> {
        Err(unexpected("a login"))
    }

    async fn info(&self, _: &Anyone, request: Request, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let command = request.sql()?;
        check_metadata(&command)?;
        let (schema, ticket) = announced(&command)?;
        let ticket = ticket.unwrap_or_else(|| descriptor.cmd.clone());
        Ok(info(&schema, descriptor, vec![endpoint(ticket)]))
    }

    async fn poll(&self, _: &Anyone, request: Request, _: FlightDescriptor) -> Result<PollInfo> {
        Err(unexpected(request))
    }

    async fn schema(&self, _: &Anyone, request: Request) -> Result<SchemaRef> {
        Ok(announced(&request.sql()?)?.0)
    }

    async fn fetch(&self, _: &Anyone, request: Request) -> Result<Messages> {
        let (schema, batches) = match request.sql()? {
            Command::TicketStatementQuery(ticket) => {
                (query(opened(&ticket.statement_handle, &[SELECT, "PLAN"])?), vec![])
            }
            Command::CommandGetSqlInfo(info) if info.info.len() > 2 => {
                let schema = metadata(&Command::CommandGetSqlInfo(info.clone()))?;
                (schema.clone(), vec![server_info(&info.info, schema)])
            }
            command => (announced(&command)?.0, vec![]),
        };
        Ok(messages(schema, batches))
    }

    async fn put(&self, _: &Anyone, request: Request, upload: Upload) -> Result<PutAnswer> {
        let (usual, in_transaction) = match request.sql()? {
            Command::CommandStatementUpdate(update) => {
                demand(&update.query.as_str(), &UPDATE)?;
                (10_000, within_transaction(update.transaction_id.as_ref())?)
            }
            Command::CommandStatementSubstraitPlan(plan) => {
                check_plan(plan.plan.as_ref())?;
                (10_000, within_transaction(plan.transaction_id.as_ref())?)
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let in_transaction = opened(&update.prepared_statement_handle, &["UPDATE PREPARED STATEMENT", "PLAN"])?;
                let rows = upload.rows().await?;
                demand(&rows.schema.map(|schema| schema.fields().len()), &Some(0))?;
                (20_000, in_transaction)
            }
            Command::CommandPreparedStatementQuery(bound) => {
                opened(&bound.prepared_statement_handle, &["SELECT PREPARED STATEMENT", "PLAN"])?;
                let rows = upload.rows().await?;
                demand(&rows.schema, &Some(query(false)))?;
                let batches: Vec<RecordBatch> = rows.batches.try_collect().await?;
                demand(&batches.iter().map(RecordBatch::num_rows).sum(), &1)?;
                return Ok(PutAnswer::Bound(bound.prepared_statement_handle));
            }
            other => return Err(unexpected(other)),
        };
        Ok(PutAnswer::Updated(usual + if in_transaction { 5_000 } else { 0 }))
    }

    async fn create_prepared(
        &self,
        _: &Anyone,
        request: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult> {
        if !["SELECT PREPARED STATEMENT", "UPDATE PREPARED STATEMENT"].contains(&request.query.as_str()) {
            return Err(unexpected(request));
        }
        Ok(prepared(handle(&request.query, within_transaction(request.transaction_id.as_ref())?)))
    }

    async fn create_prepared_substrait(
        &self,
        _: &Anyone,
        request: ActionCreatePreparedSubstraitPlanRequest,
    ) -> Result<ActionCreatePreparedStatementResult> {
        check_plan(request.plan.as_ref())?;
        Ok(prepared(handle("PLAN", within_transaction(request.transaction_id.as_ref())?)))
    }

    async fn close_prepared(&self, _: &Anyone, handle: Bytes) -> Result<()> {
        opened(&handle, &["SELECT PREPARED STATEMENT", "UPDATE PREPARED STATEMENT", "PLAN"]).map(|_| ())
    }

    async fn cancel(&self, _: &Anyone, info: FlightInfo) -> Result<CancelStatus> {
        let ticket = TicketStatementQuery { statement_handle: handle("PLAN", false) };
        demand(&info.endpoint, &vec![endpoint(ticket.as_any().encode_to_vec())])?;
        Ok(CancelStatus::Cancelled)
    }

    async fn begin_transaction(&self, _: &Anyone) -> Result<Bytes> {
        demand(&self.in_transaction.swap(true, Ordering::Relaxed), &false)?;
        Ok(TRANSACTION.into())
    }

    async fn end_transaction(&self, _: &Anyone, request: ActionEndTransactionRequest) -> Result<()> {
        demand(&request.transaction_id, &TRANSACTION.into())?;
        demand(&[1, 2].contains(&request.action), &true)?;
        demand(&self.in_transaction.swap(false, Ordering::Relaxed), &true)
    }

    async fn begin_savepoint(&self, _: &Anyone, request: ActionBeginSavepointRequest) -> Result<Bytes> {
        let wanted =
            ActionBeginSavepointRequest { transaction_id: TRANSACTION.into(), name: "savepoint_name".to_owned() };
        demand(&request, &wanted)?;
        Ok(SAVEPOINT.into())
    }

    async fn end_savepoint(&self, _: &Anyone, request: ActionEndSavepointRequest) -> Result<()> {
        demand(&request.savepoint_id, &SAVEPOINT.into())?;
        demand(&[1, 2].contains(&request.action), &true)
    }
}
