//! The server of a node: binds the address, and serves until the node is stopped.

use portolan_flight_server::{ErrorKind, Server, ServerOptions};
use tokio_util::task::AbortOnDropHandle;

use crate::assemble::NodeBuilder;
use crate::audit::close;
use crate::config::TlsConfig;
use crate::host::most_files;
use crate::watch::{FileWatch, watch_closed_ports, watch_data};
use crate::{Error, Node, Result};

/// A node that is bound to its address and does not serve yet.
#[derive(Debug)]
pub struct BoundNode {
    node: Node,
    server: Server,
    files: FileWatch,
}

impl NodeBuilder {
    /// Checks the config, the descriptors, the policies, a sample of the data, the TLS files and the state folder, as a
    /// node needs them that serves. Listens nowhere, and writes nothing.
    ///
    /// # Errors
    /// Every fault that was found.
    pub async fn check(self) -> Result<()> {
        let (tls, file) = (self.config.tls.clone(), self.config.file.clone().unwrap_or_default());
        let mut faults = vec![];
        if let Err(e) = check_local_files(self.config.reads_every_file(self.reads_local_files)) {
            faults.push(format!("{}: {}", file.display(), e.owner_chain()));
        }
        if let Some(Err(e)) = check_tls(tls.as_ref()).await {
            faults.push(format!("{}: tls: {}", file.display(), e.chain()));
        }
        match self.without_services().require_sources().build_in_part().await {
            Ok((node, of_ports)) => {
                faults.extend(of_ports.iter().map(ToString::to_string));
                faults.extend(node.policy_errors().await?.iter().map(ToString::to_string));
                faults.extend(node.own_key.check_save().err().map(|e| e.owner_chain()));
                faults.extend(node.test_data().await.err().map(|e| e.owner_chain()));
            }
            Err(e) => faults.push(e.owner_chain()),
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::config(faults.join("\n"))) }
    }
}

/// Refuses to serve a node whose clients could read every file of its machine.
fn check_local_files(reads_every_file: bool) -> Result<()> {
    match reads_every_file {
        true => Err(Error::config(
            "`local_files: true` would let every client of the node read every file that its process can read: name a \
             folder instead, or remove the key",
        )),
        false => Ok(()),
    }
}

async fn check_tls(tls: Option<&TlsConfig>) -> Option<portolan_flight_server::Result<()>> {
    Some(Server::check_tls(tls?.files()).await)
}

impl Node {
    /// Binds the address that the node listens on.
    ///
    /// # Errors
    /// Options that are never valid, such as an address beyond loopback without TLS; an address that is in use; a state
    /// folder that cannot be written, if the node has a new key.
    pub async fn bind(&self) -> Result<BoundNode> {
        check_local_files(self.reads_every_file)?;
        let options = self.server_options()?;
        self.log_connections(options.limits.connections);
        let server = Server::bind(options).await.map_err(|e| match e.kind() {
            ErrorKind::InvalidQuery => Error::config(e.chain()),
            _ => Error::failed(e.chain()),
        })?;
        self.own_key.save()?;
        self.status.has_server(&server);
        // A client that learns the address may send a signal at once.
        let files = FileWatch::start(self).await;
        Ok(BoundNode { node: self.clone(), server, files })
    }

    /// Returns the options of the node's server.
    ///
    /// # Errors
    /// Keys that cannot be read, and URLs from which the server does not fetch keys.
    fn server_options(&self) -> Result<ServerOptions> {
        let config = self.config();
        let mut options = ServerOptions::new(&config.listen);
        options.allow_plaintext = config.allow_plaintext;
        (options.auth, options.delegation) = config.credentials()?;
        options.owns_domain = config.domain.is_some();
        options.key = Some(self.own_key.key.clone());
        let limits = &config.limits;
        let connections = limits.connections.unwrap_or(options.limits.connections);
        options.limits.connections = connections.min(most_files().map_or(usize::MAX, |files| files / 2));
        options.limits.connections_per_address = limits.connections_per_address;
        options.limits.login_timeout = limits.login_timeout.map_or(options.limits.login_timeout, |length| length.0);
        options.tls = config.tls.as_ref().map(TlsConfig::files);
        Ok(options)
    }

    /// Logs the number of connections in effect, which is smaller than in the config if the process may open few files.
    fn log_connections(&self, most: usize) {
        tracing::info!(connections = most, "limit of connections");
        if let Some(asked) = self.config().limits.connections.filter(|asked| *asked > most) {
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
    /// While it serves, the node applies a changed config, and changed descriptors and data. On Unix, SIGHUP reloads the
    /// config and the descriptors at once.
    ///
    /// # Errors
    /// A listener that fails.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let watching = self.files.run(self.node.clone(), self.server.access());
        let _files = AbortOnDropHandle::new(tokio::spawn(watching));
        let _data = AbortOnDropHandle::new(tokio::spawn(watch_data(self.node.clone())));
        let _closed_ports = AbortOnDropHandle::new(tokio::spawn(watch_closed_ports(self.node.clone())));
        let served = self.server.serve(self.node.engine, stop).await;
        if let Some(store) = self.node.audit {
            close(store).await;
        }
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = &self.node.telemetry {
            telemetry.stop().await;
        }
        Ok(served?)
    }
}
