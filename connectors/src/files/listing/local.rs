//! Lists local files. Links are followed, and a link to a folder is checked before anything behind the link is listed
//! or opened.

use std::ffi::OsString;
use std::fs::{self, Metadata, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectMeta;
use object_store::local::LocalFileSystem;
use portolan_catalog::FileFormat;

use super::{ListingError, is_of_delta_log, is_wanted, may_have_files};
use crate::fence::{Fence, FenceError};
use crate::file_calls::FileCalls;
use crate::files::location::{LocalFiles, Location};

/// The number of entries of folders that one call of the file system reads.
const ENTRIES: usize = 1024;
/// The largest number of folders from the base down to a file. Each of them is open while the folders in it are read.
const MAX_DEPTH: usize = 128;

/// Returns the regular files below the base that may be files of the port, in no order. Others are left out before the
/// store sees their names, which the store may not accept.
pub(super) fn list(
    location: &Location,
    local: &LocalFiles,
    base: &Path,
    format: FileFormat,
) -> BoxStream<'static, Result<ObjectMeta, ListingError>> {
    let base = Folder { path: base.to_owned(), found: base.to_owned(), entries: None };
    let walk = Walk {
        base: base.path.clone(),
        location: location.clone(),
        format,
        fence: local.fence.clone(),
        names: LocalFileSystem::new(),
        open: vec![base],
    };
    stream::try_unfold(Rest { walk, files: vec![], calls: local.calls.clone() }, next).boxed()
}

/// The part of a listing that has not been returned.
struct Rest {
    walk: Walk,
    files: Vec<ObjectMeta>,
    calls: FileCalls,
}

/// Returns the next file.
async fn next(rest: Rest) -> Result<Option<(ObjectMeta, Rest)>, ListingError> {
    let Rest { mut walk, mut files, calls } = rest;
    loop {
        if let Some(file) = files.pop() {
            return Ok(Some((file, Rest { walk, files, calls })));
        }
        if walk.open.is_empty() {
            return Ok(None);
        }
        let step = calls.run(move || {
            let found = walk.step();
            (walk, found)
        });
        let (walked, found) = step.await.map_err(failed)?;
        walk = walked;
        files = found?;
    }
}

/// A walk through the folders of a port.
struct Walk {
    base: PathBuf,
    location: Location,
    format: FileFormat,
    fence: Arc<Fence>,
    /// Knows the names of files that the store accepts.
    names: LocalFileSystem,
    /// The folders that are being read. Each one is in the one before.
    open: Vec<Folder>,
}

/// A folder that is being read.
struct Folder {
    /// The path, with links.
    path: PathBuf,
    /// The path without links.
    found: PathBuf,
    /// The entries that have not been read; `None` if the folder is not open yet.
    entries: Option<ReadDir>,
}

impl Walk {
    /// Reads the next entries, and returns the files among them.
    fn step(&mut self) -> Result<Vec<ObjectMeta>, ListingError> {
        let mut files = vec![];
        for _ in 0..ENTRIES {
            let Some(folder) = self.open.last_mut() else { break };
            let Some((name, is_link)) = folder.next()? else {
                self.open.pop();
                continue;
            };
            let (path, found) = (folder.path.join(&name), folder.found.join(&name));
            files.extend(self.visit(path, found, is_link)?);
        }
        Ok(files)
    }

    /// Returns an entry if it is a file, and opens it if it is a folder. `found` is its path in a folder without links.
    fn visit(&mut self, path: PathBuf, found: PathBuf, is_link: bool) -> Result<Option<ObjectMeta>, ListingError> {
        // That of the link's target, if the entry is a link.
        let metadata = match fs::metadata(&found) {
            Ok(metadata) => metadata,
            // The entry is gone, or a link leads nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        if metadata.is_dir() {
            if may_have_files(&self.below_base(&path), &self.location) {
                let location = name_in_store(&path)?;
                let refused = |error| ListingError::Refused(self.location.refused(&location, error));
                let found = if is_link { self.fence.resolve(&found).map_err(refused)? } else { found };
                if self.open.len() > MAX_DEPTH {
                    return Err(refused(FenceError::TooDeep(MAX_DEPTH)));
                }
                if self.open.iter().any(|folder| folder.found == found) {
                    return Err(refused(FenceError::Loop));
                }
                self.open.push(Folder { path, found, entries: None });
            }
            return Ok(None);
        }
        // Another kind of file is no data, whatever its name is.
        if !metadata.is_file() {
            return Ok(None);
        }
        let below = self.below_base(&path);
        if !is_wanted(&below, &self.location, self.format) && !is_of_delta_log(&below, &self.location) {
            return Ok(None);
        }
        let location = name_in_store(&path)?;
        let is_known = self.names.path_to_filesystem(&location).is_ok();
        if is_known { described(location, &metadata).map(Some).map_err(|e| unreadable(&path, &e)) } else { Ok(None) }
    }

    /// Returns the part of a path below the base, also if the store does not accept its name.
    fn below_base(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.base).unwrap_or(path);
        below.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join("/")
    }
}

impl Folder {
    /// Returns the name of the next entry, and true if the entry is a link.
    fn next(&mut self) -> Result<Option<(OsString, bool)>, ListingError> {
        let entries = match &mut self.entries {
            Some(entries) => entries,
            closed => match fs::read_dir(&self.found) {
                Ok(entries) => closed.insert(entries),
                // The folder is gone.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(None);
                }
                Err(error) => return Err(unreadable(&self.path, &error)),
            },
        };
        let entry = entries.next().map(|entry| entry.and_then(|e| Ok((e.file_name(), e.file_type()?.is_symlink()))));
        entry.transpose().map_err(|error| unreadable(&self.path, &error))
    }
}

/// Returns a path as the store has it.
fn name_in_store(path: &Path) -> Result<object_store::path::Path, ListingError> {
    object_store::path::Path::from_absolute_path(path).map_err(|error| ListingError::Store(error.into()))
}

/// Returns the description of a file, as the store returns it when the file is read. Readers compare the two, to notice
/// that a file has changed.
fn described(location: object_store::path::Path, metadata: &Metadata) -> io::Result<ObjectMeta> {
    let modified = metadata.modified()?;
    let micros = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let (inode, size) = (inode(metadata), metadata.len());
    let e_tag = Some(format!("{inode:x}-{micros:x}-{size:x}"));
    Ok(ObjectMeta { location, last_modified: modified.into(), size, e_tag, version: None })
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn unreadable(path: &Path, error: &io::Error) -> ListingError {
    failed(format!("{}: {error}", path.display()))
}

fn failed(what: String) -> ListingError {
    ListingError::Store(object_store::Error::Generic { store: "LocalFileSystem", source: what.into() })
}

#[cfg(test)]
mod tests;
