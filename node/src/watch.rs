//! The background tasks of a running node: reload changed descriptors, check the ports for changed data, and open ports
//! that could not be opened.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Node;

/// The time between two checks of the folder with descriptors.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The longest time between two attempts to open a port.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// The number of files, and of levels of folders, that are searched for changes.
const MAX_FILES: usize = 50_000;
const MAX_DEPTH: usize = 16;

/// Reloads the node's descriptors when they have changed, and on SIGHUP, until the task is dropped. A change counts
/// once the files have been the same for one interval: an editor may write a file in several steps.
pub(crate) async fn watch_descriptors(node: Node) {
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

/// Returns a digest of the folder, which changes with the files in it.
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
}
