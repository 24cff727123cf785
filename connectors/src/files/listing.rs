//! Lists the files of a port, again for every scan. Leaves out hidden files and files of other formats. The number of
//! files is bounded.

mod local;

use futures::{StreamExt, TryStreamExt};
use glob::Pattern;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use portolan_catalog::FileFormat;

use super::format;
use super::location::{Location, Refused, Selection, StoreAddress};

/// The folder with the log of a Delta table.
const DELTA_LOG: &str = "_delta_log";

/// The reason why the files of a port cannot be listed.
#[derive(Debug)]
pub(super) enum ListingError {
    /// The store does not respond, or rejects the request.
    Store(object_store::Error),
    /// There are more files than the limit, which is the value.
    TooMany(usize),
    /// There is no file of this format.
    Empty(FileFormat),
    /// The folder is a Delta table, in which some files no longer belong to the table.
    DeltaTable,
    /// A file or a folder must not be read: it is outside of the source's root, or is neither a regular file nor a
    /// folder.
    Refused(Refused),
}

impl ListingError {
    /// Returns the message about the files at `at`, without the store's own text.
    pub(super) fn message(&self, at: &str) -> String {
        match self {
            Self::Store(object_store::Error::NotFound { .. }) => format!("there is nothing at {at}"),
            Self::Store(_) => format!("{at} cannot be listed"),
            Self::TooMany(limit) => {
                format!(
                    "{at} holds more than {limit} files: choose fewer by a glob, or raise `max_files` of the source"
                )
            }
            Self::Empty(format) => {
                let format = match format {
                    FileFormat::Parquet => "Parquet",
                    FileFormat::Csv => "CSV",
                    FileFormat::Json => "JSON",
                    FileFormat::Arrow => "Arrow",
                };
                format!("there is no {format} file at {at}")
            }
            Self::DeltaTable => format!("{at} is a Delta table, which cannot be read as plain files"),
            Self::Refused(refused) => refused.message(at),
        }
    }
}

/// Returns the files of a port, in the order of their paths. There is at least one.
///
/// # Errors
/// See [`ListingError`].
pub(super) async fn list(
    store: &dyn ObjectStore,
    location: &Location,
    format: FileFormat,
    max_files: usize,
) -> Result<Vec<ObjectMeta>, ListingError> {
    // The store opens a single file to describe it.
    location.check_base().await.map_err(ListingError::Refused)?;
    let files = found(store, location, format, max_files).await?;
    location.checked(files).await.map_err(ListingError::Refused)
}

/// Returns the files that the store lists, or those of the local folders.
async fn found(
    store: &dyn ObjectStore,
    location: &Location,
    format: FileFormat,
    max_files: usize,
) -> Result<Vec<ObjectMeta>, ListingError> {
    if location.selection == Selection::FileOrFolder {
        match store.head(&location.base).await {
            Ok(file) => return Ok(vec![file]),
            Err(object_store::Error::NotFound { .. }) if !matches!(location.store, StoreAddress::Http { .. }) => {}
            Err(error) => return Err(ListingError::Store(error)),
        }
    }
    let mut files = Vec::new();
    let mut listed = match location.local_files() {
        Some((local, base)) => local::list(location, local, base, format),
        None => store.list(Some(&location.base)).map_err(ListingError::Store).boxed(),
    };
    while let Some(file) = listed.try_next().await? {
        let Some(below) = location.below_base(&file.location) else { continue };
        if is_of_delta_log(below, location) {
            return Err(ListingError::DeltaTable);
        }
        if is_wanted(below, location, format) && !is_marker(&file, format) {
            files.push(file);
            if files.len() > max_files {
                return Err(ListingError::TooMany(max_files));
            }
        }
    }
    if files.is_empty() {
        return Err(ListingError::Empty(format));
    }
    files.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// True if the file at this path below the base shows that the folder is a Delta table.
fn is_of_delta_log(below: &str, location: &Location) -> bool {
    let is_of_log = below.split_once('/').is_some_and(|(folder, _)| folder == DELTA_LOG);
    is_of_log && !matches!(location.selection, Selection::Glob(_))
}

/// True if the file at this path below the base has data. The location chooses the file, the file is not hidden, and
/// its extension belongs to the format unless a glob selects the extension.
fn is_wanted(below: &str, location: &Location, format: FileFormat) -> bool {
    if !location.chooses(below) {
        return false;
    }
    let extension_is_chosen = match &location.selection {
        // A glob may select hidden names or an extension explicitly.
        Selection::Glob(pattern) if has_hidden_segment(pattern) => return true,
        Selection::Glob(pattern) => pattern.as_str().rsplit('/').next().is_some_and(|last| last.contains('.')),
        _ => false,
    };
    !below.split('/').any(is_hidden) && (extension_is_chosen || format::has_extension(below, format))
}

/// True if the folder at this path below the base may have files with data, or shows that there are none.
fn may_have_files(below: &str, location: &Location) -> bool {
    let may_be_hidden = match &location.selection {
        Selection::Glob(pattern) => has_hidden_segment(pattern),
        _ => below == DELTA_LOG,
    };
    (may_be_hidden || !below.split('/').any(is_hidden)) && location.chooses_in(below)
}

fn has_hidden_segment(pattern: &Pattern) -> bool {
    pattern.as_str().split('/').any(is_hidden)
}

fn is_hidden(segment: &str) -> bool {
    segment.starts_with('.') || (segment.starts_with('_') && !segment.contains('='))
}

/// True if an empty file is only a marker. In a format with a footer, an empty file was cut short.
fn is_marker(file: &ObjectMeta, format: FileFormat) -> bool {
    file.size == 0 && matches!(format, FileFormat::Csv | FileFormat::Json)
}
