//! The files that a command creates. They are all there at its end, or none is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use portolan_node::{Error, Result, create_key_file};

/// A file that the command creates.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
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

/// The files that the command has created. If the command fails, they are removed.
#[derive(Default)]
pub(super) struct NewFiles(pub(super) Vec<PathBuf>);

impl NewFiles {
    /// Keeps the files.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // The error of the command is the one to report.
            let _ = fs::remove_file(path);
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
        let path = folder.path().join("node.yaml");
        for is_kept in [false, true] {
            fs::write(&path, "").unwrap();
            let new = NewFiles(vec![path.clone()]);
            if is_kept {
                new.keep()
            } else {
                drop(new)
            }
            assert_eq!(path.exists(), is_kept);
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
