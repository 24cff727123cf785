//! The server of a node: binds the address, and serves until the node is stopped.

use portolan_flight_server::{AuthOptions, ClientCertificates, ErrorKind, Server, ServerOptions, ServerTls, User};
use tokio_util::task::AbortOnDropHandle;

use crate::config::{ClientCertificate, TokenConfig};
use crate::host::most_files;
use crate::watch::{watch_closed_ports, watch_data, watch_descriptors};
use crate::{Error, Node, Result};

/// A node that is bound to its address and does not serve yet.
#[derive(Debug)]
pub struct BoundNode {
    node: Node,
    server: Server,
}

impl Node {
    /// Binds the address that the node listens on.
    ///
    /// # Errors
    /// Options that are never valid, such as an address beyond loopback without TLS; an address that is in use; a state
    /// folder that cannot be written, if the node has a new key.
    pub async fn bind(&self) -> Result<BoundNode> {
        self.check_local_files()?;
        let options = self.server_options()?;
        self.log_connections(options.limits.connections);
        let server = Server::bind(options).await.map_err(|e| match e.kind() {
            ErrorKind::InvalidQuery => Error::config(e.chain()),
            _ => Error::failed(e.chain()),
        })?;
        self.own_key.save()?;
        self.status.has_server(&server);
        Ok(BoundNode { node: self.clone(), server })
    }

    /// Checks that [`Node::bind`] could write the state folder, without a change to it.
    ///
    /// # Errors
    /// A state folder that cannot be written, if the node has a new key.
    pub fn check_state_folder(&self) -> Result<()> {
        self.own_key.check_save()
    }

    /// Checks that [`Node::bind`] would not let clients read every file of the machine.
    ///
    /// # Errors
    /// A config with `local_files: true`, or a node that was built [for its own
    /// process](crate::NodeBuilder::with_local_files).
    pub fn check_local_files(&self) -> Result<()> {
        match self.reads_every_file {
            true => Err(Error::config(
                "`local_files: true` would let every client of the node read every file that its process can read: name \
                 a folder instead, or remove the key",
            )),
            false => Ok(()),
        }
    }

    /// Returns the options of the node's server.
    ///
    /// # Errors
    /// Keys that cannot be read, and URLs from which the server does not fetch keys.
    pub fn server_options(&self) -> Result<ServerOptions> {
        let mut options = ServerOptions::new(&self.config.listen);
        options.allow_plaintext = self.config.allow_plaintext;
        options.auth = AuthOptions {
            anonymous: Some(self.config.allows_anonymous()),
            users: self
                .config
                .users
                .iter()
                .map(|user| User {
                    name: user.name.clone(),
                    password_hash: user.password_hash.as_ref().map(|hash| hash.reveal().into()),
                    node: user.node,
                    groups: user.groups.clone(),
                    attributes: user.attributes.clone(),
                    admin: user.admin,
                })
                .collect(),
            issuers: self.config.tokens.iter().map(TokenConfig::issuer).collect::<Result<_, _>>()?,
        };
        options.delegation = self.config.delegation()?;
        options.owns_domain = self.config.domain.is_some();
        options.key = Some(self.own_key.key.clone());
        let limits = &self.config.limits;
        let connections = limits.connections.unwrap_or(options.limits.connections);
        options.limits.connections = connections.min(most_files().map_or(usize::MAX, |files| files / 2));
        options.limits.connections_per_address = limits.connections_per_address;
        options.limits.login_timeout = limits.login_timeout.map_or(options.limits.login_timeout, |length| length.0);
        options.tls = self.config.tls.as_ref().map(|tls| ServerTls {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            clients: tls.client_ca.clone().map(|ca| ClientCertificates {
                ca,
                optional: tls.client_certificate == Some(ClientCertificate::Optional),
            }),
        });
        Ok(options)
    }

    /// Logs the number of connections in effect, which is smaller than in the config if the process may open few files.
    fn log_connections(&self, most: usize) {
        tracing::info!(connections = most, "limit of connections");
        if let Some(asked) = self.config.limits.connections.filter(|asked| *asked > most) {
            tracing::warn!(
                "limits.connections is {asked}, but the process may open too few files for more than {most} \
                 connections: raise its limit of open files"
            );
        }
    }
}

impl BoundNode {
    /// Returns the URL at which clients and other nodes reach the node.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Serves callers until `stop` completes, and then drains: running statements may finish within a grace period.
    /// While it serves, the node applies changed descriptors and data. On Unix, SIGHUP reloads the descriptors at once.
    ///
    /// # Errors
    /// A listener that fails.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let _descriptors = AbortOnDropHandle::new(tokio::spawn(watch_descriptors(self.node.clone())));
        let _data = AbortOnDropHandle::new(tokio::spawn(watch_data(self.node.clone())));
        let _closed_ports = AbortOnDropHandle::new(tokio::spawn(watch_closed_ports(self.node.clone())));
        let served = self.server.serve(self.node.engine, stop).await;
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = &self.node.telemetry {
            telemetry.stop().await;
        }
        Ok(served?)
    }
}
