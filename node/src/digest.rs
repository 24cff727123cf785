//! Digests of the config file and of the descriptors. A digest changes with each change of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use portolan_catalog::{Product, descriptor_files};

/// The largest number of files and folders that are listed, and their largest depth: the catalog refuses larger trees.
const MAX_ENTRIES: usize = 50_000;
const MAX_DEPTH: usize = 8;

/// Returns a digest of the state of a file, without reading the file.
pub(crate) fn file_digest(file: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_state(file, &mut hasher);
    hasher.finish()
}

/// Returns a digest of a folder as it is now. `None` if there is no folder.
pub(crate) async fn digest_now<T: Send + 'static>(folder: Option<&Path>, digest: fn(&Path) -> T) -> Option<T> {
    let folder = folder?.to_path_buf();
    tokio::task::spawn_blocking(move || digest(&folder)).await.ok()
}

/// The digests of files.
pub(crate) type FileDigests = BTreeMap<PathBuf, u64>;

/// Returns the digest of each descriptor below a folder. Empty if nobody can find them.
pub(crate) fn digests_of_descriptors(folder: &Path) -> FileDigests {
    let files = descriptor_files(folder).unwrap_or_default();
    files.into_iter().map(|file| (file.clone(), file_digest(&file))).collect()
}

/// True if the descriptor of a product and the contracts of its ports have the same digests as before.
pub(crate) fn has_same_descriptors(product: &Product, now: &FileDigests, before: &FileDigests) -> bool {
    let contracts = product.ports.values().map(|port| port.source.as_ref().map(|source| &source.place));
    std::iter::once(product.place.as_ref()).chain(contracts).all(|place| {
        let digest = |digests: &FileDigests| digests.get(&place?.file).copied();
        digest(now).is_some() && digest(now) == digest(before)
    })
}

/// Returns a digest of the descriptors and policies below `folder`: their paths and states, or the reason why nobody can
/// find them. Other files in the folder, such as data, do not count.
pub(crate) fn descriptors_digest(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in policy_paths(folder) {
        file.hash(&mut hasher);
        hash_state(&file, &mut hasher);
    }
    match descriptor_files(folder) {
        Ok(files) => {
            for file in files {
                file.hash(&mut hasher);
                hash_state(&file, &mut hasher);
            }
        }
        Err(faults) => faults.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

/// Returns the files of policies and agreements below a folder, in the order of their paths.
fn policy_paths(folder: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders, mut entries) = (BTreeSet::new(), vec![(folder.to_path_buf(), 0)], 0);
    while let Some((folder, depth)) = folders.pop() {
        let is_of_agreements = folder.ends_with("agreements");
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            entries += 1;
            if entry.file_name().as_encoded_bytes().starts_with(b".") || entries > MAX_ENTRIES {
                continue;
            }
            // The folder may be a link, such as that of a ConfigMap.
            if path.is_dir() {
                if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if is_of_agreements || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("cedar")) {
                found.insert(path);
            }
        }
    }
    found
}

/// Hashes the size of a file, and the times of its last changes. A file that is missing has no state.
fn hash_state(file: &Path, hasher: &mut DefaultHasher) {
    let Ok(metadata) = file.metadata() else { return };
    (metadata.is_file(), metadata.len(), metadata.modified().ok()).hash(hasher);
    // A file can take the place of another one of the same size and age. It can also become readable.
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (metadata.ctime(), metadata.ctime_nsec()).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::{self, File, FileTimes};

    use super::*;

    #[test]
    fn a_change_of_a_descriptor_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        let digest = || descriptors_digest(folder.path());
        fs::create_dir(at("orders")).unwrap();
        let empty = digest();
        assert_eq!(digest(), empty);
        fs::write(at("orders/a.yaml"), "a").unwrap();
        let one = digest();
        assert_ne!(one, empty);
        fs::write(at("orders/a.yaml"), "ab").unwrap();
        assert_ne!(digest(), one);
        fs::remove_file(at("orders/a.yaml")).unwrap();
        assert_eq!(digest(), empty);
        fs::remove_dir(at("orders")).unwrap();
        fs::remove_dir(folder.path()).unwrap();
        assert_ne!(digest(), empty, "the folder is gone");
    }

    #[test]
    fn data_beside_the_descriptors_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "a").unwrap();
        let before = descriptors_digest(folder.path());
        fs::write(folder.path().join("rows.csv"), "id\n1\n").unwrap();
        fs::write(folder.path().join(".a.yaml.swp"), "a").unwrap();
        assert_eq!(descriptors_digest(folder.path()), before);
    }

    #[cfg(unix)]
    #[test]
    fn another_file_of_the_same_size_and_age_is_a_change() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("node.yaml"), folder.path().join("new.yaml"));
        fs::write(&file, "limits: {max_hops: 2}\n").unwrap();
        let before = file_digest(&file);
        assert_eq!(file_digest(&file), before);
        let age = fs::metadata(&file).unwrap().modified().unwrap();
        // The clock of a file system has steps.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(&new, "limits: {max_hops: 3}\n").unwrap();
        File::options().write(true).open(&new).unwrap().set_times(FileTimes::new().set_modified(age)).unwrap();
        fs::rename(&new, &file).unwrap();
        let replaced = file_digest(&file);
        assert_ne!(replaced, before);
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert_ne!(file_digest(&file), replaced, "the node may be able to read the file now");
    }
}
