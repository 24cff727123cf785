//! Tests that all requests for a statement's columns agree for any schema: preparing it, `GetFlightInfo`, `GetSchema`,
//! and the rows themselves.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt,
};
use arrow_flight::{FlightDescriptor, IpcMessage};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use portolan_catalog::{Column, DomainCatalog, Port, PortRef};
use portolan_connectors::node::NodeKey;
use portolan_connectors::{LocalDomain, OpenedPort};
use portolan_engine::Engine;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;
use tonic::Extensions;

use super::*;
use crate::callers::{Access, Authenticator, Delegations, Rules};
use crate::dispatch::ticket;
use crate::options::{AuthOptions, DelegationOptions, ServerLimits};
use crate::rows::random_batch;

const PORTS: u64 = 120;

fn column(field: &arrow::datatypes::Field) -> Column {
    Column::new(field.name()).with_type(field.data_type().clone())
}

/// Returns a domain of tables `lab.samples.port<n>`, each with random columns.
fn domain() -> LocalDomain {
    let ports = (0..PORTS).map(|number| {
        let mut random = StdRng::seed_from_u64(number);
        let batch = random_batch(&mut random);
        let name = PortRef::new("lab", "samples", format!("port{number}"));
        let schema = batch.schema();
        let port = Port::new(name.clone()).with_columns(schema.fields().iter().map(|f| column(f)));
        let provider = Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap());
        (port, OpenedPort::new(name, provider))
    });
    let (catalog, ports): (Vec<Port>, Vec<OpenedPort>) = ports.unzip();
    LocalDomain::new(DomainCatalog::new("lab", catalog), ports)
}

async fn service() -> Service {
    serving(domain()).await
}

async fn serving(domain: LocalDomain) -> Service {
    let engine = Engine::builder().local_domain(domain).cpu_threads(1).build().unwrap();
    let limits = ServerLimits::default();
    let authenticator = Authenticator::new(&AuthOptions::default(), true, false, limits.password_checks).unwrap();
    let delegations = Delegations::new(&DelegationOptions::default(), vec![]).unwrap();
    let (auth, delegation) = (AuthOptions::default(), DelegationOptions::default());
    let access = Access::new(Rules { authenticator, delegations, auth, delegation }, &limits);
    let key = Arc::new(NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap());
    Service::new(engine, access, key, &limits, CancellationToken::new()).unwrap()
}

/// A table that counts its scans.
#[derive(Debug)]
struct Counting {
    table: MemTable,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl TableProvider for Counting {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.table.scan(state, projection, filters, limit).await
    }
}

fn request(command: &impl ProstMessageExt) -> (Request, FlightDescriptor) {
    let bytes = command.as_any().encode_to_vec();
    (ticket(&bytes.clone().into()).unwrap(), FlightDescriptor::new_cmd(bytes))
}

fn schema_of(ipc: &Bytes) -> Schema {
    Schema::try_from(IpcMessage(ipc.clone())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_ways_to_ask_for_columns_agree_for_any_schema() {
    let service = service().await;
    let head = Head { headers: MetadataMap::new(), extensions: Extensions::new() };
    let caller = service.identify(&head).await.unwrap();
    for number in 0..PORTS {
        let sql = format!("SELECT * FROM lab.samples.port{number}");
        let prepare = ActionCreatePreparedStatementRequest { query: sql.clone(), transaction_id: None };
        let created =
            service.create_prepared(&caller, prepare).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
        let announced = schema_of(&created.dataset_schema);

        let query = CommandStatementQuery { query: sql.clone(), transaction_id: None };
        let prepared =
            CommandPreparedStatementQuery { prepared_statement_handle: created.prepared_statement_handle.clone() };
        for (command, descriptor) in [request(&query), request(&prepared)] {
            let again = ticket(&descriptor.cmd).unwrap();
            assert_eq!(*service.schema(&caller, again).await.unwrap(), announced, "{sql}: GetSchema");
            let info = service.info(&caller, command, descriptor).await.unwrap();
            assert_eq!(schema_of(&info.schema), announced, "{sql}: GetFlightInfo");
            let fetched = ticket(&info.endpoint[0].ticket.as_ref().unwrap().ticket).unwrap();
            let messages = service.fetch(&caller, fetched).await.unwrap();
            let failed = |e: Error| arrow_flight::error::FlightError::ProtocolError(e.chain());
            let messages = messages.map_ok(arrow_flight::FlightData::from).map_err(failed);
            let mut rows = FlightRecordBatchStream::new_from_flight_data(messages);
            let batches: Vec<RecordBatch> =
                (&mut rows).try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}; {announced:?}"));
            assert_eq!(**rows.schema().unwrap(), announced, "{sql}: DoGet");
            assert!(batches.iter().map(RecordBatch::num_rows).sum::<usize>() >= 2, "{sql}");
        }
        service.close_prepared(&caller, created.prepared_statement_handle).await.unwrap();
    }
}

/// Returns the number of rows of a ticket.
async fn fetched(service: &Service, caller: &Caller, bytes: &Bytes) -> usize {
    let messages = service.fetch(caller, ticket(bytes).unwrap()).await.unwrap();
    let failed = |e: Error| arrow_flight::error::FlightError::ProtocolError(e.chain());
    let messages = messages.map_ok(arrow_flight::FlightData::from).map_err(failed);
    let batches: Vec<RecordBatch> =
        FlightRecordBatchStream::new_from_flight_data(messages).try_collect().await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_was_begun_is_not_run_again() {
    let mut domain = domain();
    let batch = random_batch(&mut StdRng::seed_from_u64(0));
    let (rows, reads) = (batch.num_rows(), Arc::new(AtomicUsize::new(0)));
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    domain.ports[0].provider = Arc::new(Counting { table, reads: reads.clone() });
    let service = serving(domain).await;
    let head = Head { headers: MetadataMap::new(), extensions: Extensions::new() };
    let caller = service.identify(&head).await.unwrap();
    let query = CommandStatementQuery { query: "SELECT * FROM lab.samples.port0".to_owned(), transaction_id: None };
    // The number of scans for two fetches of each of several announcements. A busy machine may be late for one of them.
    let mut counts = vec![];
    for _ in 0..5 {
        let before = reads.load(Ordering::SeqCst);
        let (command, descriptor) = request(&query);
        let info = service.info(&caller, command, descriptor).await.unwrap();
        let ticket = &info.endpoint[0].ticket.as_ref().unwrap().ticket;
        let both = tokio::join!(fetched(&service, &caller, ticket), fetched(&service, &caller, ticket));
        assert_eq!(both, (rows, rows));
        counts.push(reads.load(Ordering::SeqCst) - before);
    }
    assert!(counts.iter().all(|count| *count >= 2) && counts.contains(&2), "{counts:?}");
    // A fetch sees what a session inserts into its table after the announcement.
    let session = &caller.session;
    session.prepare("CREATE TABLE mine AS SELECT 1 AS n").await.unwrap().apply(&[]).await.unwrap();
    let query = CommandStatementQuery { query: "SELECT * FROM mine".to_owned(), transaction_id: None };
    let (command, descriptor) = request(&query);
    let info = service.info(&caller, command, descriptor).await.unwrap();
    session.prepare("INSERT INTO mine VALUES (2)").await.unwrap().apply(&[]).await.unwrap();
    assert_eq!(fetched(&service, &caller, &info.endpoint[0].ticket.as_ref().unwrap().ticket).await, 2);
}
