//! The destination of results: standard output, a file that appears only when it is complete, or a device.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use portolan_node::{Error, Result};
use tempfile::NamedTempFile;

/// The destination of results.
pub(super) enum Destination {
    Stdout,
    File {
        /// The name that the user gave.
        path: PathBuf,
        /// The file to write. If the name is that of a link, the file that the link names.
        target: PathBuf,
        unfinished: NamedTempFile,
    },
    /// A pipe or a device, which no rename may replace.
    Device {
        path: PathBuf,
        file: File,
    },
}

impl Destination {
    /// Opens the file or the device with this name.
    ///
    /// # Errors
    /// A folder, a file that is read-only, or a folder that cannot be written to.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let wrong = |what: &str| Error::config(format!("cannot write {}: {what}", path.display()));
        let known = std::fs::metadata(path).ok();
        match &known {
            Some(known) if known.is_dir() => return Err(wrong("it is a folder")),
            Some(known) if !known.is_file() || is_open_file(path) => {
                // Standard output can be a file that has text already.
                let file = OpenOptions::new().append(true).open(path);
                let file = file.map_err(|e| Error::output(path.display(), e))?;
                return Ok(Self::Device { path: path.into(), file });
            }
            Some(known) if known.permissions().readonly() => return Err(wrong("the file is read-only")),
            _ => {}
        }
        let target = followed(path);
        // In the same folder, so that one rename gives the file its name.
        let folder = folder_of(&target);
        if !folder.is_dir() {
            return Err(wrong(&format!("there is no folder {}", folder.display())));
        }
        let unfinished = unfinished(folder, known.as_ref());
        // The error has the name of the unfinished file, which the user does not know.
        let unfinished = unfinished.map_err(|e| Error::output(path.display(), io::Error::from(e.kind())))?;
        Ok(Self::File { path: path.into(), target, unfinished })
    }

    /// Returns the name of the file or the device, if it is not standard output.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::File { path, .. } | Self::Device { path, .. } => Some(path),
        }
    }

    /// Returns a writer to the file or the device. `None` for standard output.
    pub(super) fn writer(&mut self) -> Option<&mut (dyn Write + Send)> {
        match self {
            Self::Stdout => None,
            Self::File { unfinished, .. } => Some(unfinished.as_file_mut()),
            Self::Device { file, .. } => Some(file),
        }
    }

    /// Returns the number of bytes that a file has. `None` if they cannot be taken back.
    pub(super) fn position(&mut self) -> Option<u64> {
        match self {
            Self::File { unfinished, .. } => unfinished.as_file_mut().stream_position().ok(),
            Self::Stdout | Self::Device { .. } => None,
        }
    }

    /// Cuts a file to its first bytes. Returns false if that is not possible.
    pub(super) fn cut(&mut self, to: u64) -> bool {
        let Self::File { unfinished, .. } = self else { return false };
        let file = unfinished.as_file_mut();
        file.set_len(to).and_then(|()| file.seek(SeekFrom::Start(to))).is_ok()
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// The error of the file system.
    pub(super) fn finish(self) -> Result<()> {
        let Self::File { path, target, unfinished } = self else { return Ok(()) };
        let failed = |e| Error::output(path.display(), e);
        unfinished.as_file().sync_all().map_err(failed)?;
        #[cfg(unix)]
        keep_permissions(&unfinished, &target);
        unfinished.persist(&target).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

/// True if the name is a link of the system to an open file, such as `/dev/stdout`. The link must stay, and the file may
/// have no name.
fn is_open_file(path: &Path) -> bool {
    let is_link = || std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder)) && is_link()
}

/// Returns the file that a link names, also if there is no such file yet. The link stays. Returns other names as they
/// are.
fn followed(path: &Path) -> PathBuf {
    let named = std::fs::canonicalize(path);
    let named = named.or_else(|_| std::fs::read_link(path).map(|named| folder_of(path).join(named)));
    named.unwrap_or_else(|_| path.to_path_buf())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates the file that becomes the output. At no time may others read more of it than of the file that it replaces, or
/// of any new file of the user.
fn unfinished(folder: &Path, known: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".portolan-");
    #[cfg(unix)]
    {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt;
        let mode = known.map_or(0o666, |known| known.permissions().mode() & 0o777);
        // The system removes what the user's `umask` forbids.
        builder.permissions(Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = known;
    builder.tempfile_in(folder)
}

/// Gives the file the permissions of the file that it replaces, also those that `umask` forbids new files.
#[cfg(unix)]
fn keep_permissions(unfinished: &NamedTempFile, target: &Path) {
    let Ok(known) = std::fs::metadata(target) else { return };
    if let Err(e) = unfinished.as_file().set_permissions(known.permissions()) {
        tracing::debug!("cannot set permissions: {e}");
    }
}
