//! Digests of the config file and of the descriptors. A digest changes with each change of a file.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use portolan_catalog::descriptor_files;

/// Returns a digest of the state of a file, without reading the file.
pub(crate) fn file_digest(file: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_state(file, &mut hasher);
    hasher.finish()
}

/// Returns a digest of the descriptors below `folder`: their paths and states, or the reason why nobody can find them.
/// Other files in the folder, such as data, do not count.
pub(crate) fn descriptors_digest(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
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
