//! Measures the time of browsing: Flight SQL's catalog commands, sent to a server in this process over loopback, with
//! catalogs of several sizes that peers have published.

use std::time::{Duration, Instant};

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use futures::TryStreamExt;
use portolan_catalog::{DomainCatalog, Port, PortRef};
use portolan_connectors::testing::{self, FakePeer, column};
use portolan_engine::Engine;
use portolan_flight_server::{Server, ServerOptions};
use portolan_node::{Error, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::measure::median;
use crate::planning::millis;
use crate::table::Table;

const DOMAINS: usize = 10;
const PORTS_PER_PRODUCT: usize = 20;
const COLUMNS: usize = 20;
/// Longer than any measurement, so that catalogs do not change.
const REFRESH_INTERVAL: Duration = Duration::from_secs(3600);

/// A catalog command.
#[derive(Clone, Copy)]
enum Command {
    TablesWithColumns,
    Tables,
    OneTable,
    Pattern,
    OneSchema,
    Schemas,
}

impl Command {
    const ALL: [Self; 6] =
        [Self::TablesWithColumns, Self::Tables, Self::OneTable, Self::Pattern, Self::OneSchema, Self::Schemas];

    fn name(self) -> &'static str {
        match self {
            Self::TablesWithColumns => "all tables with their columns",
            Self::Tables => "all tables",
            Self::OneTable => "one table by its names, with its columns",
            Self::Pattern => "tables by a pattern, with their columns",
            Self::OneSchema => "the tables of a schema, with their columns",
            Self::Schemas => "all schemas",
        }
    }

    async fn info(self, client: &mut FlightSqlServiceClient<Channel>) -> std::result::Result<FlightInfo, FlightError> {
        let text = |text: &str| Some(text.to_owned());
        let all = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
        let query = match self {
            Self::Schemas => return client.get_db_schemas(CommandGetDbSchemas::default()).await,
            Self::TablesWithColumns => all,
            Self::Tables => CommandGetTables::default(),
            Self::OneTable => CommandGetTables {
                catalog: text("d3"),
                db_schema_filter_pattern: text("p0"),
                table_name_filter_pattern: text("t7"),
                ..all
            },
            Self::Pattern => CommandGetTables { table_name_filter_pattern: text("%t7"), ..all },
            Self::OneSchema => CommandGetTables { catalog: text("d3"), db_schema_filter_pattern: text("p0"), ..all },
        };
        client.get_tables(query).await
    }
}

/// The size of an answer, and its time.
struct Answer {
    rows: usize,
    bytes: usize,
    time: Duration,
}

/// Measures the commands, and returns a table with one row for each size of the catalog and each command. Must be
/// called on a tokio runtime.
///
/// # Errors
/// A server that cannot be started or does not answer.
pub async fn measure(ports: &[u32], runs: u32) -> Result<Table> {
    let mut rows = vec![];
    for &ports in ports {
        let engine = engine(ports as usize).await?;
        let server = Server::bind(ServerOptions::new("127.0.0.1:0")).await?;
        let address = format!("http://{}", server.local_addr());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(server.serve(engine, async move { stopped.cancelled().await }));
        let measured = ask(&address, ports, runs).await;
        stop.cancel();
        serving.await.map_err(|e| Error::failed("the server failed").with_source(e))??;
        rows.extend(measured?);
    }
    Ok(Table {
        title: format!("browsing over loopback, {COLUMNS} columns per port, medians of {runs} runs"),
        columns: vec!["ports", "request", "rows", "MB", "first ms", "ms"],
        rows,
        summary: vec![],
        faults: vec![],
    })
}

async fn ask(address: &str, ports: u32, runs: u32) -> Result<Vec<Vec<serde_json::Value>>> {
    let failed = |e: tonic::transport::Error| Error::failed("cannot reach the server").with_source(e);
    let channel = Endpoint::from_shared(address.to_owned()).map_err(failed)?.connect().await.map_err(failed)?;
    let mut client = FlightSqlServiceClient::new(channel);
    let mut rows = vec![];
    for command in Command::ALL {
        let broken = |e: FlightError| Error::failed(format!("{} cannot be listed", command.name())).with_source(e);
        // For the first command, the server encodes the answer, which it reuses for the others.
        let first = answer(&mut client, command).await.map_err(broken)?;
        let mut times = vec![];
        for _ in 0..runs {
            times.push(answer(&mut client, command).await.map_err(broken)?.time);
        }
        let time = millis(median(times));
        eprintln!("{}, {ports} ports: {time:.1} ms", command.name());
        rows.push(vec![
            json!(ports),
            json!(command.name()),
            json!(first.rows),
            json!(first.bytes as f64 / 1e6),
            json!(millis(first.time)),
            json!(time),
        ]);
    }
    Ok(rows)
}

/// Sends a command and decodes the answer. The time is from the command to the last row.
async fn answer(
    client: &mut FlightSqlServiceClient<Channel>,
    command: Command,
) -> std::result::Result<Answer, FlightError> {
    let started = Instant::now();
    let info = command.info(client).await?;
    let (mut rows, mut bytes) = (0, 0);
    for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
        let mut batches = client.do_get(ticket).await?;
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows();
            // The columns of a batch share the buffer of their message.
            bytes += batch.columns().iter().filter_map(|c| c.to_data().get_slice_memory_size().ok()).sum::<usize>();
        }
    }
    Ok(Answer { rows, bytes, time: started.elapsed() })
}

async fn engine(ports: usize) -> Result<Engine> {
    let mut builder = Engine::builder().refresh_interval(REFRESH_INTERVAL);
    for domain in 0..DOMAINS {
        let domains = vec![catalog(domain, ports.div_ceil(DOMAINS))];
        builder = builder.peer(FakePeer::new(&format!("grpc://d{domain}:50051"), domains));
    }
    let engine = builder.build()?;
    engine.refresh().await;
    Ok(engine)
}

fn catalog(domain: usize, ports: usize) -> DomainCatalog {
    const TYPES: [DataType; 4] = [DataType::Int64, DataType::Utf8View, DataType::Decimal128(12, 2), DataType::Date32];
    let name = format!("d{domain}");
    let port = |number: usize| {
        let schema = format!("p{}", number / PORTS_PER_PRODUCT);
        let mut port = Port::new(PortRef::new(&name, schema, format!("t{number}")));
        port.columns = (0..COLUMNS)
            .map(|c| {
                let mut column = column(&format!("column_{c}"), TYPES[c % TYPES.len()].clone());
                column.description = Some(format!("What column {c} of port {number} means to those who read it."));
                column
            })
            .collect();
        port
    };
    testing::catalog(&name, (0..ports).map(port))
}
