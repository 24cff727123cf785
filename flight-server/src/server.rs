//! The listener: binds an address, serves Flight and gRPC health at that address, and drains when it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use portolan_connectors::node::NodeKey;
use portolan_engine::{Engine, Error, ErrorKind, Result};
use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::server::NamedService;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server as Transport;

use crate::callers::{Access, Authenticator, Delegations, Rules};
use crate::calls::Service;
use crate::dispatch::{FlightServer, reflection};
use crate::health::{Readiness, Reporter, check_engine};
use crate::listener::{Bounded, Connections, Tls, WithAbortFlag, encrypted, note_request, plain};
use crate::options::{AuthOptions, DelegationOptions, ServerLimits, ServerOptions, ServerTls, needs_audiences};

/// The interval between probes of a connection, and the timeout of a probe.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The largest number of open streams on one connection. No query comes near it: streams that wait for their reader
/// must not keep out the stream that the reader waits for.
const STREAMS_PER_CONNECTION: u32 = 4096;
/// The interval at which expired sessions and statements are dropped.
const SWEEP: Duration = Duration::from_secs(30);
/// The time for the last messages after the grace period.
const FAREWELL: Duration = Duration::from_secs(2);

/// A bound listener that does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    bound: Bound,
    tls: Option<Tls>,
    access: Arc<Access>,
    key: Arc<NodeKey>,
    limits: ServerLimits,
    readiness: Readiness,
    connections: Arc<Connections>,
}

/// The facts about a server on which the accepted credentials depend.
#[derive(Clone, Debug)]
struct Bound {
    /// The address to listen on, as the options have it.
    listen: String,
    /// The actual address.
    address: SocketAddr,
    scheme: &'static str,
    /// True if the server requests client certificates.
    certificates: bool,
    /// The number of passwords that are checked at once.
    password_checks: usize,
    /// True if the node owns a domain.
    owns_domain: bool,
}

/// A handle that replaces the accepted credentials of a server, also while it serves.
#[derive(Clone, Debug)]
pub struct AccessControl {
    bound: Bound,
    access: Arc<Access>,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// - `InvalidQuery` if the options are invalid: an address that cannot be resolved, an address off loopback without
    ///   TLS, a malformed certificate or password hash, or no way to log in.
    /// - `SiteUnavailable` if the address is in use.
    pub async fn bind(options: ServerOptions) -> Result<Self> {
        let listen = &options.listen;
        let candidates: Vec<SocketAddr> = lookup_host(listen)
            .await
            .map_err(|e| invalid(format!("cannot listen on `{listen}`: expected `host:port`")).with_source(e))?
            .collect();
        let listener = TcpListener::bind(candidates.as_slice()).await.map_err(|e| {
            let hint = match e.kind() {
                std::io::ErrorKind::AddrInUse => ": another process listens there",
                _ => "",
            };
            Error::new(ErrorKind::SiteUnavailable, format!("cannot listen on `{listen}`{hint}")).with_source(e)
        })?;
        let address = listener
            .local_addr()
            .map_err(|e| Error::new(ErrorKind::Internal, "the listener has no address").with_source(e))?;
        let loopback = address.ip().is_loopback();
        if !loopback && options.tls.is_none() && !options.allow_plaintext {
            return Err(invalid(format!(
                "refusing to listen on {address} without TLS: give a certificate, or allow plaintext explicitly"
            )));
        }
        let bound = Bound {
            listen: options.listen,
            address,
            scheme: if options.tls.is_some() { "grpc+tls" } else { "grpc" },
            certificates: options.tls.as_ref().is_some_and(|tls| tls.clients.is_some()),
            password_checks: options.limits.password_checks,
            owns_domain: options.owns_domain,
        };
        let rules = bound.rules(options.auth, options.delegation).await?;
        let key = match options.key {
            Some(key) => key,
            None => Arc::new(NodeKey::from_pem(NodeKey::generate()?.as_bytes())?),
        };
        let tls = match options.tls {
            Some(files) => Some(Tls::load(files).await?),
            None => None,
        };
        let limits = options.limits;
        let (readiness, connections) = (Readiness::default(), Connections::new(&limits));
        let access = Access::new(rules, &limits);
        Ok(Self { listener, bound, tls, access, key, limits, readiness, connections })
    }

    /// Checks that the TLS files of a listener can be read and used together.
    ///
    /// # Errors
    /// `InvalidQuery` if they cannot.
    pub async fn check_tls(files: ServerTls) -> Result<()> {
        Tls::load(files).await.map(drop)
    }

    /// Returns the address, with the actual port.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.address
    }

    /// Returns the URL for other nodes and clients.
    pub fn url(&self) -> String {
        self.bound.url()
    }

    /// Returns a handle that replaces the accepted credentials.
    pub fn access(&self) -> AccessControl {
        AccessControl { bound: self.bound.clone(), access: self.access.clone() }
    }

    /// Returns the readiness of the server, which changes while it serves.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Returns the open connections, whose number changes while the server serves.
    pub fn connections(&self) -> Arc<Connections> {
        self.connections.clone()
    }

    /// Serves callers until `stop` completes. It then accepts no new callers, lets running streams go on for the grace
    /// period, and ends the remaining ones.
    ///
    /// # Errors
    /// `Internal` if the listener fails.
    pub async fn serve(self, engine: Engine, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let Self { listener, bound, tls, access, key, limits, readiness, connections } = self;
        let Bound { address, scheme, .. } = bound;
        let end_streams = CancellationToken::new();
        let service = Service::new(engine.clone(), access, key, &limits, end_streams.clone())?;
        let service = Arc::new(service);
        let _sweeper = AbortOnDropHandle::new(tokio::spawn(sweep(service.clone())));
        let flight = FlightServer::new(service, limits.request_bytes);
        let flight = WithAbortFlag(Bounded::new(flight, limits.request_bytes));
        let (reporter, health) = tonic_health::server::health_reporter();
        let name = <FlightServer<Service> as NamedService>::NAME;
        let reporter = Arc::new(Reporter::new(reporter, name, readiness.clone()));
        readiness.responded(Instant::now());
        reporter.report().await;
        let _checks = AbortOnDropHandle::new(tokio::spawn(check_engine(engine, readiness.clone())));
        let _reports = AbortOnDropHandle::new(tokio::spawn(reporter.clone().keep_reporting()));

        let draining = CancellationToken::new();
        let drained = draining.clone().cancelled_owned();
        let router = transport()
            .add_service(InterceptedService::new(health, note_request))
            .add_service(InterceptedService::new(reflection()?, note_request))
            .add_service(flight);
        let _watcher = tls.as_ref().map(Tls::watch);
        let serving = match tls {
            Some(tls) => router.serve_with_incoming_shutdown(encrypted(listener, connections, tls), drained).boxed(),
            None => router.serve_with_incoming_shutdown(plain(listener, connections), drained).boxed(),
        };
        tokio::pin!(serving);
        tracing::info!("listening on {scheme}://{address}");

        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = stop => None,
        };
        let ended = match ended {
            Some(ended) => Some(ended),
            None => {
                tracing::info!(%address, "stopping: running statements may finish");
                readiness.stop();
                reporter.report().await;
                draining.cancel();
                match tokio::time::timeout(limits.grace, &mut serving).await {
                    Ok(ended) => Some(ended),
                    Err(_) => {
                        tracing::warn!(%address, "stopping: ending the statements that still run");
                        end_streams.cancel();
                        tokio::time::timeout(FAREWELL, &mut serving).await.ok()
                    }
                }
            }
        };
        end_streams.cancel();
        match ended {
            Some(Err(e)) => {
                Err(Error::new(ErrorKind::Internal, format!("the listener at {address} failed")).with_source(e))
            }
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Bound {
    fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Returns the rules that follow these options.
    async fn rules(&self, auth: AuthOptions, delegation: DelegationOptions) -> Result<Rules> {
        let authenticator = self.authenticator(&auth, &delegation).await?;
        let delegations = self.delegations(&delegation)?;
        Ok(Rules { authenticator, delegations, auth, delegation })
    }

    async fn authenticator(&self, auth: &AuthOptions, delegation: &DelegationOptions) -> Result<Authenticator> {
        let Self { address, certificates, password_checks, .. } = *self;
        let nodes = !delegation.trusted.is_empty();
        let somebody = !auth.users.is_empty() || !auth.issuers.is_empty() || certificates || nodes;
        let anonymous = auth.anonymous.unwrap_or(address.ip().is_loopback() && !somebody);
        if !anonymous && !somebody {
            return Err(invalid(format!(
                "nobody could log in at {address}: configure users or issuers of tokens, or allow anonymous callers \
                 explicitly"
            )));
        }
        let authenticator = Authenticator::new(auth, anonymous, certificates, password_checks)?;
        authenticator.check_files().await?;
        Ok(authenticator)
    }

    /// Creates the checks of delegation.
    fn delegations(&self, delegation: &DelegationOptions) -> Result<Delegations> {
        let Self { listen, address, scheme, owns_domain, .. } = self;
        let is_needed = needs_audiences(address.ip(), !delegation.trusted.is_empty(), *owns_domain);
        if is_needed && delegation.audiences.is_empty() {
            return Err(invalid(format!(
                "the URLs of a node that listens on {address} are unknown: set `node.audiences`"
            )));
        }
        Delegations::new(delegation, vec![self.url(), format!("{scheme}://{listen}")])
    }
}

impl AccessControl {
    /// Replaces the accepted credentials. Sessions and calls go on if the new credentials grant their callers the same
    /// rights. The other sessions are closed, their queries are cancelled, and the other calls end. Returns the number of
    /// closed sessions.
    ///
    /// # Errors
    /// `InvalidQuery` if the options are invalid, as for [`Server::bind`]. The present credentials then stay.
    pub async fn replace(&self, auth: AuthOptions, delegation: DelegationOptions) -> Result<usize> {
        if self.access.rules().follow(&auth, &delegation) {
            return Ok(0);
        }
        Ok(self.access.replace(self.bound.rules(auth, delegation).await?))
    }
}

/// Drops expired sessions and statements at intervals, with their tables and results.
async fn sweep(service: Arc<Service>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        service.statements.sweep();
        service.callers.access.sessions.sweep();
    }
}

fn transport() -> Transport {
    Transport::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
}

fn invalid(context: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}
