//! A Flight SQL client that authenticates in every way.

use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, HandshakeRequest, Ticket};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{TryStreamExt, stream};
use portolan_connectors::node::endpoint_url;
use prost::Message;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// A setting that distinguishes sessions: the statements that change and show it.
const SET: &str = "SET portolan.key_wait = 17";
const SHOW: &str = "SHOW portolan.key_wait";

/// A connection, and the credentials of its calls.
#[derive(Clone)]
pub struct Caller {
    channel: Channel,
    authorization: Option<String>,
}

impl Caller {
    /// Connects.
    pub async fn connect(url: &str, tls: Option<ClientTlsConfig>) -> Result<Self, String> {
        let mut endpoint = Endpoint::from_shared(endpoint_url(url).unwrap().0).unwrap();
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls).map_err(|e| format!("{e:?}"))?;
        }
        let channel = endpoint.connect().await.map_err(|e| format!("{e:?}"))?;
        Ok(Self { channel, authorization: None })
    }

    /// Returns a caller that sends a token with each call.
    pub fn bearer(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    /// Returns a caller that sends user and password with each call.
    pub fn basic(&self, user: &str, password: &str) -> Self {
        let text = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Self { authorization: Some(format!("Basic {text}")), ..self.clone() }
    }

    /// Logs in. The returned caller sends the token of the login with each call.
    pub async fn log_in(&self) -> Result<Self, Status> {
        let first = HandshakeRequest { protocol_version: 0, payload: Default::default() };
        let answer = self.flight().handshake(self.request(stream::iter([first]))).await?;
        let given = answer.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        Ok(Self { authorization: Some(given.expect("a login returns a token")), ..self.clone() })
    }

    /// Returns the `authorization` header of the calls.
    pub fn authorization(&self) -> &str {
        self.authorization.as_deref().unwrap_or_default()
    }

    /// Plans a statement, and returns its ticket.
    pub async fn plan(&self, sql: &str) -> Result<Ticket, Status> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let info = self.flight().get_flight_info(self.request(descriptor)).await?.into_inner();
        Ok(info.endpoint[0].ticket.clone().unwrap())
    }

    /// Fetches the rows of a ticket.
    pub async fn fetch(&self, ticket: Ticket) -> Result<Vec<RecordBatch>, Status> {
        let messages = self.flight().do_get(self.request(ticket)).await?.into_inner();
        let rows = FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from));
        rows.try_collect().await.map_err(|e| match e {
            FlightError::Tonic(status) => *status,
            other => Status::unknown(other.to_string()),
        })
    }

    /// Returns the rows of a statement as text.
    pub async fn ask(&self, sql: &str) -> Result<String, Status> {
        let batches = self.fetch(self.plan(sql).await?).await?;
        Ok(pretty_format_batches(&batches).unwrap().to_string())
    }

    /// True if the node accepts the credentials.
    pub async fn is_let_in(&self) -> bool {
        self.ask("SELECT 1").await.is_ok()
    }

    /// Returns the status with which the node refuses the credentials, and panics if it accepts them.
    pub async fn refusal(&self) -> Status {
        match self.ask("SELECT 1").await {
            Ok(_) => panic!("the node accepted the credentials"),
            Err(status) => status,
        }
    }

    /// Changes the session's setting.
    pub async fn mark_session(&self) -> Result<String, Status> {
        self.ask(SET).await
    }

    /// True if the session's setting was changed.
    pub async fn is_marked(&self) -> bool {
        self.ask(SHOW).await.unwrap().contains("17")
    }

    /// True if `other` is the same principal, and so can fetch what this caller has planned.
    pub async fn is_same(&self, other: &Self) -> bool {
        let ticket = self.plan("SELECT 1").await.unwrap();
        match other.fetch(ticket).await {
            Ok(_) => true,
            Err(status) if status.message().contains("another principal") => false,
            Err(status) => panic!("{status:?}"),
        }
    }

    fn flight(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(text) = &self.authorization {
            request.metadata_mut().insert("authorization", text.parse().unwrap());
        }
        request
    }
}
