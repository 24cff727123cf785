//! The connection to one node. It is opened on first use and opened again after a failure, with a login and the version
//! handshake. This module runs on the I/O runtime.

use std::sync::{Arc, Mutex as SyncMutex};
use std::time::{Duration, Instant};

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, Ticket};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::TryFutureExt;
use prost::Message;
use tokio::sync::Mutex;
use tokio::time::timeout_at;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use super::endpoint::endpoint_url;
use super::options::{NodeCredentials, NodeOptions, is_exposed};
use super::protocol::{
    ACTION_CATALOG, ACTION_DECISIONS, ACTION_HELLO, FragmentTicket, MAX_MESSAGE_BYTES, NodeHello, QUERY_ID_KEY,
    TRACEPARENT_KEY, TRACESTATE_KEY,
};
use super::reported;
use super::status::{from_status, to_status};
use super::token::NodeIdentity;
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{FragmentHead, FragmentRequest};
use crate::poison::lock;
use crate::site::SiteId;

/// The time limit of connecting, and of each step that opens a connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval of keep-alive probes, and the time limit of their answers. A node that hangs is noticed after both.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The bytes of one stream that may be in flight before the reader consumes them.
const STREAM_WINDOW: u32 = 2 << 20;
/// Only the number of streams bounds all streams of a connection together. With a tighter bound, streams that wait for
/// their reader could block the stream that this reader waits for.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

pub(super) struct Connection {
    site: SiteId,
    channel: Channel,
    credentials: Option<NodeCredentials>,
    signer: Signer,
    /// True if the node must not be at an address of the local machine, its link or its cloud.
    must_be_elsewhere: bool,
    /// The size of the largest catalog that is accepted, in bytes, if it is not that of every message.
    max_catalog_bytes: Option<usize>,
    state: Mutex<State>,
    /// True if the node accepts fragments from the local node, as it reported in the last handshake. `None` if it has
    /// not reported this.
    takes_fragments: SyncMutex<Option<bool>>,
}

/// The identity that signs tokens for the node.
struct Signer {
    identity: Option<Arc<NodeIdentity>>,
    audience: String,
}

/// The outcome of the last attempt to open the connection.
enum State {
    Unopened,
    Opened(Opened),
    Failed { at: Instant, kind: ErrorKind, context: String },
}

/// A time limit, and the kind of error when it is exceeded: the query ran out of time, or the node does not answer.
#[derive(Clone, Copy)]
pub(super) struct Until {
    at: Instant,
    kind: ErrorKind,
}

impl Until {
    /// Returns the limit of a query's deadline.
    pub(super) fn deadline(at: Instant) -> Self {
        Self { at, kind: ErrorKind::DeadlineExceeded }
    }

    /// Returns the limit for a small answer of a healthy node.
    pub(super) fn small_answer() -> Self {
        Self { at: Instant::now() + OPEN_TIMEOUT, kind: ErrorKind::SiteUnavailable }
    }

    pub(super) fn sooner(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }
}

/// The state of an open connection.
#[derive(Clone)]
struct Opened {
    authorization: Option<AsciiMetadataValue>,
}

impl Connection {
    /// Prepares a connection without sending anything. Must be called on the I/O runtime.
    pub(super) fn new(site: &SiteId, options: &NodeOptions) -> Result<Self> {
        let url = site.as_str();
        let invalid = |what: &str| Error::new(ErrorKind::InvalidQuery, format!("node {url}: {what}"));
        let (address, tls) = endpoint_url(url)?;
        let mut endpoint = Endpoint::from_shared(address)
            .map_err(|e| invalid("the URL is malformed").with_source(e))?
            .connect_timeout(OPEN_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        if tls {
            let config = options.tls.load(url)?;
            endpoint = endpoint.tls_config(config).map_err(|e| invalid("TLS cannot be set up").with_source(e))?;
        }
        let has_secrets = options.credentials.is_some() || options.identity.is_some();
        if has_secrets && is_exposed(url) && !options.allow_plaintext {
            return Err(invalid(
                "refusing to send a password or a signed token without TLS: use `grpc+tls://`, or allow plaintext \
                 explicitly",
            ));
        }
        if options.credentials.as_ref().is_some_and(|c| c.user.contains(':')) {
            return Err(invalid("the user's name must not contain a colon"));
        }
        Ok(Self {
            site: site.clone(),
            channel: endpoint.connect_lazy(),
            credentials: options.credentials.clone(),
            signer: Signer {
                identity: options.identity.clone(),
                audience: options.audience.clone().unwrap_or_else(|| url.to_owned()),
            },
            must_be_elsewhere: options.must_be_elsewhere,
            max_catalog_bytes: options.max_catalog_bytes,
            state: Mutex::new(State::Unopened),
            takes_fragments: SyncMutex::default(),
        })
    }

    /// Returns the name of the node in tokens that the local node signs for it: its URL, or the name in the options.
    pub(super) fn audience(&self) -> &str {
        &self.signer.audience
    }

    /// Returns true if the node accepts fragments from the local node, as it reported when the connection was last
    /// opened. `None` if it has not reported this.
    pub(super) fn takes_fragments(&self) -> Option<bool> {
        *lock(&self.takes_fragments)
    }

    /// Sends a fragment.
    pub(super) async fn do_get(&self, fragment: &FragmentRequest, until: Until) -> Result<Streaming<FlightData>> {
        let headers = self.fragment_headers(&fragment.head)?;
        self.call(until, |mut client, authorization| {
            let ticket = self.ticket(fragment);
            let headers = headers.clone();
            async move {
                let request = fragment_call(Ticket { ticket: ticket? }, authorization, headers);
                Ok(client.do_get(request).await?.into_inner())
            }
        })
        .await
    }

    /// Requests the expected size of a fragment's result.
    pub(super) async fn flight_info(&self, fragment: &FragmentRequest, until: Until) -> Result<FlightInfo> {
        let headers = self.fragment_headers(&fragment.head)?;
        self.call(until, |mut client, authorization| {
            let ticket = self.ticket(fragment);
            let headers = headers.clone();
            async move {
                let request = fragment_call(FlightDescriptor::new_cmd(ticket?), authorization, headers);
                Ok(client.get_flight_info(request).await?.into_inner())
            }
        })
        .await
    }

    /// Encodes the fragment as a ticket, signed again for each call because the receiver accepts a token only once.
    fn ticket(&self, fragment: &FragmentRequest) -> Result<Bytes, Status> {
        let Signer { identity, audience } = &self.signer;
        let signed = identity.as_ref().map(|identity| identity.identity(audience, fragment)).transpose();
        signed.and_then(|identity| FragmentTicket::bytes(fragment, identity)).map_err(|e| to_status(&e))
    }

    /// Sends a request for decisions, which has the head of a fragment.
    pub(super) async fn decisions(&self, request: &FragmentRequest, until: Until) -> Result<Bytes> {
        self.call(until, |_, authorization| {
            let (client, ticket) = (self.action_client(), self.ticket(request));
            async move { action(client, authorization, ACTION_DECISIONS.to_owned(), ticket?).await }
        })
        .await
    }

    /// Requests the catalog of the node.
    pub(super) async fn catalog(&self, request: Bytes, until: Until) -> Result<Bytes> {
        self.call(until, |_, authorization| {
            let (client, most) = (self.action_client(), self.max_catalog_bytes);
            let answer = action(client, authorization, ACTION_CATALOG.to_owned(), request.clone());
            answer.map_err(move |status| about_size(status, most))
        })
        .await
    }

    /// Opens the connection if needed, and makes the call. If the node rejects the session, opens the connection again,
    /// once.
    async fn call<T, F>(
        &self,
        until: Until,
        make: impl Fn(FlightServiceClient<Channel>, Option<AsciiMetadataValue>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut again = self.credentials.is_some() || self.signer.identity.is_some();
        loop {
            let opened = self.bounded(until, self.open(until)).await??;
            let outcome = self.bounded(until, make(self.client(), opened.authorization)).await?;
            let error = match outcome {
                Ok(value) => return Ok(value),
                Err(status) => from_status(&status, &self.site),
            };
            // The next process at this address may be another one, with another version, that does not know the token.
            if matches!(error.kind(), ErrorKind::SiteUnavailable | ErrorKind::Unauthenticated) {
                *self.state.lock().await = State::Unopened;
            }
            if error.kind() != ErrorKind::Unauthenticated || !again {
                return Err(error);
            }
            again = false;
        }
    }

    async fn open(&self, until: Until) -> Result<Opened> {
        let called = Instant::now();
        let mut state = self.state.lock().await;
        match &*state {
            State::Opened(opened) => return Ok(opened.clone()),
            // Opening failed while this call waited. If each waiting call tried again, they would fail one after
            // another.
            State::Failed { at, kind, context } if *at >= called => return Err(Error::new(*kind, context)),
            State::Unopened | State::Failed { .. } => {}
        }
        let outcome = self.open_now(until.sooner(Until::small_answer())).await;
        *state = match &outcome {
            Ok(opened) => State::Opened(opened.clone()),
            // The time limit of this call was too short. Other calls may succeed.
            Err(e) if e.kind() == ErrorKind::DeadlineExceeded => State::Unopened,
            Err(e) => State::Failed { at: Instant::now(), kind: e.kind(), context: e.chain() },
        };
        outcome
    }

    /// Logs in, and exchanges versions with the node.
    async fn open_now(&self, until: Until) -> Result<Opened> {
        if self.must_be_elsewhere {
            let checked = self.bounded(until, reported::check_addresses(self.site.as_str())).await?;
            checked.map_err(|what| self.error(ErrorKind::SiteUnavailable, &what))?;
        }
        let authorization = match self.claim()? {
            Some(claim) => Some(self.bounded(until, self.log_in(claim)).await??),
            None => None,
        };
        let hello = NodeHello { proof: self.login_token()?, ..NodeHello::current() };
        let hello = Bytes::from(hello.encode_to_vec());
        let answer = self
            .bounded(until, action(self.action_client(), authorization.clone(), ACTION_HELLO.to_owned(), hello))
            .await?
            .map_err(|status| from_status(&status, &self.site))?;
        let theirs = NodeHello::decode(answer)
            .map_err(|e| self.error(ErrorKind::SiteUnavailable, "the version handshake is malformed").with_source(e))?;
        NodeHello::current().check(&theirs).map_err(|e| e.within(format!("node {}", self.site)))?;
        *lock(&self.takes_fragments) = theirs.takes_fragments;
        Ok(Opened { authorization })
    }

    /// Returns the credentials of the login: user and password, or else a token that the local node signs.
    fn claim(&self) -> Result<Option<AsciiMetadataValue>> {
        let claim = match &self.credentials {
            Some(NodeCredentials { user, password }) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            None => self.login_token()?.map(|token| format!("Bearer {token}")),
        };
        let Some(claim) = claim else { return Ok(None) };
        let mut claim = AsciiMetadataValue::try_from(claim)
            .map_err(|_| self.error(ErrorKind::InvalidQuery, "the user and the password cannot be sent in a header"))?;
        claim.set_sensitive(true);
        Ok(Some(claim))
    }

    /// Returns a token that authenticates the local node to the other node, if the local node has a key.
    pub(super) fn login_token(&self) -> Result<Option<String>> {
        let Signer { identity, audience } = &self.signer;
        identity.as_ref().map(|identity| identity.login(audience)).transpose()
    }

    /// Logs in with these credentials, and returns the session's token.
    async fn log_in(&self, claim: AsciiMetadataValue) -> Result<AsciiMetadataValue> {
        let mut request = Request::new(futures::stream::iter([HandshakeRequest::default()]));
        request.metadata_mut().insert("authorization", claim);
        let response = self.client().handshake(request).await.map_err(|status| from_status(&status, &self.site))?;
        let mut token = response
            .metadata()
            .get("authorization")
            .cloned()
            .ok_or_else(|| self.error(ErrorKind::SiteUnavailable, "the login was answered without a token"))?;
        token.set_sensitive(true);
        Ok(token)
    }

    /// Waits for `what`, at most until the time limit.
    async fn bounded<T>(&self, until: Until, what: impl Future<Output = T>) -> Result<T> {
        timeout_at(until.at.into(), what).await.map_err(|_| self.error(until.kind, "it did not answer in time"))
    }

    fn client(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn action_client(&self) -> FlightServiceClient<Channel> {
        self.client().max_decoding_message_size(self.max_catalog_bytes.unwrap_or(MAX_MESSAGE_BYTES))
    }

    /// Returns the headers that go with a fragment: the query's id and the trace.
    fn fragment_headers(&self, head: &FragmentHead) -> Result<MetadataMap> {
        let mut headers = MetadataMap::new();
        let traceparent = head.trace.traceparent();
        let given = [(QUERY_ID_KEY, Some(head.query_id.as_str())), (TRACEPARENT_KEY, Some(traceparent.as_str()))];
        for (name, value) in given.into_iter().chain([(TRACESTATE_KEY, head.trace.tracestate())]) {
            let Some(value) = value else { continue };
            let value = AsciiMetadataValue::try_from(value).map_err(|e| {
                self.error(ErrorKind::Internal, &format!("`{name}` of the query cannot be sent in a header"))
                    .with_source(e)
            })?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("node {}: {what}", self.site))
    }
}

/// Explains the status of a catalog that the decoder of this client has refused, because it has more than `most` bytes.
/// Returns the status of any other failure unchanged.
fn about_size(status: Status, most: Option<usize>) -> Status {
    let is_refused = status.code() == Code::OutOfRange && status.message().contains("decoded message length");
    match most.filter(|_| is_refused) {
        Some(most) => Status::out_of_range(format!(
            "expected a catalog of at most {most} bytes from a node that another node reports: to accept a larger one, \
             list the node in `peers` of the local node: {}",
            status.message()
        )),
        None => status,
    }
}

fn authorize<T>(request: &mut Request<T>, authorization: Option<AsciiMetadataValue>) {
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value);
    }
}

fn fragment_call<T>(message: T, authorization: Option<AsciiMetadataValue>, headers: MetadataMap) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = headers;
    authorize(&mut request, authorization);
    request
}

async fn action(
    mut client: FlightServiceClient<Channel>,
    authorization: Option<AsciiMetadataValue>,
    kind: String,
    body: Bytes,
) -> Result<Bytes, Status> {
    let mut request = Request::new(Action { r#type: kind, body });
    authorize(&mut request, authorization);
    let mut answers = client.do_action(request).await?.into_inner();
    let answer = answers.message().await?;
    answer.map(|a| a.body).ok_or_else(|| Status::internal("the action was answered without a result"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_catalog_that_this_client_has_refused_is_too_large() {
        let refused = || Status::out_of_range("Error, decoded message length too large: found 300 bytes");
        let explained = about_size(refused(), Some(256));
        let error = from_status(&explained, &SiteId::new("grpc://geo:1"));
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        let expected = "node grpc://geo:1: expected a catalog of at most 256 bytes";
        assert!(error.context().starts_with(expected) && error.context().ends_with("found 300 bytes"), "{error}");
        let others = [
            (refused(), None),
            (to_status(&Error::new(ErrorKind::ResourceExhausted, "too many sessions")), Some(256)),
            (Status::out_of_range("Error, encoded message length too large"), Some(256)),
        ];
        for (status, most) in others {
            assert_eq!(about_size(status.clone(), most).message(), status.message());
        }
    }
}
