//! The descriptors below a folder: bounded in depth and number, in the order of their paths.

use std::path::{Path, PathBuf};

use crate::{Diagnostics, yaml};

/// How deep folders may nest.
const MAX_DEPTH: usize = 8;
/// How many descriptors a domain may have.
const MAX_FILES: usize = 2_000;
/// How many files and folders of any kind are looked at: data may lie beside descriptors.
const MAX_ENTRIES: usize = 50_000;

/// Every `*.yaml` and `*.yml` below `folder`. Names that begin with a dot are passed over, and so are links to folders.
///
/// # Errors
/// A folder that is missing or cannot be read, or that holds more than the bounds allow.
pub(super) fn find(folder: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    let mut files = vec![];
    let mut entries = 0;
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
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
            } else if is_descriptor(&path) {
                files.push(path);
            }
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
    // A pipe would block whoever reads it; a dangling link is for the reader to complain of.
    matches!(extension.as_deref(), Some("yaml" | "yml")) && path.metadata().map_or(true, |m| m.is_file())
}
