//! The files that a command creates. They are all there at its end, or none is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use portolan_node::{Error, Result, create_key_file};

/// A file that the command creates.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    text: String,
    /// True if only the owner of the file may read it.
    is_private: bool,
}

impl NewFile {
    pub(super) fn public(path: PathBuf, text: String) -> Self {
        Self { path, text, is_private: false }
    }

    pub(super) fn private(path: PathBuf, text: String) -> Self {
        Self { path, text, is_private: true }
    }

    /// Writes the file, and creates its folder.
    ///
    /// # Errors
    /// A file that exists already, or cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder).and_then(|()| match self.is_private {
            true => create_key_file(&self.path, &self.text),
            false => File::create_new(&self.path).and_then(|mut file| file.write_all(self.text.as_bytes())),
        });
        written.map_err(|e| Error::output(self.path.display(), e))
    }
}

/// The files and folders that the command has created. If the command fails, they are removed.
#[derive(Default)]
pub(super) struct NewFiles {
    pub(super) files: Vec<PathBuf>,
    /// The new folders, each before the folders that it has.
    folders: Vec<PathBuf>,
}

impl NewFiles {
    /// Adds a folder and those above it, unless they exist: the command creates them next.
    pub(super) fn add_folders(&mut self, path: &Path) {
        let mut new: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
        new.retain(|above| !above.as_os_str().is_empty() && self.folders.iter().all(|known| known != above));
        self.folders.extend(new.into_iter().rev().map(Path::to_path_buf));
    }

    /// Keeps the files.
    pub(super) fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        // The error of the command is the one to report.
        for path in &self.files {
            let _ = fs::remove_file(path);
        }
        // A folder that has other files by now stays.
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_of_a_command_that_fails_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node/tls/node.yaml");
        for is_kept in [false, true] {
            let mut new = NewFiles::default();
            new.add_folders(&folder.path().join("node"));
            new.add_folders(path.parent().unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            new.files.push(path.clone());
            if is_kept {
                new.keep()
            } else {
                drop(new)
            }
            assert_eq!((path.exists(), folder.path().join("node").exists()), (is_kept, is_kept));
            assert!(folder.path().exists());
        }
    }

    #[test]
    #[cfg(unix)]
    fn private_files_are_for_their_owner() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls/key.pem");
        NewFile::private(path.clone(), "secret".to_owned()).write().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(NewFile::private(path.clone(), "other".to_owned()).write().is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "secret");
    }
}
