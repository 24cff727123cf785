//! A Flight SQL client: a session on a node, which runs, watches and cancels statements, and uploads rows.

mod upload;

use std::path::PathBuf;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{
    Action, CancelFlightInfoRequest, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, IpcMessage,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use portolan_connectors::node::protocol::{ACTION_PROGRESS, ProgressRequest};
use portolan_connectors::node::status::from_status;
use portolan_connectors::node::{endpoint_url, likely_cause, trusted_certificates};
use portolan_connectors::{Error, ErrorKind, Result, SiteId, with_causes};
use portolan_engine::{Progress, ResultLabel};
use prost::Message;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// The time limit of connecting and of each short call. The node itself bounds statements.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest message that the client accepts, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A login, and the certificates to trust.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// User and password. They are sent also without TLS: for a URL that [`is_exposed`], others can read them. Default: an
    /// anonymous session.
    ///
    /// [`is_exposed`]: portolan_connectors::node::is_exposed
    pub credentials: Option<(String, String)>,
    /// The certificates to trust for a `grpc+tls://` URL (PEM).
    pub ca: Option<PathBuf>,
}

/// A session on a node. A clone is cheap, and shares the session.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    site: SiteId,
    authorization: Option<AsciiMetadataValue>,
}

/// A statement that the node planned.
#[derive(Clone, Debug)]
pub struct Statement {
    info: FlightInfo,
    schema: SchemaRef,
}

impl Statement {
    /// Returns the number of rows that the statement changed, or `None` if it returns rows.
    pub fn changed(&self) -> Option<u64> {
        if self.schema.fields().is_empty() { u64::try_from(self.info.total_records).ok() } else { None }
    }

    /// Returns the columns of the rows; none for a statement without rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Client {
    /// Connects to the node at `url` and opens a session.
    ///
    /// # Errors
    /// `SiteUnavailable` if no node answers, `Unauthenticated` if the node rejects the login. Both name the URL.
    pub async fn connect(url: &str, options: &ConnectOptions) -> Result<Self> {
        let (address, tls) = endpoint_url(url)?;
        let unavailable = |what: &str| Error::new(ErrorKind::SiteUnavailable, format!("node {url}: {what}"));
        let mut endpoint = Endpoint::from_shared(address)
            .map_err(|e| unavailable("the URL is malformed").with_source(e))?
            .connect_timeout(TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(TIMEOUT)
            .keep_alive_timeout(TIMEOUT);
        if tls {
            let Some(ca) = &options.ca else {
                return Err(unavailable(
                    "a `grpc+tls://` URL needs the certificate of a trusted authority: give its file with `--ca`",
                ));
            };
            let trusted = trusted_certificates(ca).map_err(|e| e.within(format!("node {url}")))?;
            let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted));
            endpoint = endpoint.tls_config(config).map_err(|e| unavailable("TLS cannot be set up").with_source(e))?;
        }
        let channel = endpoint.connect().await.map_err(|e| match likely_cause(url, &with_causes("", &e)) {
            Some(cause) => unavailable(&cause),
            None => unavailable("cannot connect; is `portolan serve` running there, and is it the right `--url`?")
                .with_source(e),
        })?;
        let mut client = Self { channel, site: SiteId::new(url), authorization: None };
        client.authorization = client.short(client.log_in(options.credentials.as_ref())).await?;
        Ok(client)
    }

    /// Returns the node's URL.
    pub fn url(&self) -> &str {
        self.site.as_str()
    }

    /// Plans a statement at the node. A statement without rows has run when this returns.
    ///
    /// # Errors
    /// The node's error.
    pub async fn prepare(&self, sql: &str) -> Result<Statement> {
        let command = CommandStatementQuery { query: sql.into(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let response = self.flight().get_flight_info(self.request(descriptor)).await;
        let info = response.map_err(|s| self.error(&s))?.into_inner();
        let schema = match info.schema.is_empty() {
            true => Schema::empty(),
            false => Schema::try_from(IpcMessage(info.schema.clone()))
                .map_err(|e| self.nonsense("a schema that cannot be read").with_source(e))?,
        };
        Ok(Statement { info, schema: schema.into() })
    }

    /// Returns the rows of a statement, endpoint by endpoint. Dropping the stream cancels the statement.
    pub fn rows(&self, statement: &Statement) -> BoxStream<'static, Result<RecordBatch>> {
        let client = self.clone();
        stream::iter(statement.info.endpoint.clone())
            .then(move |endpoint| {
                let client = client.clone();
                async move { client.fetch(endpoint).await }
            })
            .try_flatten()
            .boxed()
    }

    /// Runs a statement and collects its rows.
    ///
    /// # Errors
    /// The node's error, of planning or of running the statement.
    pub async fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let statement = self.prepare(sql).await?;
        let batches = self.rows(&statement).try_collect().await?;
        Ok((statement.schema, batches))
    }

    /// Returns the progress of a statement, if the node still has the statement.
    pub async fn progress(&self, statement: &Statement) -> Option<Progress> {
        let ticket = statement.info.endpoint.first()?.ticket.as_ref()?;
        let ticket: TicketStatementQuery = Any::decode(&*ticket.ticket).ok()?.unpack().ok()??;
        let body = ProgressRequest { handle: ticket.statement_handle }.encode_to_vec();
        let answer = self.short(self.action(ACTION_PROGRESS, body)).await.ok()??;
        serde_json::from_slice(&answer).ok()
    }

    /// Returns the label of a statement's rows, if the node still has the statement. The label is complete when all rows
    /// have arrived.
    pub async fn label(&self, statement: &Statement) -> Option<ResultLabel> {
        self.progress(statement).await.map(|progress| progress.label)
    }

    /// Cancels a statement at the node. An error is only logged: dropping the rows cancels the statement as well.
    pub async fn cancel(&self, statement: &Statement) {
        let body = CancelFlightInfoRequest::new(statement.info.clone()).encode_to_vec();
        if let Err(e) = self.short(self.action("CancelFlightInfo", body)).await {
            tracing::debug!("cancelling: {}", e.chain());
        }
    }

    async fn log_in(&self, credentials: Option<&(String, String)>) -> Result<Option<AsciiMetadataValue>, Status> {
        let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
        if let Some((user, password)) = credentials {
            let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
            let mut basic = AsciiMetadataValue::try_from(format!("Basic {basic}"))
                .map_err(|_| Status::invalid_argument("the user and the password cannot be sent in a header"))?;
            basic.set_sensitive(true);
            request.metadata_mut().insert("authorization", basic);
        }
        let response = self.flight().handshake(request).await?;
        let mut token = response.metadata().get("authorization").cloned();
        token.iter_mut().for_each(|t| t.set_sensitive(true));
        // Reads the responses to the end of the call. Their content is not needed.
        response.into_inner().try_collect::<Vec<_>>().await?;
        Ok(token)
    }

    async fn fetch(&self, endpoint: FlightEndpoint) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let ticket = endpoint.ticket.ok_or_else(|| self.nonsense("an endpoint without a ticket"))?;
        let response = self.flight().do_get(self.request(ticket)).await.map_err(|s| self.error(&s))?;
        let client = self.clone();
        let batches = FlightRecordBatchStream::new_from_flight_data(response.into_inner().map_err(FlightError::from));
        Ok(batches.map_err(move |e| client.flight_error(e)).boxed())
    }

    async fn action(&self, kind: &str, body: Vec<u8>) -> Result<Option<bytes::Bytes>, Status> {
        let action = Action { r#type: kind.into(), body: body.into() };
        let mut results = self.flight().do_action(self.request(action)).await?.into_inner();
        Ok(results.message().await?.map(|result| result.body))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    fn flight(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn short<T>(&self, exchange: impl Future<Output = Result<T, Status>>) -> Result<T> {
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(outcome) => outcome.map_err(|s| self.error(&s)),
            Err(_) => {
                let what = format!("node {}: no answer for {} seconds", self.site, TIMEOUT.as_secs());
                Err(Error::new(ErrorKind::DeadlineExceeded, what))
            }
        }
    }

    fn error(&self, status: &Status) -> Error {
        let error = from_status(status, &self.site);
        match error.kind() {
            // These messages name the node. In every other case the statement is at fault.
            ErrorKind::SiteUnavailable | ErrorKind::Unauthenticated => error,
            kind => match error.context().strip_prefix(&format!("node {}: ", self.site)) {
                Some(said) => Error::new(kind, said).with_retry_after(error.retry_after()),
                None => error,
            },
        }
    }

    fn flight_error(&self, error: FlightError) -> Error {
        match error {
            FlightError::Tonic(status) => self.error(&status),
            other => self.nonsense("rows that cannot be read").with_source(other),
        }
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::new(ErrorKind::SiteUnavailable, format!("node {}: it sent {what}", self.site))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_node_that_is_not_there_is_named() {
        // Nothing listens on port 1 of loopback.
        let error = Client::connect("grpc://127.0.0.1:1", &ConnectOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        assert!(error.chain().contains("grpc://127.0.0.1:1"), "{}", error.chain());
    }
}
