//! A Flight SQL client. `datafusion-federation` queries the owners with it, and the benchmark queries Portolan's
//! gateway.

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightInfo;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};

/// A connection to a Flight SQL server. Clones share the connection.
#[derive(Clone)]
pub struct FlightClient {
    channel: Channel,
}

impl FlightClient {
    /// Connects to `address`, such as `127.0.0.1:50051`.
    pub async fn connect(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let channel = endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))?;
        Ok(Self { channel })
    }

    /// Requests a plan of a query from the server.
    pub async fn plan(&self, sql: &str) -> Result<FlightInfo, FlightError> {
        FlightSqlServiceClient::new(self.channel.clone()).execute(sql.to_owned(), None).await
    }

    /// Returns the rows of a planned query, one stream for each endpoint.
    pub async fn streams(&self, info: FlightInfo) -> Result<Vec<FlightRecordBatchStream>, FlightError> {
        let mut client = FlightSqlServiceClient::new(self.channel.clone());
        let mut streams = vec![];
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            streams.push(client.do_get(ticket).await?);
        }
        Ok(streams)
    }

    /// Returns all rows of a query.
    pub async fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let info = self.plan(sql).await?;
        let schema = info.clone().try_decode_schema()?;
        let mut batches = vec![];
        for stream in self.streams(info).await? {
            batches.extend(stream.try_collect::<Vec<_>>().await?);
        }
        if batches.iter().any(|batch| batch.num_columns() != schema.fields().len()) {
            bail!("the server sent columns that differ from its plan");
        }
        Ok((schema.into(), batches))
    }
}
