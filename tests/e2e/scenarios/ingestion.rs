//! `flight_sql:ingestion`: rows for a table that is created for them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::{Command, CommandStatementIngest};
use arrow_flight::sql::{TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use futures::TryStreamExt;
use portolan_flight_server::Result;
use portolan_flight_server::dispatch::{Handler, Head, Messages, PutAnswer, Request, Upload};

use super::{Anyone, Handshake, anyone, demand, unexpected};

/// A handler that accepts the one ingest of the scenario.
pub(super) struct Ingestion;

fn wanted() -> CommandStatementIngest {
    let owned = |pair: (&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
    CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create as i32,
            if_exists: TableExistsOption::Replace as i32,
        }),
        table: "test_table".to_owned(),
        schema: Some("test_schema".to_owned()),
        catalog: Some("test_catalog".to_owned()),
        temporary: true,
        transaction_id: Some("123".into()),
        options: HashMap::from([("key1", "val1"), ("key2", "val2")].map(owned)),
    }
}

#[tonic::async_trait]
impl Handler for Ingestion {
    type Caller = Anyone;

    async fn identify(&self, head: &Head) -> Result<Anyone> {
        Ok(anyone(head))
    }

    async fn log_in(&self, _: &Head, _: Handshake) -> Result<String> {
        Err(unexpected("a login"))
    }

    async fn info(&self, _: &Anyone, request: Request, _: FlightDescriptor) -> Result<FlightInfo> {
        Err(unexpected(request))
    }

    async fn poll(&self, _: &Anyone, request: Request, _: FlightDescriptor) -> Result<PollInfo> {
        Err(unexpected(request))
    }

    async fn schema(&self, _: &Anyone, request: Request) -> Result<SchemaRef> {
        Err(unexpected(request))
    }

    async fn fetch(&self, _: &Anyone, request: Request) -> Result<Messages> {
        Err(unexpected(request))
    }

    async fn put(&self, _: &Anyone, request: Request, upload: Upload) -> Result<PutAnswer> {
        let Command::CommandStatementIngest(ingest) = request.sql()? else { return Err(unexpected("another command")) };
        demand(&ingest, &wanted())?;
        let rows = upload.rows().await?;
        let columns = Arc::new(Schema::new(vec![Field::new("test_field", DataType::Int64, true)]));
        demand(&rows.schema, &Some(columns))?;
        let batches: Vec<_> = rows.batches.try_collect().await?;
        let count: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        Ok(PutAnswer::Updated(i64::try_from(count).unwrap()))
    }
}
