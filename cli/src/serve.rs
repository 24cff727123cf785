//! `portolan serve`: runs a node until it is told to stop, and takes up changed descriptors while it runs.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use portolan_flight_server::{ErrorKind, Server};
use portolan_node::{Error, Node, NodeConfig, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::output::print;

/// How often the folder with descriptors is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How many files and how many levels of folders are looked at for changes.
const MAX_FILES: usize = 50_000;
const MAX_DEPTH: usize = 16;

/// Arguments of `portolan serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The node's config file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the config, the descriptors and the data that they name, and exit
    #[arg(long)]
    pub check: bool,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Runs a node until SIGTERM or SIGINT.
///
/// # Errors
/// A config or descriptors that are wrong; an address that is taken.
pub async fn serve(config: NodeConfig, args: &ServeArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    if args.exit_with_stdin {
        stop_with_stdin(stop.clone());
    }
    let node = tokio::select! {
        node = Node::assemble(config) => node?,
        () = stop.cancelled() => return Ok(()),
    };
    if args.check {
        return print(&format!("{} is fine\n", args.config.display()));
    }
    let server = Server::bind(node.server_options()?).await.map_err(|e| match e.kind() {
        ErrorKind::InvalidQuery => Error::config(e.chain()),
        _ => Error::failed(e.chain()),
    })?;
    let domain = node.config().domain.as_ref().map(ToString::to_string);
    let ready = json!({ "url": server.url(), "domain": domain, "pid": std::process::id() });
    // Whoever started it may not care to read this.
    let _ = print(&format!("{ready}\n"));
    let _watcher = AbortOnDropHandle::new(tokio::spawn(watch(node.clone())));
    let _taker = AbortOnDropHandle::new(tokio::spawn(keep_statistics(node.clone())));
    Ok(server.serve(node.engine.clone(), stop.cancelled_owned()).await?)
}

/// Cancels `stop` on the first SIGTERM or SIGINT, for as long as the handle lives.
///
/// # Errors
/// Signals that cannot be listened to.
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

/// Listens to SIGTERM, where there is such a thing.
pub struct Terminate {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Terminate {
    /// Starts to listen.
    ///
    /// # Errors
    /// Signals that cannot be listened to.
    pub fn new() -> Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .map_err(|e| Error::failed("cannot listen to signals").with_source(e))?,
        })
    }

    /// Waits for the next one.
    pub async fn wait(&mut self) {
        #[cfg(unix)]
        self.signal.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}

/// Cancels `stop` when standard input ends.
pub fn stop_with_stdin(stop: CancellationToken) {
    // A thread of its own: a read of standard input cannot be cancelled, and must not hold up the end of the runtime.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(n) if n > 0) {}
        stop.cancel();
    });
}

/// Reloads on SIGHUP, and when the descriptors changed and have been still for one interval: an editor may write a file
/// in several steps.
async fn watch(node: Node) {
    let Some(folder) = node.config().products_folder().map(Path::to_path_buf) else { return };
    #[cfg(unix)]
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    let mut loaded = look(&folder).await;
    let mut last = loaded;
    loop {
        #[cfg(unix)]
        let forced = match &mut hangup {
            Some(hangup) => tokio::time::timeout(POLL_INTERVAL, hangup.recv()).await.is_ok(),
            None => {
                tokio::time::sleep(POLL_INTERVAL).await;
                false
            }
        };
        #[cfg(not(unix))]
        let forced = {
            tokio::time::sleep(POLL_INTERVAL).await;
            false
        };
        let now = look(&folder).await;
        if forced || (now != loaded && now == last) {
            loaded = now;
            node.reload().await;
        }
        last = now;
    }
}

/// Looks at an interval whether data has changed. A node that was told to take up new descriptors meanwhile has fresh
/// statistics anyway.
async fn keep_statistics(node: Node) {
    if node.config().domain.is_none() {
        return;
    }
    loop {
        tokio::time::sleep(node.config().statistics_interval()).await;
        node.refresh_statistics().await;
    }
}

async fn look(folder: &Path) -> u64 {
    let folder = folder.to_path_buf();
    tokio::task::spawn_blocking(move || {
        let (mut hasher, mut left) = (DefaultHasher::new(), MAX_FILES);
        digest(&folder, 0, &mut left, &mut hasher);
        hasher.finish()
    })
    .await
    .unwrap_or_default()
}

/// Names, sizes and times of everything below `folder`, in a fixed order.
fn digest(folder: &Path, depth: usize, left: &mut usize, hasher: &mut DefaultHasher) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(*left).collect();
    paths.sort();
    for path in paths {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.is_dir() && depth < MAX_DEPTH {
            digest(&path, depth + 1, left, hasher);
        } else {
            (path, metadata.len(), metadata.modified().ok()).hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_change_below_the_folder_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("orders")).unwrap();
        let empty = look(folder.path()).await;
        assert_eq!(look(folder.path()).await, empty);
        std::fs::write(folder.path().join("orders/a.yaml"), "a").unwrap();
        let one = look(folder.path()).await;
        assert_ne!(one, empty);
        std::fs::write(folder.path().join("orders/a.yaml"), "ab").unwrap();
        assert_ne!(look(folder.path()).await, one);
        std::fs::remove_file(folder.path().join("orders/a.yaml")).unwrap();
        assert_eq!(look(folder.path()).await, empty);
    }
}
