//! The ports that files, folders, globs and URLs stand for: the name, the location and the format of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use glob::Pattern;
use portolan_catalog::FileFormat;
use portolan_connectors::files::format_of;

use super::database_access::DatabaseUrl;
use super::names::{distinct, identifier};
use crate::{Error, Result};

/// The characters that make a location a glob.
const GLOB_CHARACTERS: [char; 3] = ['*', '?', '['];
/// The largest number of files and folders that are looked at below a folder.
const MAX_ENTRIES: usize = 100_000;
/// The largest number of folders in one another.
const MAX_DEPTH: usize = 16;
/// Names of files that say nothing about the rows.
const GENERIC: [&str; 8] = ["", "part", "data", "file", "chunk", "export", "batch", "table"];
/// The beginnings of the names of text files about the data, in lower case.
const NOTES: [&str; 6] = ["readme", "license", "licence", "copying", "changelog", "contributing"];
/// The endings of compressed text.
const COMPRESSIONS: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

/// The files of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortFiles {
    /// The name that the files suggest for the port.
    pub name: String,
    /// An absolute path of a file, a folder or a glob, or a URL.
    pub location: String,
    /// The format. `None` if the location does not imply one.
    pub format: Option<FileFormat>,
}

/// Returns the ports that `arguments` stand for. Each is a file, a folder, a glob, or the URL of an object store:
///
/// - A file, a glob and a URL are one port.
/// - A folder whose subfolders are called `year=2024` or `2024` is one port.
/// - In any other folder, each file and each subfolder is a port. Files whose names differ only in digits are one port.
/// - Text about the data in a folder, such as `README.txt`, is no data.
///
/// # Errors
/// A path that does not exist, a folder without data, a name that implies no format.
pub fn find_ports(arguments: &[String]) -> Result<Vec<PortFiles>> {
    let mut ports = vec![];
    for argument in arguments {
        let before = ports.len();
        // The URL may have a password.
        if DatabaseUrl::is_url(argument) {
            return Err(Error::config("a database is no file: name its URL with `--from`"));
        }
        match argument.split_once("://") {
            Some((scheme, _)) if scheme != "file" => ports.push(of_url(argument)),
            other => of_path(other.map_or(argument.as_str(), |(_, path)| path), &mut ports)?,
        }
        if ports.len() == before {
            return Err(Error::config(format!(
                "{argument} has no data: expected files with an extension such as `.parquet`, `.csv`, `.jsonl` or `.arrow`"
            )));
        }
    }
    name_by_folders(&mut ports);
    let mut taken = BTreeSet::new();
    for port in &mut ports {
        port.name = distinct(&port.name, &mut taken);
    }
    Ok(ports)
}

/// Puts the names of their folders before the names of equally called files in different folders.
fn name_by_folders(ports: &mut [PortFiles]) {
    let folder = |port: &PortFiles| Path::new(&port.location).parent().map(folder_name).unwrap_or_default();
    let mut folders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for port in &*ports {
        folders.entry(port.name.clone()).or_default().push(folder(port));
    }
    for port in ports.iter_mut().filter(|port| !port.location.contains("://")) {
        let all = folders.get(&port.name).map(Vec::as_slice).unwrap_or_default();
        let are_different = all.iter().collect::<BTreeSet<_>>().len() == all.len();
        let own = folder(port);
        if all.len() > 1 && are_different && own != port.name {
            port.name = format!("{own}_{}", port.name);
        }
    }
}

fn of_url(url: &str) -> PortFiles {
    let segments = || url.trim_end_matches('/').rsplit('/');
    // A glob of all files says less than the folder that has them.
    let name = segments().map(|segment| port_name(stem(segment).0)).find(|name| !is_generic(name));
    PortFiles { name: name.unwrap_or_else(|| "data".to_owned()), location: url.to_owned(), format: format_of(url) }
}

fn of_path(text: &str, ports: &mut Vec<PortFiles>) -> Result<()> {
    let path = Path::new(text);
    let Ok(found) = path.canonicalize() else {
        if text.contains(GLOB_CHARACTERS) {
            ports.push(of_glob(path)?);
            return Ok(());
        }
        return Err(Error::config(format!("there is no file or folder {text}")));
    };
    if found.is_dir() {
        return of_folder(&found, 0, &mut 0, ports);
    }
    let location = literal(&found)?;
    let Some(format) = format_of(location) else {
        return Err(Error::config(format!(
            "{text}: expected an extension such as `.parquet`, `.csv`, `.jsonl` or `.arrow`"
        )));
    };
    ports.push(PortFiles { name: file_port_name(&found), location: location.to_owned(), format: Some(format) });
    Ok(())
}

fn of_glob(path: &Path) -> Result<PortFiles> {
    let path = std::path::absolute(path).map_err(|e| Error::config(format!("{}: {e}", path.display())))?;
    let is_glob = |part: &std::path::Component<'_>| part.as_os_str().to_string_lossy().contains(GLOB_CHARACTERS);
    let above: PathBuf = path.components().take_while(|part| !is_glob(part)).collect();
    let rest: PathBuf = path.components().skip_while(|part| !is_glob(part)).collect();
    let folder = above
        .canonicalize()
        .map_err(|e| Error::config(format!("{} cannot be read", above.display())).with_source(e))?;
    literal(&folder)?;
    let location = folder.join(rest);
    let location = utf8(&location)?.to_owned();
    let own = port_name(stem(location.rsplit('/').next().unwrap_or_default()).0);
    let name = if is_generic(&own) { folder_name(&folder) } else { own };
    Ok(PortFiles { name, format: format_of(&location), location })
}

/// Adds the ports of a folder. `seen` counts the entries so far.
fn of_folder(folder: &Path, depth: usize, seen: &mut usize, ports: &mut Vec<PortFiles>) -> Result<()> {
    let (files, folders) = entries(folder, depth, seen)?;
    if folders.iter().any(|name| is_part(name)) {
        if let Some(format) = first_format(folder, depth, seen)? {
            let location = literal(folder)?.to_owned();
            ports.push(PortFiles { name: folder_name(folder), location, format: Some(format) });
        }
        return Ok(());
    }
    let mut groups: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let has_notes = files.iter().any(|file| is_note(file));
    for file in files.iter().filter(|file| is_data(file)) {
        let (stem, extension) = stem(file);
        groups.entry((group(stem), extension.to_owned())).or_default().push(file.clone());
    }
    let is_single = groups.len() == 1;
    for ((prefix, extension), members) in groups {
        let format = members.first().and_then(|file| format_of(file));
        // The whole folder, also with the files that come later. Text about the data would be read as CSV.
        if is_single && folders.is_empty() && is_generic(&port_name(&prefix)) {
            let location = match has_notes && format == Some(FileFormat::Csv) {
                true => format!("{}/{prefix}*{extension}", literal(folder)?),
                false => literal(folder)?.to_owned(),
            };
            ports.push(PortFiles { name: folder_name(folder), location, format });
            continue;
        }
        let pattern = format!("{prefix}[-_.0-9]*{extension}");
        let selects = |file: &String| Pattern::new(&pattern).is_ok_and(|pattern| pattern.matches(file));
        if members.len() > 1 && files.iter().all(|file| selects(file) == members.contains(file)) {
            let name = port_name(&prefix);
            let name = if is_generic(&name) { folder_name(folder) } else { name };
            let location = format!("{}/{pattern}", literal(folder)?);
            ports.push(PortFiles { name, location, format });
            continue;
        }
        for file in members {
            let path = folder.join(&file);
            // A node reads no links that lead out of its folder of data, so the contract names the file itself.
            let target = path.canonicalize();
            let target =
                target.map_err(|e| Error::config(format!("{} cannot be read", path.display())).with_source(e))?;
            let location = literal(&target)?.to_owned();
            ports.push(PortFiles { name: file_port_name(&path), location, format: format_of(&file) });
        }
    }
    for name in folders {
        of_folder(&folder.join(name), depth + 1, seen, ports)?;
    }
    Ok(())
}

/// Returns the names of the files and of the folders in a folder, in order, without hidden ones.
fn entries(folder: &Path, depth: usize, seen: &mut usize) -> Result<(Vec<String>, Vec<String>)> {
    let unreadable = |e| Error::config(format!("cannot read the folder {}", folder.display())).with_source(e);
    if depth > MAX_DEPTH {
        return Err(Error::config(format!("{} is more than {MAX_DEPTH} folders deep", folder.display())));
    }
    let (mut files, mut folders) = (vec![], vec![]);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        *seen += 1;
        if *seen > MAX_ENTRIES {
            let message = format!("there are more than {MAX_ENTRIES} files: name the files by a glob");
            return Err(Error::config(message));
        }
        let path = entry.path();
        let name = utf8(Path::new(&entry.file_name()))?.to_owned();
        if name.starts_with('.') || (name.starts_with('_') && !name.contains('=')) {
            continue;
        }
        if path.is_dir() { folders.push(name) } else { files.push(name) }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

/// Returns the format of the first file with data below a folder.
fn first_format(folder: &Path, depth: usize, seen: &mut usize) -> Result<Option<FileFormat>> {
    let (files, folders) = entries(folder, depth, seen)?;
    if let Some(format) = files.iter().filter(|file| is_data(file)).find_map(|file| format_of(file)) {
        return Ok(Some(format));
    }
    for name in folders {
        if let Some(format) = first_format(&folder.join(name), depth + 1, seen)? {
            return Ok(Some(format));
        }
    }
    Ok(None)
}

/// True if a file in a folder has rows.
fn is_data(file: &str) -> bool {
    format_of(file).is_some() && !is_note(file)
}

/// True for a text about the data, such as `README.txt` and `LICENSE-MIT.txt`.
fn is_note(file: &str) -> bool {
    let file = file.to_lowercase();
    let Some(stem) = file.strip_suffix(".txt") else { return false };
    let rest = NOTES.iter().find_map(|name| stem.strip_prefix(name));
    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// True if a folder has a part of the rows of its parent, such as `year=2024` or `2024`.
fn is_part(folder: &str) -> bool {
    folder.contains('=') || !folder.chars().any(char::is_alphabetic)
}

/// Splits the name of a file before its extension, which has that of the compression at its end.
fn stem(file: &str) -> (&str, &str) {
    let uncompressed = COMPRESSIONS.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    let end = uncompressed.rfind('.').unwrap_or(file.len());
    file.split_at(end)
}

/// Returns the part of a file's name that it shares with the other files of its port.
fn group(stem: &str) -> String {
    let end = stem.find(|c: char| c.is_ascii_digit()).unwrap_or(stem.len());
    let (prefix, rest) = stem.split_at(end);
    let prefix = prefix.trim_end_matches(['-', '_', '.', ' ']);
    let is_number = rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | 'T' | 'Z'));
    if !rest.is_empty() && (is_number || GENERIC.contains(&prefix)) { prefix.to_owned() } else { stem.to_owned() }
}

/// Returns the name of a port over a single file. A name such as `part-0` says less than its folder.
fn file_port_name(path: &Path) -> String {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = port_name(stem(&file).0);
    match path.parent() {
        Some(folder) if is_generic(&port_name(&group(stem(&file).0))) => folder_name(folder),
        _ => name,
    }
}

fn folder_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| identifier(&name.to_string_lossy())).unwrap_or_default();
    if name.is_empty() { "data".to_owned() } else { name }
}

/// Returns the name of a port whose files begin with `text`, without a glob and without digits at the end.
fn port_name(text: &str) -> String {
    let literal = text.split(GLOB_CHARACTERS).next().unwrap_or_default();
    identifier(literal.trim_end_matches(['-', '_', '.', ' ']))
}

fn is_generic(name: &str) -> bool {
    GENERIC.contains(&name)
}

/// Returns the path of a file or a folder as text.
fn literal(path: &Path) -> Result<&str> {
    let text = utf8(path)?;
    match text.contains(GLOB_CHARACTERS) {
        true => Err(Error::config(format!(
            "{text} has one of the characters `*`, `?` and `[`, which make a location in a contract a glob: rename it"
        ))),
        false => Ok(text),
    }
}

/// Returns a path as text, which a contract needs.
fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::config(format!("{} is no valid Unicode, so a contract cannot name it: rename it", path.display()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Returns the name and the location below the folder of each port, if the folder has these files.
    fn found(files: &[&str], arguments: &[&str]) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let root = folder.path().canonicalize().unwrap();
        let arguments: Vec<_> = arguments.iter().map(|a| root.join(a).to_str().unwrap().to_owned()).collect();
        let ports = find_ports(&arguments).unwrap();
        let below = |location: &str| Path::new(location).strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        ports.into_iter().map(|port| (port.name, below(&port.location))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn each_file_of_a_folder_is_a_port() {
        let files = ["data/Customers.csv", "data/orders.parquet", "data/readme.md", "data/.hidden.csv"];
        let expected = pairs(&[("customers", "data/Customers.csv"), ("orders", "data/orders.parquet")]);
        assert_eq!(found(&files, &["data"]), expected);
    }

    #[test]
    fn text_about_the_data_is_no_data() {
        let files = ["d/README.txt", "d/LICENSE-MIT.txt", "d/orders.csv", "d/readmes.txt"];
        let expected = pairs(&[("orders", "d/orders.csv"), ("readmes", "d/readmes.txt")]);
        assert_eq!(found(&files, &["d"]), expected);
        // A whole folder would have the text.
        assert_eq!(found(&["d/part-0.csv", "d/part-1.csv", "d/ReadMe.txt"], &["d"]), pairs(&[("d", "d/part*.csv")]));
        assert_eq!(found(&["d/part-0.parquet", "d/README.txt"], &["d"]), pairs(&[("d", "d")]));
        assert_eq!(found(&["d/README.txt", "d/year=2024/a.parquet"], &["d"]), pairs(&[("d", "d")]));
        // The name of a file itself is meant.
        assert_eq!(found(&["d/README.txt"], &["d/README.txt"]), pairs(&[("readme", "d/README.txt")]));
    }

    #[test]
    fn files_whose_names_differ_in_digits_are_one_port() {
        let files = ["d/events-2023.jsonl", "d/events-2024.jsonl", "d/orders1.csv", "d/orders2.csv", "d/lines.csv"];
        let expected = pairs(&[
            ("events", "d/events[-_.0-9]*.jsonl"),
            ("lines", "d/lines.csv"),
            ("orders", "d/orders[-_.0-9]*.csv"),
        ]);
        assert_eq!(found(&files, &["d"]), expected);
        // The glob would not select the file without digits.
        let files = ["d/events.jsonl", "d/events-1.jsonl"];
        let expected = pairs(&[("events", "d/events.jsonl"), ("events_1", "d/events-1.jsonl")]);
        let mut each = found(&files, &["d"]);
        each.sort_by(|a, b| b.1.cmp(&a.1));
        assert_eq!(each, expected);
    }

    #[test]
    fn a_folder_of_parts_is_one_port() {
        let files = ["d/shipments/year=2024/month=01/a.parquet", "d/returns/part-0.csv", "d/returns/part-1.csv"];
        assert_eq!(found(&files, &["d"]), pairs(&[("returns", "d/returns"), ("shipments", "d/shipments")]));
        assert_eq!(found(&files, &["d/shipments"]), pairs(&[("shipments", "d/shipments")]));
        assert_eq!(found(&["log/2024/01/a.jsonl"], &["log"]), pairs(&[("log", "log")]));
    }

    #[test]
    fn equally_called_files_are_named_by_their_folders() {
        let files = ["d/north/orders.csv", "d/south/orders.csv", "d/south/people.csv"];
        let expected = pairs(&[
            ("north_orders", "d/north/orders.csv"),
            ("south_orders", "d/south/orders.csv"),
            ("people", "d/south/people.csv"),
        ]);
        assert_eq!(found(&files, &["d"]), expected);
        let expected = pairs(&[("orders", "d/orders.csv"), ("orders_2", "d/orders.jsonl")]);
        assert_eq!(found(&["d/orders.csv", "d/orders.jsonl"], &["d"]), expected);
    }

    #[test]
    fn files_and_globs_are_ports_of_their_own() {
        let files = ["a/orders-1.csv", "a/orders-2.csv", "b/x.parquet", "c/part-00000.parquet"];
        let expected = pairs(&[("orders", "a/orders-*.csv"), ("b", "b/*.parquet"), ("c", "c/part-00000.parquet")]);
        assert_eq!(found(&files, &["a/orders-*.csv", "b/*.parquet", "c/part-00000.parquet"]), expected);
    }

    #[test]
    fn urls_are_named_by_their_last_part() {
        let url = |url: &str| {
            let port = of_url(url);
            (port.name, port.format)
        };
        assert_eq!(url("s3://lake/Orders/*.parquet"), ("orders".to_owned(), Some(FileFormat::Parquet)));
        assert_eq!(url("s3://lake/events/"), ("events".to_owned(), None));
        assert_eq!(url("https://example.org/x.csv.gz"), ("x".to_owned(), Some(FileFormat::Csv)));
        assert_eq!(url("s3://lake/clicks-*.jsonl"), ("clicks".to_owned(), Some(FileFormat::Json)));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_the_file_that_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("real.csv"), "x").unwrap();
        std::os::unix::fs::symlink("../real.csv", root.join("d/orders.csv")).unwrap();
        let ports = find_ports(&[root.join("d").to_str().unwrap().to_owned()]).unwrap();
        assert_eq!(
            (ports[0].name.as_str(), ports[0].location.as_str()),
            ("orders", root.join("real.csv").to_str().unwrap())
        );
    }

    #[test]
    fn what_is_no_data_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.xlsx"), "x").unwrap();
        let refused = |name: &str| {
            let path = folder.path().join(name).to_str().unwrap().to_owned();
            find_ports(&[path]).unwrap_err().owner_chain()
        };
        assert!(refused("nothing.csv").contains("there is no file or folder"));
        assert!(refused("x.xlsx").contains("`.parquet`"));
        fs::write(folder.path().join("README.txt"), "x").unwrap();
        assert!(refused("").contains("has no data"));
    }
}
