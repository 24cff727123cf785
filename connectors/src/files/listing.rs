//! Finds the files of a port, afresh for every scan: hidden and foreign files are left out, and their number is bound.

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use portolan_catalog::FileFormat;

use super::format;
use super::location::{Location, Selection, StoreAddress};

/// Why the files of a port cannot be listed.
#[derive(Debug)]
pub(super) enum ListingError {
    /// The store does not answer, or refuses.
    Store(object_store::Error),
    /// There are more than the limit allows.
    TooMany(usize),
    /// There is none.
    Empty,
    /// The folder is a Delta table: some of its files are no longer part of it.
    DeltaTable,
}

impl ListingError {
    /// What to tell, without the store's own words.
    pub(super) fn message(&self, location: &Location) -> String {
        let at = location.as_str();
        match self {
            Self::Store(object_store::Error::NotFound { .. }) => format!("there is nothing at {at}"),
            Self::Store(_) => format!("{at} cannot be listed"),
            Self::TooMany(limit) => {
                format!(
                    "{at} holds more than {limit} files: choose fewer by a glob, or raise `max_files` of the source"
                )
            }
            Self::Empty => format!("there is no file of the declared format at {at}"),
            Self::DeltaTable => format!("{at} is a Delta table, which cannot be read as plain files"),
        }
    }
}

/// The files of a port, in the order of their paths. At least one.
///
/// # Errors
/// See [`ListingError`].
pub(super) async fn list(
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
    let mut listed = store.list(Some(&location.base));
    while let Some(file) = listed.try_next().await.map_err(ListingError::Store)? {
        let Some(below) = location.below_base(&file.location) else { continue };
        if below.starts_with("_delta_log/") && !matches!(location.selection, Selection::Glob(_)) {
            return Err(ListingError::DeltaTable);
        }
        if is_wanted(below, location, format) && location.chooses(&file.location) && !is_marker(&file, format) {
            files.push(file);
            if files.len() > max_files {
                return Err(ListingError::TooMany(max_files));
            }
        }
    }
    if files.is_empty() {
        return Err(ListingError::Empty);
    }
    files.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// Whether the file at this path below the base is data: not hidden, and of the format where its name has to tell.
fn is_wanted(below: &str, location: &Location, format: FileFormat) -> bool {
    let hidden = |segment: &str| segment.starts_with('.') || (segment.starts_with('_') && !segment.contains('='));
    let asked_for = match &location.selection {
        Selection::Glob(pattern) => {
            // A glob that spells hidden names or an extension means what it says.
            let spelt = pattern.as_str();
            let last = spelt.rsplit('/').next().unwrap_or(spelt);
            if spelt.split('/').any(hidden) {
                return true;
            }
            last.contains('.')
        }
        _ => false,
    };
    !below.split('/').any(hidden) && (asked_for || format::has_extension(below, format))
}

/// Whether a file without bytes stands for nothing. In a format with a footer it stands for a file that was cut short.
fn is_marker(file: &ObjectMeta, format: FileFormat) -> bool {
    file.size == 0 && matches!(format, FileFormat::Csv | FileFormat::Json)
}
