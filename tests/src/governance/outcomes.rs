//! What a principal observes of a statement: columns, rows and errors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::sql::CommandGetTables;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use futures::TryStreamExt;
use portolan_connectors::SiteId;
use portolan_connectors::node::status::from_status;
use portolan_engine::{Error, ErrorKind};
use portolan_node::client::Client;
use tonic::transport::{Channel, Endpoint};

use super::meshes::PASSWORD;
use crate::node::Node;
use crate::ways::{is_ordered, lines};

/// What a principal observes of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The columns and the rows.
    Rows(String, Vec<String>),
    /// The error.
    Failed(ErrorKind, String),
}

impl Outcome {
    /// Returns the outcome of a statement. Rows without an order are sorted.
    pub fn of(sql: &str, result: Result<(SchemaRef, Vec<RecordBatch>), Error>) -> Self {
        match result {
            Ok((schema, batches)) => {
                let mut rows = lines(&batches);
                if !is_ordered(sql) && !sql.starts_with("EXPLAIN") {
                    rows.sort();
                }
                Self::Rows(columns(&schema), rows)
            }
            Err(error) => Self::Failed(error.kind(), error.chain()),
        }
    }

    /// Returns the outcome without the words of an error.
    #[must_use]
    pub fn without_words(self) -> Self {
        match self {
            Self::Failed(kind, _) => Self::Failed(kind, String::new()),
            rows @ Self::Rows(..) => rows,
        }
    }

    /// Returns the outcome with other words of each row and error.
    #[must_use]
    pub fn map_text(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Rows(columns, rows) => Self::Rows(columns, rows.iter().map(|row| change(row)).collect()),
            Self::Failed(kind, text) => Self::Failed(kind, change(&text)),
        }
    }

    /// Returns all words.
    pub fn text(&self) -> String {
        match self {
            Self::Rows(columns, rows) => format!("{columns}\n{}", rows.join("\n")),
            Self::Failed(kind, text) => format!("{kind:?}: {text}"),
        }
    }

    /// Returns the number of rows; `None` for an error.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Self::Rows(_, rows) => Some(rows.len()),
            Self::Failed(..) => None,
        }
    }
}

fn columns(schema: &Schema) -> String {
    let column = |field: &FieldRef| {
        let metadata: BTreeMap<_, _> = field.metadata().iter().collect();
        format!("{} {} {} {metadata:?}", field.name(), field.data_type(), field.is_nullable())
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Returns what a client observes of a statement.
pub async fn observed(client: &Client, sql: &str) -> Outcome {
    Outcome::of(sql, client.query(sql).await)
}

/// A client that sees the messages of Flight SQL.
#[derive(Debug)]
pub struct FlightSession {
    client: FlightSqlServiceClient<Channel>,
    site: SiteId,
}

impl FlightSession {
    /// Opens a session of a user, with these settings.
    pub async fn login(node: &Node, user: &str, settings: &[(&str, &str)]) -> Self {
        let address = node.url().replace("grpc://", "http://");
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        client.handshake(user, PASSWORD).await.unwrap();
        for (name, value) in settings {
            client.execute_update(format!("SET {name} = {value}"), None).await.unwrap();
        }
        Self { client, site: SiteId::new(node.url()) }
    }

    /// Returns what the client observes of a statement that it prepares and runs twice. The second run has the same
    /// outcome.
    pub async fn prepared(&mut self, sql: &str) -> Outcome {
        let mut prepared = match self.prepare(sql).await {
            Ok(prepared) => prepared,
            Err(outcome) => return outcome,
        };
        let first = self.run(sql, &mut prepared).await;
        let second = self.run(sql, &mut prepared).await;
        // The node forgets the statement with the session, too.
        let _ = prepared.close().await;
        assert_eq!(first, second, "the second run of {sql}");
        second
    }

    /// Prepares a statement.
    pub async fn prepare(&mut self, sql: &str) -> Result<PreparedStatement<Channel>, Outcome> {
        let prepared = self.client.prepare(sql.to_owned(), None).await;
        prepared.map_err(|e| self.failed(e))
    }

    /// Runs a prepared statement.
    pub async fn run(&mut self, sql: &str, prepared: &mut PreparedStatement<Channel>) -> Outcome {
        match prepared.execute().await {
            Ok(info) => self.fetched(sql, info).await,
            Err(error) => self.failed(error),
        }
    }

    /// Plans a statement. Returns the information that a client gets before any row: the number of rows and bytes.
    pub async fn announced(&mut self, sql: &str) -> Result<(i64, i64, usize), Outcome> {
        match self.client.execute(sql.to_owned(), None).await {
            Ok(info) => Ok((info.total_records, info.total_bytes, info.endpoint.len())),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Plans a statement. Returns the information with which the client fetches the rows.
    pub async fn info(&mut self, sql: &str) -> Result<FlightInfo, Outcome> {
        let info = self.client.execute(sql.to_owned(), None).await;
        info.map_err(|e| self.failed(e))
    }

    /// Runs a statement that changes something.
    pub async fn update(&mut self, sql: &str) -> Result<i64, Outcome> {
        let changed = self.client.execute_update(sql.to_owned(), None).await;
        changed.map_err(|e| self.failed(e))
    }

    /// Returns the names of the tables of a catalog, as `GetTables` lists them.
    pub async fn tables(&mut self, catalog: &str) -> Vec<String> {
        let query = CommandGetTables { catalog: Some(catalog.to_owned()), ..CommandGetTables::default() };
        let info = self.client.get_tables(query).await.unwrap();
        let (_, batches) = self.fetch(info).await.unwrap();
        lines(&batches).iter().filter_map(|line| Some(line.split('|').nth(2)?.to_owned())).collect()
    }

    /// Returns the rows of a statement.
    pub async fn rows(&mut self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), FlightError> {
        let info = self.client.execute(sql.to_owned(), None).await?;
        self.fetch(info).await
    }

    /// Runs a statement, and returns the application's metadata of each message with its rows.
    pub async fn metadata(&mut self, sql: &str) -> Vec<Vec<u8>> {
        let info = self.client.execute(sql.to_owned(), None).await.unwrap();
        let mut all = vec![];
        for endpoint in info.endpoint {
            let messages = self.client.do_get(endpoint.ticket.unwrap()).await.unwrap().into_inner();
            let metadata = messages.map_ok(|message| message.app_metadata().to_vec());
            all.extend(metadata.try_collect::<Vec<_>>().await.unwrap());
        }
        all
    }

    /// Returns what the client observes when it fetches the rows of a statement.
    pub async fn fetched(&mut self, sql: &str, info: FlightInfo) -> Outcome {
        match self.fetch(info).await {
            Ok(rows) => Outcome::of(sql, Ok(rows)),
            Err(error) => self.failed(error),
        }
    }

    async fn fetch(&mut self, info: FlightInfo) -> Result<(SchemaRef, Vec<RecordBatch>), FlightError> {
        let mut all = vec![];
        let mut schema: SchemaRef = Schema::empty().into();
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.expect("an endpoint has a ticket");
            let mut rows = self.client.do_get(ticket).await?;
            while let Some(batch) = rows.try_next().await? {
                all.push(batch);
            }
            if let Some(known) = rows.schema() {
                schema = known.clone();
            }
        }
        Ok((schema, all))
    }

    fn failed(&self, error: FlightError) -> Outcome {
        match error {
            FlightError::Tonic(status) => {
                let error = from_status(&status, &self.site);
                Outcome::Failed(error.kind(), error.chain())
            }
            other => panic!("{other}"),
        }
    }
}
