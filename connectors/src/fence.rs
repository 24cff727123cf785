//! The boundary of a source's local files: the folders that no path leaves, neither by `..` nor by a link, and the files
//! that are never data. Only regular files are data: opening a pipe or a device would block or have effects.

use std::collections::HashSet;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

/// The bounds of local files that hold for every source without a `root` of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalBounds {
    /// The folders that the files must be in; `None` for any folder.
    pub(crate) folders: Option<Vec<PathBuf>>,
    /// The files and folders that are never data.
    pub(crate) private: Vec<PathBuf>,
    /// The setting of the folders, for messages. Default: the setting of the source's root.
    pub(crate) setting: Option<&'static str>,
}

/// The boundary of one source's local files.
#[derive(Debug)]
pub(crate) struct Fence {
    /// The folders that the files must be in, without links; `None` for any folder.
    folders: Option<Vec<PathBuf>>,
    /// The files and folders that are never data, without links.
    private: HashSet<PathBuf>,
    /// The setting of the root, for messages.
    setting: String,
    /// True if the setting is not that of a source.
    is_shared: bool,
}

/// The reason why a path is not read.
#[derive(Debug)]
pub(crate) enum FenceError {
    /// The path leads out of the folders.
    Outside {
        /// The setting that allows other folders.
        setting: String,
        /// True if the setting is not that of a source, and decides which files statements may read.
        is_shared: bool,
    },
    /// The path leads to a file of the node itself.
    Private,
    /// The path leads to a pipe, a socket or a device.
    Irregular,
    /// The path leads back to a folder that it is in.
    Loop,
    /// The path leads through more folders than the limit, which is the value.
    TooDeep(usize),
    /// The path does not exist, or is not accessible.
    Unreadable(io::Error),
}

impl FenceError {
    /// Returns the error for a path that was not checked, because the call of the file system failed.
    pub(crate) fn failed(what: String) -> Self {
        Self::Unreadable(io::Error::other(what))
    }

    /// Returns the message about the path that is called `name`. The message does not show where the path leads.
    pub(crate) fn message(&self, name: &str) -> String {
        match self {
            Self::Outside { setting, is_shared } => {
                let bounds = if *is_shared {
                    "folder of the files that statements may read"
                } else {
                    "root of the source's files"
                };
                format!(
                    "{name} leads out of the {bounds}: move the data there, or set `{setting}` in the node's config"
                )
            }
            Self::Private => format!(
                "{name} leads to a file of the node itself, which is not data: move that file out of the root, or \
                 correct the location"
            ),
            Self::Irregular => format!("{name} is neither a regular file nor a folder"),
            Self::Loop => format!("{name} leads back to a folder that it is in: remove the link"),
            Self::TooDeep(limit) => format!(
                "{name} is more than {limit} folders below the location: choose fewer by a glob, or move the data"
            ),
            Self::Unreadable(error) => format!("{name} cannot be read: {error}"),
        }
    }
}

impl Fence {
    /// Returns the boundary of the files of `server`. `root` is the source's own root.
    ///
    /// # Errors
    /// A root that cannot be read, as text for a diagnostic.
    pub(crate) fn new(server: &str, root: Option<&Path>, bounds: &LocalBounds) -> Result<Self, String> {
        let setting = bounds.setting.map_or_else(|| format!("sources.{server}.root"), str::to_owned);
        let folders = match (root, &bounds.folders) {
            (Some(root), _) => Some(vec![root.to_path_buf()]),
            (None, folders) => folders.clone(),
        };
        let without_links = |folder: PathBuf| {
            folder.canonicalize().map_err(|e| format!("`{setting}`: {} cannot be read: {e}", folder.display()))
        };
        let folders = folders.map(|folders| folders.into_iter().map(without_links).collect::<Result<Vec<_>, _>>());
        let folders = folders.transpose()?;
        // A folder around the data, such as one for all files of the node, says nothing about the data.
        let is_around = |path: &PathBuf| folders.iter().flatten().any(|folder| folder.starts_with(path));
        let private = bounds.private.iter().filter_map(|path| resolved_so_far(path));
        let private = private.filter(|path| !is_around(path)).collect();
        Ok(Self { folders, private, setting, is_shared: bounds.setting.is_some() })
    }

    /// Returns the place to which `path` leads, without links.
    ///
    /// # Errors
    /// A path that leads out of the folders, that is not accessible, or that is neither a file nor a folder. A path
    /// that leads out is reported in the same way if nothing exists there.
    pub(crate) fn resolve(&self, path: &Path) -> Result<PathBuf, FenceError> {
        let found = match path.canonicalize() {
            Ok(found) => found,
            Err(error) => {
                let parent = path.ancestors().skip(1).find_map(|parent| parent.canonicalize().ok());
                parent.map_or(Ok(()), |parent| self.admit(&parent))?;
                return Err(FenceError::Unreadable(error));
            }
        };
        self.admit(&found)?;
        check_kind(found.metadata().map_err(FenceError::Unreadable)?.file_type())?;
        Ok(found)
    }

    /// Checks a path that was resolved before, because links may have changed. A path that is gone passes: its reader
    /// reports it.
    ///
    /// # Errors
    /// As [`Fence::resolve`].
    pub(crate) fn check(&self, path: &Path) -> Result<(), FenceError> {
        match self.resolve(path) {
            Ok(_) | Err(FenceError::Unreadable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// True if a path without links is a file or a folder that is never data.
    pub(crate) fn is_private(&self, found: &Path) -> bool {
        self.private.contains(found)
    }

    /// Checks a path without links.
    fn admit(&self, found: &Path) -> Result<(), FenceError> {
        let is_inside = |folders: &Vec<PathBuf>| folders.iter().any(|folder| found.starts_with(folder));
        if !self.folders.as_ref().is_none_or(is_inside) {
            return Err(FenceError::Outside { setting: self.setting.clone(), is_shared: self.is_shared });
        }
        match found.ancestors().any(|path| self.private.contains(path)) {
            true => Err(FenceError::Private),
            false => Ok(()),
        }
    }
}

/// Returns a path without links. Its last parts need not exist: the node may write the file later.
fn resolved_so_far(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|known| Some(known.canonicalize().ok()?.join(path.strip_prefix(known).ok()?)))
}

pub(crate) fn check_kind(kind: FileType) -> Result<(), FenceError> {
    if kind.is_file() || kind.is_dir() { Ok(()) } else { Err(FenceError::Irregular) }
}

#[cfg(all(test, feature = "files"))]
mod tests;
