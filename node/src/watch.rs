//! The background tasks of a running node: reload a changed config and changed descriptors, check the ports for changed
//! data, and open ports that could not be opened.

use std::collections::hash_map::DefaultHasher;
use std::fs::Metadata;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_flight_server::AccessControl;

use crate::Node;

/// The time between two checks of the config and of the folder with descriptors.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The longest time between two attempts to open a port.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// The number of files, and of levels of folders, that are searched for changes.
const MAX_FILES: usize = 50_000;
const MAX_DEPTH: usize = 16;

/// Reloads the node's config and descriptors when they have changed, and on SIGHUP. A change counts once the files have
/// been the same for one interval: an editor may write a file in several steps.
#[derive(Debug)]
pub(crate) struct FileWatch {
    hangup: Hangup,
    config: Watched,
    descriptors: Watched,
}

impl FileWatch {
    /// Starts to watch: changes and signals from now on count.
    pub(crate) async fn start(node: &Node) -> Self {
        let hangup = Hangup::new();
        let (mut config, mut descriptors) = (Watched::new(config_file(node)), Watched::new(products_folder(node)));
        config.look().await;
        descriptors.look().await;
        Self { hangup, config, descriptors }
    }

    /// Applies changes until the task is dropped.
    pub(crate) async fn run(self, node: Node, access: AccessControl) {
        let Self { mut hangup, mut config, mut descriptors } = self;
        loop {
            let is_forced = hangup.within(POLL_INTERVAL).await;
            let (has_new_config, has_new_descriptors) = (config.look().await, descriptors.look().await);
            if is_forced || has_new_config {
                config.is_loaded();
                // New sources have opened the ports of the present descriptors.
                if node.reload_config(&access, is_forced).await {
                    descriptors.is_loaded();
                    continue;
                }
            }
            if is_forced || has_new_descriptors {
                descriptors.is_loaded();
                node.reload().await;
            }
        }
    }
}

fn config_file(node: &Node) -> Option<PathBuf> {
    node.config().file.clone()
}

fn products_folder(node: &Node) -> Option<PathBuf> {
    node.config().products_folder().map(Path::to_path_buf)
}

/// A file or a folder whose changes are applied.
#[derive(Debug)]
struct Watched {
    path: Option<PathBuf>,
    /// The digest when it was loaded last; `None` before the first look.
    loaded: Option<u64>,
    last: u64,
}

impl Watched {
    fn new(path: Option<PathBuf>) -> Self {
        Self { path, loaded: None, last: 0 }
    }

    /// Returns true if the path has changed since it was loaded, and not since the last look.
    async fn look(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        let now = look(path).await;
        let loaded = *self.loaded.get_or_insert(now);
        let is_still = std::mem::replace(&mut self.last, now) == now;
        now != loaded && is_still
    }

    /// Records that the state of the last look is loaded.
    fn is_loaded(&mut self) {
        self.loaded = Some(self.last);
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

/// Returns a digest of a file, or of a folder and the files in it.
async fn look(path: &Path) -> u64 {
    let path = path.to_path_buf();
    tokio::task::spawn_blocking(move || {
        let (mut hasher, mut left) = (DefaultHasher::new(), MAX_FILES);
        let file = path.metadata().ok().filter(Metadata::is_file);
        file.map(|file| (file.len(), file.modified().ok())).hash(&mut hasher);
        digest(&path, 0, &mut left, &mut hasher);
        hasher.finish()
    })
    .await
    .unwrap_or_default()
}

/// Hashes the names, sizes and times of everything below `folder`, in a fixed order.
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

    #[tokio::test]
    async fn a_changed_file_counts_when_it_is_still() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yaml");
        std::fs::write(&file, "a").unwrap();
        let mut watched = Watched::new(Some(file.clone()));
        assert!(!watched.look().await && !watched.look().await);
        std::fs::write(&file, "ab").unwrap();
        assert!(!watched.look().await, "it may still be written");
        assert!(watched.look().await && watched.look().await);
        watched.is_loaded();
        assert!(!watched.look().await);
        std::fs::remove_file(&file).unwrap();
        assert!(!watched.look().await && watched.look().await);
        assert!(!Watched::new(None).look().await);
    }
}
