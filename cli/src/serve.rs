//! `portolan serve`: runs a node until a signal stops it. The node reloads changed descriptors while it runs.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use portolan_node::{Error, Node, NodeConfig, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::output::print;

/// Arguments of `portolan serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The node's config file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the config, the descriptors and their data, print the errors, and exit
    #[arg(long)]
    pub check: bool,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Runs a node until SIGTERM or SIGINT.
///
/// # Errors
/// An invalid config, invalid descriptors, or an address that is in use.
pub async fn serve(config: NodeConfig, args: &ServeArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    if args.exit_with_stdin {
        stop_with_stdin(stop.clone());
    }
    let builder = Node::builder().config(config);
    if args.check {
        tokio::select! {
            checked = builder.check() => checked?,
            () = stop.cancelled() => return Ok(()),
        }
        return print(&format!("{}: no errors\n", args.config.display()));
    }
    // Sources may delay the start. The node applies what has changed until then when it serves.
    let _hangups = Hangups::ignore()?;
    let node = tokio::select! {
        node = builder.build() => node?,
        () = stop.cancelled() => return Ok(()),
    };
    let server = node.bind().await?;
    let domain = node.config().domain.as_ref().map(ToString::to_string);
    let (pid, admin) = (std::process::id(), node.admin_url());
    let ready = json!({ "admin": admin, "domain": domain, "pid": pid, "url": server.url() });
    // The parent process may have closed standard output.
    let _ = print(&format!("{ready}\n"));
    server.serve(stop.cancelled_owned()).await
}

/// Cancels `stop` on the first SIGTERM or SIGINT. Dropping the handle stops listening.
///
/// # Errors
/// The process cannot listen to signals.
pub fn stop_on_signals(stop: CancellationToken) -> Result<AbortOnDropHandle<()>> {
    let mut terminate = Terminate::new()?;
    let wait = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminate.wait() => {}
        }
        stop.cancel();
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(wait)))
}

/// A listener for SIGTERM, on systems that have it.
pub struct Terminate {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Terminate {
    /// Starts to listen.
    ///
    /// # Errors
    /// The process cannot listen to signals.
    pub fn new() -> Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .map_err(|e| Error::failed("cannot listen to signals").with_source(e))?,
        })
    }

    /// Waits for the next SIGTERM.
    pub async fn wait(&mut self) {
        #[cfg(unix)]
        self.signal.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}

/// Keeps SIGHUP from ending the process, on systems that have the signal.
struct Hangups {
    #[cfg(unix)]
    _signal: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Ignores the signal from now on.
    ///
    /// # Errors
    /// The process cannot listen to signals.
    fn ignore() -> Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            _signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .map_err(|e| Error::failed("cannot listen to signals").with_source(e))?,
        })
    }
}

/// Cancels `stop` when standard input ends.
pub fn stop_with_stdin(stop: CancellationToken) {
    // A separate thread: a read of standard input cannot be cancelled, and must not delay the shutdown of the runtime.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(n) if n > 0) {}
        stop.cancel();
    });
}
