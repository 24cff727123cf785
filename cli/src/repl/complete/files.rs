//! Completes the names of files of this machine.

use std::path::PathBuf;

use portolan_catalog::is_printable;

/// The largest number of entries of a folder that are looked at.
const MOST_ENTRIES: usize = 10_000;

/// The place in which a name of a file stands. It decides how the name is quoted, and whether `~` is the user's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilePlace {
    /// A command such as `\i`: quotes as in a shell.
    Command,
    /// `\copy`: quotes as in SQL.
    Copy,
    /// A statement: quotes as in SQL, and `~` is a name.
    Statement,
}

/// Returns the names of files and folders that continue `typed`, as they are written at this place. `typed` begins with
/// the quote, if there is one. The closing quote is left out if `is_closed` is true: it is there already.
pub(super) fn files(typed: &str, place: FilePlace, is_closed: bool) -> Vec<String> {
    let (is_quoted, path) = match typed.strip_prefix('\'') {
        Some(path) => (true, path),
        None => (false, typed),
    };
    let path = if place == FilePlace::Command { path.to_owned() } else { path.replace("''", "'") };
    let written = |(path, is_folder): (String, bool)| {
        if !is_quoted && path.chars().all(needs_no_quotes) {
            return Some(path);
        }
        let text = match place {
            // A shell has no quote within quotes.
            FilePlace::Command if path.contains('\'') => return None,
            FilePlace::Command => path,
            FilePlace::Copy | FilePlace::Statement => path.replace('\'', "''"),
        };
        // The name of a folder goes on.
        let end = if is_folder || is_closed { "" } else { "'" };
        Some(format!("'{text}{end}"))
    };
    found(&path, place).into_iter().filter_map(written).collect()
}

fn needs_no_quotes(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~' | '+' | '@' | '%' | '=' | ',' | ':')
}

/// Returns the paths that begin with `path`, in order, each with true for a folder.
fn found(path: &str, place: FilePlace) -> Vec<(String, bool)> {
    let (folder, prefix) = path.rfind('/').map_or(("", path), |slash| path.split_at(slash + 1));
    let home = || std::env::home_dir().filter(|_| place != FilePlace::Statement);
    let read = match (folder.strip_prefix("~/"), home()) {
        (Some(below), Some(home)) => home.join(below),
        _ if folder.is_empty() => PathBuf::from("."),
        _ => PathBuf::from(folder),
    };
    let Ok(entries) = std::fs::read_dir(read) else { return vec![] };
    let entry = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let is_shown = !name.starts_with('.') || prefix.starts_with('.');
        if !name.starts_with(prefix) || !is_shown || !is_printable(&name) {
            return None;
        }
        let is_folder = entry.path().is_dir();
        Some((format!("{folder}{name}{}", if is_folder { "/" } else { "" }), is_folder))
    };
    let mut paths: Vec<_> = entries.take(MOST_ENTRIES).flatten().filter_map(entry).collect();
    paths.sort();
    paths
}
