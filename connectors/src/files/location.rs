//! The location of a port's files: the contract's `location` as a store, a path in the store, and a selection of files.
//! A location with credentials is refused. The error does not repeat the location.

mod parse;

use std::path::{self, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::fence::{Fence, FenceError};
use crate::file_calls::FileCalls;

/// The store that holds the files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum StoreAddress {
    /// The local file system.
    Local,
    /// A bucket of Amazon S3, or of a server with the same protocol.
    S3 {
        /// The bucket.
        bucket: String,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The storage account, if the location names it.
        account: Option<String>,
        /// The container.
        container: String,
    },
    /// A web server: single files only, because it does not list files.
    Http {
        /// Scheme, host and port.
        origin: String,
    },
}

/// The files below the base that belong to the port.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Selection {
    /// The base itself if it is a file. Otherwise, every data file below the base.
    FileOrFolder,
    /// Every data file below the base.
    Folder,
    /// The files below the base whose path relative to the base matches.
    Glob(Pattern),
}

/// The access to local files.
#[derive(Clone, Debug)]
pub(super) struct LocalFiles {
    /// The boundary of the files.
    pub(super) fence: Arc<Fence>,
    /// The calls of the file system.
    pub(super) calls: FileCalls,
}

/// The reason why the files at a location must not be read.
#[derive(Debug)]
pub(super) struct Refused {
    /// The name of the file; `None` for the location itself.
    file: Option<String>,
    error: FenceError,
}

impl Refused {
    /// Returns the message about the location that is called `at`.
    pub(super) fn message(&self, at: &str) -> String {
        self.error.message(self.file.as_deref().unwrap_or(at))
    }
}

/// The location of a port's files.
#[derive(Clone, Debug)]
pub(super) struct Location {
    /// The store.
    pub(super) store: StoreAddress,
    /// The access to the files and the path of the base, if the files are local.
    local: Option<(LocalFiles, PathBuf)>,
    /// The file, or the folder with the files.
    pub(super) base: Path,
    /// The selection of files.
    pub(super) selection: Selection,
    /// The text before a path of the store in messages, such as `s3://bucket/`.
    pub(super) prefix: String,
    /// The first segment of the store's paths, with a slash, if the store adds one. Otherwise, empty.
    scope: String,
    /// The location as it is in the contract.
    text: String,
}

impl Location {
    /// Checks the base before it is opened: a link may lead elsewhere since the port was opened. Object stores have no
    /// links.
    ///
    /// # Errors
    /// The reason why the base is not read.
    pub(super) async fn check_base(&self) -> Result<(), Refused> {
        let Some((LocalFiles { fence, calls }, base)) = self.local.clone() else { return Ok(()) };
        let checked = calls.run(move || fence.check(&base)).await.unwrap_or_else(|what| Err(FenceError::failed(what)));
        checked.map_err(|error| Refused { file: None, error })
    }

    /// Returns the access to the files and the path of the base, if the files are local.
    pub(super) fn local_files(&self) -> Option<(&LocalFiles, &path::Path)> {
        self.local.as_ref().map(|(files, base)| (files, base.as_path()))
    }

    /// Returns the error for a path that must not be read.
    pub(super) fn refused(&self, path: &Path, error: FenceError) -> Refused {
        Refused { file: Some(self.name_of(path)), error }
    }

    /// Checks listed files in the same way, and returns them.
    ///
    /// # Errors
    /// The first file that must not be read, and the reason.
    pub(super) async fn checked(&self, files: Vec<ObjectMeta>) -> Result<Vec<ObjectMeta>, Refused> {
        let Some((LocalFiles { fence, calls }, _)) = self.local.clone() else { return Ok(files) };
        let location = self.clone();
        let check = move || -> Result<Vec<ObjectMeta>, Refused> {
            fence.check_files(&files).map_err(|(file, error)| location.refused(&file.location, error))?;
            Ok(files)
        };
        let checked = calls.run(check).await;
        checked.unwrap_or_else(|what| Err(Refused { file: None, error: FenceError::failed(what) }))
    }

    /// Returns the name of a file for messages.
    pub(super) fn name_of(&self, path: &Path) -> String {
        let path = path.as_ref();
        format!("{}{}", self.prefix, path.strip_prefix(&self.scope).unwrap_or(path))
    }

    /// Returns a message that has the names of the port's files without their folders.
    pub(super) fn without_folders(&self, message: &str) -> String {
        let base = self.base.as_ref();
        let base = base.strip_prefix(&self.scope).unwrap_or(base);
        // The base is a folder, or else the file itself.
        let parent = base.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut message = message.to_owned();
        for folder in [base, parent] {
            let folder = if folder.is_empty() { self.prefix.clone() } else { format!("{}{folder}/", self.prefix) };
            // A slash alone also stands for other things than the root of the file system.
            if folder != "/" {
                message = shortened(&message, &folder);
            }
        }
        message
    }

    /// Returns the last segment of the location in the contract, without its folder, bucket or host.
    pub(super) fn last_segment(&self) -> &str {
        let path = match self.text.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => &self.text,
        };
        path.rsplit(['/', '\\']).find(|segment| !segment.is_empty()).unwrap_or("its location")
    }

    /// Returns the same location in a store whose paths begin with `scope`.
    pub(super) fn within(mut self, scope: &str) -> Self {
        self.base = Path::from(scope).parts().chain(self.base.parts()).collect();
        self.scope = format!("{scope}/");
        self
    }

    /// Returns the location as it is in the contract.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the glob matches this path below the base. Without a glob, every path matches.
    pub(super) fn chooses(&self, below: &str) -> bool {
        let Selection::Glob(pattern) = &self.selection else { return true };
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        pattern.matches_with(below, options)
    }

    /// True if the glob may match files in a folder, which has this path below the base. Without a glob, every folder
    /// may have files.
    pub(super) fn chooses_in(&self, folder: &str) -> bool {
        let Selection::Glob(pattern) = &self.selection else { return true };
        let mut patterns = pattern.as_str().split('/');
        for name in folder.split('/') {
            match patterns.next() {
                None => return false,
                Some("**") => return true,
                Some(one) => match Pattern::new(one) {
                    Ok(one) if one.matches(name) => {}
                    Ok(_) => return false,
                    // A `[…]` with a slash in it is no pattern of one segment, and what follows is not aligned.
                    Err(_) => return true,
                },
            }
        }
        patterns.next().is_some()
    }

    /// Returns the part of `path` below the base.
    pub(super) fn below_base<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let rest = path.as_ref().strip_prefix(self.base.as_ref())?;
        Some(rest.strip_prefix('/').unwrap_or(rest))
    }

    fn new(store: StoreAddress, base: Path, selection: Selection, prefix: String, text: &str) -> Self {
        Self { store, local: None, base, selection, prefix, scope: String::new(), text: text.to_owned() }
    }
}

/// Removes `folder`, and every folder below it, from the names in a message.
fn shortened(message: &str, folder: &str) -> String {
    let mut parts = message.split(folder);
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([' ', '`', '"', '\'', ',', ';']).unwrap_or(part.len());
        let last = part[..end].rfind('/').map_or(0, |slash| slash + 1);
        short.push_str(&part[last..]);
    }
    short
}
