//! The folder of one engine for spilled data, and what engines left behind whose process was killed.
//!
//! Each engine has a folder of its own below the configured one, and holds a lock on a file in it. The system releases
//! the lock when the process ends, however it ends. An engine that starts removes the folders whose lock is free. It
//! touches only folders with the names that engines give, and follows no links.

use std::fs::{self, DirBuilder, DirEntry, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The prefix of an engine's folder. A unique identifier follows.
const PREFIX: &str = "portolan-spill-";
/// The number of hexadecimal digits of the identifier.
const ID_DIGITS: usize = 32;
/// The file with the lock of a folder.
const LOCK: &str = "lock";
/// The attempts to create a folder. Another engine that starts may remove a folder that is not locked yet.
const ATTEMPTS: usize = 10;
/// The largest number of files in a folder that are counted.
const MOST_FILES: usize = 100_000;
/// The number of levels of a folder: files are in folders of DataFusion.
const LEVELS: usize = 4;

/// The folder of one engine. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
    _lock: File,
}

impl SpillFolder {
    /// Creates a folder below `parent`, and `parent` itself if it is missing.
    ///
    /// # Errors
    /// The error of the file system.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        for _ in 0..ATTEMPTS {
            let path = parent.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
            private_folders().create(&path)?;
            if let Some(lock) = locked(&path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::other(format!("other processes removed the folders that were created in {}", parent.display())))
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folders beside this one whose process has ended, and logs what it cannot remove. Returns the bytes
    /// that remain in folders of processes that have ended.
    pub(crate) fn remove_leftovers(&self) -> u64 {
        let mut remaining = 0;
        for folder in self.others() {
            // Only the folder of an ended process is counted. A running one changes its folder, which may be large.
            let (bytes, outcome) = match lock_left_over(&folder) {
                Ok(None) => continue,
                Ok(Some(_lock)) => (bytes_of(&folder), clear(&folder)),
                Err(error) => (bytes_of(&folder), Err(error)),
            };
            match outcome {
                Ok(()) => {
                    tracing::info!(folder = %folder.display(), bytes, "removed spilled data of a process that ended");
                }
                Err(error) => {
                    remaining += bytes;
                    tracing::warn!(
                        folder = %folder.display(),
                        bytes,
                        %error,
                        "cannot remove spilled data of a process that ended: its bytes count towards limits.spill"
                    );
                }
            }
        }
        remaining
    }

    /// Returns the folders of other engines of this user.
    fn others(&self) -> Vec<PathBuf> {
        let Some(parent) = self.path.parent() else { return vec![] };
        let (Ok(entries), Ok(own)) = (fs::read_dir(parent), fs::symlink_metadata(&self.path)) else { return vec![] };
        let is_other = |entry: &DirEntry| {
            is_folder_name(&entry.file_name().to_string_lossy())
                && entry.path() != self.path
                // The metadata is that of a link itself, which is no folder.
                && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && is_of_same_user(&metadata, &own))
        };
        entries.flatten().filter(is_other).map(|entry| entry.path()).collect()
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "cannot remove the folder of spilled data");
        }
    }
}

/// Creates and locks the lock of a new folder. `None` if another process has removed the folder meanwhile, or is about
/// to.
fn locked(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let lock = match File::create_new(&path) {
        Ok(lock) => lock,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match lock.try_lock() {
        Ok(()) => Ok(fs::symlink_metadata(&path).is_ok().then_some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            // Without locks, the folder works, but nobody can know when it is left over.
            let folder = folder.display();
            tracing::warn!(%folder, %error, "the file system has no locks: spilled data may be left over");
            Ok(Some(lock))
        }
    }
}

/// Locks a folder whose process has ended. `None` if the process runs, or if the folder is gone.
fn lock_left_over(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let lock = match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => File::open(&path),
        Ok(_) => return Err(io::Error::other("its lock is not a file")),
        Err(e) => Err(e),
    };
    let lock = match lock {
        Ok(lock) => lock,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return remove_unlocked(folder).map(|()| None),
        Err(e) => return Err(e),
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Removes a folder without a lock. Such a folder is new or about to go, and in both cases empty. Its process then
/// creates another one.
fn remove_unlocked(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        // The process has locked the folder meanwhile.
        Err(_) if fs::symlink_metadata(folder.join(LOCK)).is_ok() => Ok(()),
        outcome => unless_gone(outcome),
    }
}

/// Removes a folder whose lock is held. The lock goes last, so that a later start can try again.
fn clear(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        // Another engine that starts has removed the folder.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => unless_gone(fs::remove_dir_all(entry.path()))?,
            false if entry.file_name() == LOCK => {}
            false => unless_gone(fs::remove_file(entry.path()))?,
        }
    }
    unless_gone(fs::remove_file(folder.join(LOCK)))?;
    unless_gone(fs::remove_dir(folder))
}

/// Removing what is gone is no error.
fn unless_gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Returns the bytes of the files in the folder of an engine, without following links.
fn bytes_of(folder: &Path) -> u64 {
    let mut files = MOST_FILES;
    bytes_in(folder, LEVELS, &mut files)
}

fn bytes_in(folder: &Path, levels: usize, files: &mut usize) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let mut bytes = 0;
    for entry in entries.flatten() {
        if *files == 0 {
            break;
        }
        *files -= 1;
        let Ok(metadata) = entry.metadata() else { continue };
        match metadata.is_dir() {
            true if levels > 0 => bytes += bytes_in(&entry.path(), levels - 1, files),
            true => {}
            false => bytes += metadata.len(),
        }
    }
    bytes
}

/// True for a name that an engine gives to its folder.
fn is_folder_name(name: &str) -> bool {
    let is_id =
        |id: &str| id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    name.strip_prefix(PREFIX).is_some_and(is_id)
}

/// Returns a builder of folders that only their owner can use.
fn private_folders() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(false);
    builder
}

#[cfg(unix)]
fn is_of_same_user(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.uid() == b.uid()
}

#[cfg(not(unix))]
fn is_of_same_user(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Returns a folder of a process that has ended, with some bytes.
    fn left_over(parent: &Path, bytes: usize) -> PathBuf {
        let folder = parent.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        fs::create_dir_all(folder.join("datafusion-x")).unwrap();
        fs::write(folder.join(LOCK), "").unwrap();
        fs::write(folder.join("datafusion-x/spilled"), vec![0; bytes]).unwrap();
        folder
    }

    fn temporary() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("portolan-test-{}", Uuid::new_v4().simple()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn folders_of_ended_processes_are_removed_and_others_stay() {
        let parent = temporary();
        let living = SpillFolder::create(&parent).unwrap();
        fs::write(living.path().join("spilled"), "rows").unwrap();
        let dead = left_over(&parent, 1000);
        let new = parent.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        fs::create_dir(&new).unwrap();
        let foreign = [parent.join("datafusion-abc"), parent.join(format!("{PREFIX}notes"))];
        foreign.iter().for_each(|folder| fs::create_dir(folder).unwrap());

        let started = SpillFolder::create(&parent).unwrap();
        assert_eq!(started.remove_leftovers(), 0);
        assert!(!dead.exists() && !new.exists());
        assert!(living.path().join("spilled").exists() && started.path().exists());
        assert!(foreign.iter().all(|folder| folder.exists()));

        let path = started.path().to_owned();
        drop(started);
        assert!(!path.exists());
        drop(living);
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_folder_that_another_engine_removes_is_left_to_it() {
        let parent = temporary();
        let (dead, living) = (left_over(&parent, 1000), SpillFolder::create(&parent).unwrap());
        assert!(lock_left_over(living.path()).unwrap().is_none());
        let lock = lock_left_over(&dead).unwrap().unwrap();
        let started = SpillFolder::create(&parent).unwrap();
        assert_eq!(started.remove_leftovers(), 0);
        assert!(dead.exists() && living.path().exists());
        drop(lock);
        assert_eq!(started.remove_leftovers(), 0);
        assert!(!dead.exists() && living.path().exists());
        drop((started, living));
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_removed_is_counted() {
        let parent = temporary();
        let dead = left_over(&parent, 1000);
        fs::remove_file(dead.join(LOCK)).unwrap();
        let started = SpillFolder::create(&parent).unwrap();
        assert_eq!(started.remove_leftovers(), 1000);
        assert!(dead.exists());
        drop(started);
        fs::remove_dir_all(parent).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let (parent, elsewhere) = (temporary(), temporary());
        let file = elsewhere.join("precious");
        fs::write(&file, "rows").unwrap();
        let link = parent.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        let dead = left_over(&parent, 10);
        std::os::unix::fs::symlink(&elsewhere, dead.join("datafusion-y")).unwrap();
        std::os::unix::fs::symlink(&file, dead.join("datafusion-x/z")).unwrap();

        let started = SpillFolder::create(&parent).unwrap();
        assert_eq!(started.remove_leftovers(), 0);
        assert!(!dead.exists() && file.exists());
        assert!(fs::symlink_metadata(&link).is_ok());
        drop(started);
        fs::remove_dir_all(parent).unwrap();
        fs::remove_dir_all(elsewhere).unwrap();
    }
}
