//! Finds the descriptors below a folder, in the order of their paths. Depth and number are bounded.

use std::path::{Path, PathBuf};

use crate::{Diagnostics, yaml};

/// The largest depth of nested folders.
const MAX_DEPTH: usize = 8;
/// The largest number of descriptors of a domain.
const MAX_FILES: usize = 2_000;
/// The largest number of files and folders of any kind that are listed: data may be stored beside descriptors.
const MAX_ENTRIES: usize = 50_000;

/// The folder of a product's agreements, which are YAML files but no descriptors.
const AGREEMENTS: &str = "agreements";

/// Returns every descriptor below `folder`: each `*.yaml` and `*.yml` file, in the order of the paths. Ignores names that
/// start with a dot, links to folders, the folder `agreements` beside a descriptor, and tests of policies
/// (`policies/*.test.yaml`).
///
/// # Errors
/// A folder that is missing, cannot be read, or exceeds the bounds.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    let mut files = vec![];
    let mut entries = 0;
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let (first_file, first_folder) = (files.len(), folders.len());
        let unreadable = |e: std::io::Error| yaml::whole_file(&folder, format!("the folder cannot be read: {e}"));
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            entries += 1;
            if entries > MAX_ENTRIES {
                let message = format!("more than {MAX_ENTRIES} files; keep the data outside of the products folder");
                return Err(yaml::whole_file(&folder, message));
            }
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().map_err(unreadable)?.is_dir() {
                if depth == MAX_DEPTH {
                    return Err(yaml::whole_file(&path, format!("more than {MAX_DEPTH} folders deep")));
                }
                folders.push((path, depth + 1));
            } else if is_descriptor(&path) && !is_policy_test(&path) {
                files.push(path);
            }
        }
        if files.len() > first_file {
            let nested = folders.split_off(first_folder);
            folders.extend(nested.into_iter().filter(|(folder, _)| !folder.ends_with(AGREEMENTS)));
        }
    }
    if files.len() > MAX_FILES {
        return Err(yaml::whole_file(folder, format!("more than {MAX_FILES} descriptors")));
    }
    files.sort();
    Ok(files)
}

fn is_descriptor(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
    // Reading a pipe would block. The reader reports a dangling link.
    matches!(extension.as_deref(), Some("yaml" | "yml")) && path.metadata().map_or(true, |m| m.is_file())
}

/// True if a file has tests of policies.
fn is_policy_test(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    let is_test = name.ends_with(".test.yaml") || name.ends_with(".test.yml");
    is_test && path.parent().is_some_and(|folder| folder.ends_with("policies"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn agreements_and_tests_of_policies_are_no_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let file = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let orders = file("orders/product.yaml");
        file("orders/agreements/ann.yaml");
        file("orders/policies/orders.test.yaml");
        let contract = file("orders/contracts/a.yaml");
        let other = file("orders/contracts/b.test.yaml");
        let product = file("agreements/product.yaml");
        assert_eq!(find(folder.path()).unwrap(), [product, contract, other, orders]);
    }
}
