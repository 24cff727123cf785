//! A cache of generated TPC-H data in the user's cache folder. The data of a scale is generated once, and is complete
//! or absent, even if several processes generate it at once or one of them is killed.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portolan_node::{Error, Result};

use super::generate::{OnBatch, generate};

/// The version of the files. It changes with anything that changes them.
const LAYOUT: &str = "v1";
/// The time to wait for another process that generates the same data.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Returns the folder that generated data is kept in: `portolan` below the user's cache folder.
///
/// # Errors
/// There is no home folder.
pub fn cache_folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    variable("XDG_CACHE_HOME")
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .map(|cache| cache.join("portolan"))
        .ok_or_else(|| Error::failed("there is no home folder to keep data in; set XDG_CACHE_HOME"))
}

/// Returns the folder with the tables of a scale below `root`. Generates the tables if they are missing.
///
/// # Errors
/// The errors of [`generate`], a cache folder that cannot be written, or another process that generates the same data
/// for too long.
pub fn ensure(root: &Path, scale: f64, on_batch: OnBatch<'_>, cancel: &AtomicBool) -> Result<PathBuf> {
    let name = format!("tpch-sf{scale}-{LAYOUT}");
    let folder = root.join(&name);
    if is_complete(&folder) {
        return Ok(folder);
    }
    fs::create_dir_all(root).map_err(|e| Error::output(root.display(), e))?;
    // Held until this function returns. The system releases it if the process dies.
    let _lock = lock(&root.join(format!("{name}.lock")), cancel)?;
    if is_complete(&folder) {
        return Ok(folder);
    }
    remove_leftovers(root, &name)?;
    let unfinished = Unfinished(root.join(format!(".{name}.{}", std::process::id())));
    fs::create_dir(&unfinished.0).map_err(|e| Error::output(unfinished.0.display(), e))?;
    generate(&unfinished.0, scale, on_batch, cancel)?;
    let marker = marker(&unfinished.0);
    fs::write(&marker, b"").map_err(|e| Error::output(marker.display(), e))?;
    fs::rename(&unfinished.0, &folder).map_err(|e| Error::output(folder.display(), e))?;
    Ok(folder)
}

/// True if the data of this scale is in the cache.
pub fn is_cached(root: &Path, scale: f64) -> bool {
    is_complete(&root.join(format!("tpch-sf{scale}-{LAYOUT}")))
}

/// A folder that is removed on drop, unless it has been renamed to its final name.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.0)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove {}: {e}", self.0.display());
        }
    }
}

fn marker(folder: &Path) -> PathBuf {
    folder.join("complete")
}

fn is_complete(folder: &Path) -> bool {
    marker(folder).is_file()
}

fn lock(path: &Path, cancel: &AtomicBool) -> Result<File> {
    let file = File::create(path).map_err(|e| Error::output(path.display(), e))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(Error::output(path.display(), e)),
            Err(TryLockError::WouldBlock) => {}
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::interrupted());
        }
        if started.elapsed() > LOCK_TIMEOUT {
            return Err(Error::failed(format!(
                "another process has been generating the same data for too long; if there is none, remove {}",
                path.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Removes the folders of processes that were killed while they generated this data. The caller holds the lock.
fn remove_leftovers(root: &Path, name: &str) -> Result<()> {
    let unreadable = |e| Error::output(root.display(), e);
    let unfinished = format!(".{name}.");
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        if file_name.starts_with(&unfinished) || *file_name == *name {
            fs::remove_dir_all(entry.path()).map_err(|e| Error::output(entry.path().display(), e))?;
        }
    }
    Ok(())
}
