//! Checks listed files against the boundary of their source.

use std::path::{Path, PathBuf};

use object_store::ObjectMeta;
use object_store::local::LocalFileSystem;

use crate::fence::{Fence, FenceError, check_kind};

impl Fence {
    /// Checks listed files. The folder of many files is resolved once.
    ///
    /// # Errors
    /// The first file that must not be read, and the reason.
    pub(crate) fn check_files<'a>(&self, files: &'a [ObjectMeta]) -> Result<(), (&'a ObjectMeta, FenceError)> {
        let system = LocalFileSystem::new();
        let mut folder: Option<(PathBuf, PathBuf)> = None;
        for file in files {
            let fail = |error| (file, error);
            // A name that the store does not accept is never opened.
            let Ok(path) = system.path_to_filesystem(&file.location) else { continue };
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let known = folder.take().filter(|(known, _)| known == parent);
            let found = match known {
                Some((_, found)) => found,
                None => match self.resolve(parent) {
                    Ok(found) => found,
                    Err(FenceError::Unreadable(_)) => continue,
                    Err(error) => return Err(fail(error)),
                },
            };
            self.check_file(&path, &found.join(name)).map_err(fail)?;
            folder = Some((parent.to_path_buf(), found));
        }
        Ok(())
    }

    /// Checks a file. `found` is its path in a folder without links.
    fn check_file(&self, path: &Path, found: &Path) -> Result<(), FenceError> {
        let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
        if metadata.is_symlink() {
            return self.check(path);
        }
        if self.is_private(found) {
            return Err(FenceError::Private);
        }
        check_kind(metadata.file_type())
    }
}
