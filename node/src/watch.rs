//! The background tasks of a running node: reload a changed config and changed descriptors, check the ports for changed
//! data, and open ports that could not be opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_flight_server::AccessControl;
use tokio::sync::Notify;

use crate::Node;
use crate::digest::{descriptors_digest, file_digest};

/// The time between two checks of the config and of the folder with descriptors.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The longest time between two attempts to open a port.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Reloads the node's config and descriptors when they have changed, and on SIGHUP. A change counts once the files have
/// been the same for one interval: an editor may write a file in several steps.
#[derive(Debug)]
pub(crate) struct FileWatch {
    hangup: Hangup,
    config: Watched,
    descriptors: Watched,
    /// The folder with the policies of the mesh.
    policies: Watched,
}

impl FileWatch {
    /// Starts to watch: signals from now on count, and changes since the node has read the files.
    pub(crate) async fn start(node: &Node) -> Self {
        let (hangup, config) = (Hangup::new(), node.config());
        let folder = config.products_folder().map(Path::to_path_buf);
        Self {
            hangup,
            config: Watched::new(config.file.clone(), file_digest, config.digest).await,
            descriptors: Watched::new(folder, descriptors_digest, node.descriptors_digest).await,
            policies: Watched::new(config.policies.clone(), descriptors_digest, node.policies_digest).await,
        }
    }

    /// Applies changes until the task is dropped. Sources that respond late delay no change of the config.
    pub(crate) async fn run(self, node: Node, access: AccessControl) {
        let Self { hangup, config, descriptors, policies } = self;
        let reopen = Notify::new();
        tokio::join!(
            watch_config(&node, &access, hangup, config, &reopen),
            watch_descriptors(&node, descriptors, policies, &reopen),
        );
    }
}

/// Reloads the config. Notifies `reopen` when the ports must be opened again.
async fn watch_config(node: &Node, access: &AccessControl, mut hangup: Hangup, mut config: Watched, reopen: &Notify) {
    // The faults of the newest config that are in the log.
    let mut logged: Vec<String> = vec![];
    loop {
        let is_forced = hangup.within(POLL_INTERVAL).await;
        let is_wanted = match config.look().await {
            Look::Changed => true,
            Look::Changing => false,
            // What the config names may have changed: a missing file, or the rights of a file.
            Look::Same => !logged.is_empty(),
        };
        if !is_forced && !is_wanted {
            continue;
        }
        config.is_loaded();
        let must_reopen = match node.reload_config(access, is_forced).await {
            Ok(must_reopen) => {
                logged.clear();
                must_reopen
            }
            Err(faults) => {
                if is_forced || faults != logged {
                    for fault in &faults {
                        tracing::error!("the config was not reloaded, the last good one stays: {fault}");
                    }
                }
                logged = faults;
                false
            }
        };
        if is_forced || must_reopen {
            reopen.notify_one();
        }
    }
}

/// Reloads the descriptors and the policies, also when `reopen` is notified.
async fn watch_descriptors(node: &Node, mut descriptors: Watched, mut policies: Watched, reopen: &Notify) {
    loop {
        let is_forced = tokio::time::timeout(POLL_INTERVAL, reopen.notified()).await.is_ok();
        let looks = [descriptors.look().await, policies.look().await];
        if is_forced || looks.contains(&Look::Changed) {
            descriptors.is_loaded();
            policies.is_loaded();
            node.reload().await;
        }
    }
}

/// The state of a watched file or folder, compared with the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// The state is that which was loaded.
    Same,
    /// The state has changed since the last look, and may still change.
    Changing,
    /// The state differs from that which was loaded, and not from that of the last look.
    Changed,
}

/// A file or a folder whose changes are applied.
#[derive(Debug)]
struct Watched {
    /// The path; `None` if there is nothing to watch.
    path: Option<PathBuf>,
    digest: fn(&Path) -> u64,
    /// The digest of the state that was loaded.
    loaded: u64,
    /// The digest of the last look.
    last: u64,
}

impl Watched {
    /// Watches a path. `loaded` is the digest of the state that was loaded; `None` for the present state.
    async fn new(path: Option<PathBuf>, digest: fn(&Path) -> u64, loaded: Option<u64>) -> Self {
        let mut watched = Self { path, digest, loaded: 0, last: 0 };
        let now = watched.now().await.unwrap_or_default();
        watched.loaded = loaded.unwrap_or(now);
        watched.last = watched.loaded;
        watched
    }

    async fn look(&mut self) -> Look {
        let Some(now) = self.now().await else { return Look::Same };
        let is_still = std::mem::replace(&mut self.last, now) == now;
        match is_still {
            false => Look::Changing,
            true if now == self.loaded => Look::Same,
            true => Look::Changed,
        }
    }

    /// Returns the digest of the present state; `None` if there is nothing to watch.
    async fn now(&self) -> Option<u64> {
        let (path, digest) = (self.path.clone()?, self.digest);
        tokio::task::spawn_blocking(move || digest(&path)).await.ok()
    }

    /// Records that the state of the last look is loaded.
    fn is_loaded(&mut self) {
        self.loaded = self.last;
    }
}

/// The listener to SIGHUP, on systems that have it.
#[derive(Debug)]
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Waits for the signal. Returns true if it comes within this time.
    async fn within(&mut self, time: Duration) -> bool {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            return tokio::time::timeout(time, signal.recv()).await.is_ok();
        }
        tokio::time::sleep(time).await;
        false
    }
}

/// Checks the ports for changed data, once every interval, until the task is dropped.
pub(crate) async fn watch_data(node: Node) {
    if node.config().domain.is_none() {
        return;
    }
    loop {
        tokio::time::sleep(node.config().statistics_interval()).await;
        node.check_data().await;
    }
}

/// Tries to open the ports that could not be opened, once every interval but at least every [`RETRY_INTERVAL`], until
/// the task is dropped.
pub(crate) async fn watch_closed_ports(node: Node) {
    if node.config().domain.is_none() {
        return;
    }
    loop {
        tokio::time::sleep(node.config().statistics_interval().min(RETRY_INTERVAL)).await;
        node.open_closed_ports().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_changed_file_counts_when_it_is_still() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watched = Watched::new(Some(file.clone()), file_digest, None).await;
        assert_eq!((watched.look().await, watched.look().await), (Look::Same, Look::Same));
        std::fs::write(&file, "ab").unwrap();
        assert_eq!(watched.look().await, Look::Changing, "it may still be written");
        assert_eq!((watched.look().await, watched.look().await), (Look::Changed, Look::Changed));
        watched.is_loaded();
        assert_eq!(watched.look().await, Look::Same);
        std::fs::remove_file(&file).unwrap();
        assert_eq!((watched.look().await, watched.look().await), (Look::Changing, Look::Changed));
        assert_eq!(Watched::new(None, file_digest, None).await.look().await, Look::Same);
    }

    #[tokio::test]
    async fn a_change_between_reading_and_watching_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yaml");
        std::fs::write(&file, "a").unwrap();
        let read = file_digest(&file);
        std::fs::write(&file, "ab").unwrap();
        let mut watched = Watched::new(Some(file), file_digest, Some(read)).await;
        assert_eq!((watched.look().await, watched.look().await), (Look::Changing, Look::Changed));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_change_of_the_mesh_policies_while_the_node_starts_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (products, policies) = (folder.path().join("products"), folder.path().join("mesh"));
        std::fs::create_dir(&products).unwrap();
        std::fs::create_dir(&policies).unwrap();
        let product = serde_json::json!({
            "apiVersion": "v1.0.0", "kind": "DataProduct", "id": "p", "name": "p", "status": "active", "domain": "d",
        });
        std::fs::write(products.join("p.yaml"), product.to_string()).unwrap();
        std::fs::write(policies.join("all.cedar"), "permit(principal, action, resource);").unwrap();
        let text = "domain: d\nproducts: products\npolicies: mesh\n";
        let config = crate::NodeConfig::parse(text, &folder.path().join("node.yaml")).unwrap();
        let node = Node::builder().config(config).build().await.unwrap();
        std::fs::write(policies.join("all.cedar"), "forbid(principal, action, resource);").unwrap();
        let mut watch = FileWatch::start(&node).await;
        assert_eq!((watch.descriptors.look().await, watch.descriptors.look().await), (Look::Same, Look::Same));
        assert_eq!((watch.policies.look().await, watch.policies.look().await), (Look::Changing, Look::Changed));
    }
}
