//! The servers of a contract that hold files: location, format and settings.

mod columns;
mod decimal_type;
mod settings;
mod time_pattern;

use std::path::Path;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8};

use super::database::is_database;
use super::list;
use crate::model::{FileFormat, FileSource};
use crate::nearest::nearest;
use crate::odcs::{ContractServer, ReadContract, SchemaObject, wrong};
use crate::server_rules::NO_CREDENTIALS;
use crate::{Diagnostic, Place};

use self::columns::Columns;
pub(super) use self::columns::decimal_of;
pub(crate) use self::settings::{COLUMN_SETTINGS, SETTINGS};
use self::settings::{FileSettings, Level, delimiter};

const FORMATS: [(&str, FileFormat); 8] = [
    ("parquet", FileFormat::Parquet),
    ("csv", FileFormat::Csv),
    ("json", FileFormat::Json),
    ("jsonl", FileFormat::Json),
    ("ndjson", FileFormat::Json),
    ("arrow", FileFormat::Arrow),
    ("ipc", FileFormat::Arrow),
    ("feather", FileFormat::Arrow),
];

/// The endings of the names of compressed text files.
const COMPRESSIONS: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

const S3: &[&str] = &["s3", "s3a"];
const AZURE: &[&str] = &["az", "azure", "abfs", "abfss", "adl", "https"];
const ANY_STORE: &[&str] = &["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https"];

/// Returns the files of the port whose rows are `read.contract.schema[object]` at `servers[i]`.
///
/// # Errors
/// Every fault of the location, the format and the settings.
pub(super) fn file_source(read: &ReadContract, object: usize, i: usize) -> Result<FileSource, Vec<Diagnostic>> {
    let contract = &read.contract;
    let server = &contract.servers[i];
    let mut errors = vec![];
    let at = |key: &str| read.document.place(&["servers".into(), i.into(), key.into()]);

    let location = location(server, &contract.schema[object].name, &at, &mut errors);
    let format = format(server, &location, &at, &mut errors);
    let encoding = encoding(server, &at, &mut errors);
    if server.endpoint_url.as_deref().is_some_and(has_credentials) {
        errors.push(wrong(at("endpointUrl"), NO_CREDENTIALS));
    }
    let level = Level::new(read, &server.custom_properties, vec!["servers".into(), i.into()]);
    let own = FileSettings::read(&level, &mut errors);
    own.check_format(format, &mut errors);
    let shared = FileSettings::read(&Level::new(read, &contract.custom_properties, vec![]), &mut errors);
    // With several servers, the settings may be meant for another one.
    if contract.servers.len() == 1 {
        shared.check_format(format, &mut errors);
    }
    let settings = own.or(shared);
    let delimiter = settings.delimiter.or_else(|| server_delimiter(server, format, &at, &mut errors));
    if format == FileFormat::Csv {
        settings.check_characters(delimiter, &at("server"), &mut errors);
    }
    let partition_columns = partitions(read, object, settings.partition_columns.as_ref(), &mut errors);
    let columns = Columns { read, object, format, shared: &settings.values }.formats(&mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }

    let folder = read.document.file().parent().unwrap_or(Path::new(""));
    Ok(FileSource {
        location,
        base: std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()),
        format,
        delimiter: delimiter.filter(|_| format == FileFormat::Csv),
        has_header: settings.header.unwrap_or(true),
        partition_columns,
        endpoint: server.endpoint_url.clone(),
        text: settings.text(encoding),
        columns,
    })
}

/// True if a server holds files.
pub(super) fn holds_files(server: &ContractServer) -> bool {
    match server.kind.as_str() {
        "local" | "s3" | "azure" => true,
        "custom" if is_database(server) => false,
        "custom" => match &server.location {
            Some(location) => scheme(location).is_some_and(|s| ANY_STORE.contains(&s)),
            None => server.path.is_some(),
        },
        _ => false,
    }
}

fn location(
    server: &ContractServer,
    object: &str,
    at: &impl Fn(&str) -> Place,
    errors: &mut Vec<Diagnostic>,
) -> String {
    let (key, text) = match (server.kind.as_str(), &server.location, &server.path) {
        ("local", _, Some(path)) | ("custom", None, Some(path)) => ("path", path),
        (_, Some(location), _) => ("location", location),
        _ => {
            errors.push(wrong(at("location"), "the server says neither `location` nor `path`"));
            return String::new();
        }
    };
    let schemes = match server.kind.as_str() {
        "s3" => S3,
        "azure" => AZURE,
        _ => ANY_STORE,
    };
    match (key, scheme(text)) {
        (_, None) if text.trim().is_empty() => errors.push(wrong(at(key), "the location is empty")),
        ("path", None) => {}
        ("path", _) => {
            let message = "expected a path, found a URL: that goes with a server of type `s3`, `azure` or `custom`, \
                           under `location`";
            errors.push(wrong(at(key), message));
        }
        ("location", None) => {
            errors.push(wrong(at(key), format!("a location begins with one of {}", list(schemes, "://"))));
        }
        (_, Some(scheme)) if !schemes.contains(&scheme) => errors.push(wrong(
            at(key),
            format!(
                "`{scheme}://` does not go with a server of type `{}`; one of {}",
                server.kind,
                list(schemes, "://")
            ),
        )),
        _ if has_credentials(text) => {
            errors.push(wrong(at(key), NO_CREDENTIALS));
        }
        _ => {}
    }
    // A server can stand for several objects. The standard's examples write the object's name in this way.
    text.replace("{model}", object)
}

pub(in crate::source) fn scheme(location: &str) -> Option<&str> {
    location.split_once("://").map(|(scheme, _)| scheme)
}

/// True if a URL contains a user, a token or a signature. Azure's `container@account` is none of these.
fn has_credentials(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let query = rest.split_once('?').map(|(_, query)| query.to_lowercase()).unwrap_or_default();
    user.is_some_and(|user| user.contains(':') || scheme.starts_with("http"))
        || ["sig=", "signature=", "token=", "credential="].iter().any(|secret| query.contains(secret))
}

fn format(
    server: &ContractServer,
    location: &str,
    at: &impl Fn(&str) -> Place,
    errors: &mut Vec<Diagnostic>,
) -> FileFormat {
    let named = |name: &str| FORMATS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, format)| *format);
    let uncompressed = COMPRESSIONS.iter().find_map(|ending| location.strip_suffix(ending)).unwrap_or(location);
    let guess = Path::new(uncompressed).extension().and_then(|e| named(e.to_str()?));
    match &server.format {
        Some(name) => named(name).unwrap_or_else(|| {
            let suggestion = nearest(name, FORMATS.map(|(n, _)| n)).map(str::to_string);
            let message = format!("the format `{name}` is not read; one of `parquet`, `csv`, `json`, `arrow`");
            errors.push(Diagnostic { place: at("format"), message, suggestion });
            FileFormat::Parquet
        }),
        None => guess.unwrap_or_else(|| {
            let message = "the key `format` is missing, and the location does not end in one of `.parquet`, `.csv`, \
                           `.json`, `.arrow`";
            errors.push(wrong(at("format"), message));
            FileFormat::Parquet
        }),
    }
}

/// Returns the character encoding of a server's text, if it is not UTF-8.
fn encoding(server: &ContractServer, at: &impl Fn(&str) -> Place, errors: &mut Vec<Diagnostic>) -> Option<String> {
    let label = server.encoding.as_deref()?;
    // The WHATWG standard reads ASCII as windows-1252. Its strings are UTF-8, and other bytes are an error.
    if ["ascii", "us-ascii"].iter().any(|ascii| label.eq_ignore_ascii_case(ascii)) {
        return None;
    }
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding != REPLACEMENT => (encoding != UTF_8).then(|| encoding.name().to_owned()),
        _ => {
            let message = format!("the encoding `{label}` is not known; examples: `UTF-8`, `UTF-16`, `windows-1252`");
            errors.push(wrong(at("encoding"), message));
            None
        }
    }
}

/// Returns the server's own `delimiter` for CSV. For JSON, it names the layout of a file, which the file itself shows.
fn server_delimiter(
    server: &ContractServer,
    format: FileFormat,
    at: &impl Fn(&str) -> Place,
    errors: &mut Vec<Diagnostic>,
) -> Option<u8> {
    let text = server.delimiter.as_deref()?;
    match format {
        FileFormat::Csv => match delimiter(text) {
            Ok(delimiter) => return Some(delimiter),
            Err(message) => errors.push(wrong(at("delimiter"), message)),
        },
        FileFormat::Json if !["new_line", "array"].contains(&text) => {
            let message = format!("JSON documents separated by `{text}` are not read; `new_line` and `array` are");
            errors.push(wrong(at("delimiter"), message));
        }
        _ => {}
    }
    None
}

/// Returns the Hive partition columns, from the custom property or from the columns marked `partitioned`. If the
/// contract has both, they must agree.
fn partitions(
    read: &ReadContract,
    object: usize,
    set: Option<&(Vec<String>, Place)>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let schema = &read.contract.schema[object];
    let marked = schema.partition_columns().unwrap_or_else(|(i, message)| {
        errors.push(wrong(read.property_place(object, i), message));
        vec![]
    });
    let Some((set, place)) = set else { return marked };
    if !marked.is_empty() && marked != *set {
        let message = format!("the columns marked `partitioned` are others: {}", list(&marked, ""));
        errors.push(wrong(place.clone(), message));
    }
    for name in set {
        errors.extend(unknown_column(schema, name, place));
    }
    set.clone()
}

fn unknown_column(schema: &SchemaObject, name: &str, place: &Place) -> Option<Diagnostic> {
    let names = || schema.columns().map(|(_, p)| p.name.as_str());
    if names().any(|n| n == name) {
        return None;
    }
    let suggestion = nearest(name, names()).map(str::to_string);
    let message = format!("`{}` has no column `{name}`", schema.name);
    Some(Diagnostic { place: place.clone(), message, suggestion })
}

#[cfg(test)]
mod tests {
    use super::has_credentials;

    #[test]
    fn credentials_in_urls() {
        for url in [
            "https://me:pw@example.org/x",
            "https://token@example.org/x",
            "s3://key:secret@lake/x",
            "https://example.org/x?sv=1&sig=abc",
            "https://example.org/x?X-Amz-Signature=abc",
        ] {
            assert!(has_credentials(url), "{url}");
        }
        for url in [
            "data/a@b:c.csv",
            "s3://lake/a@b:c/x",
            "abfss://container@account.dfs.core.windows.net/x",
            "http://[::1]:9/x",
        ] {
            assert!(!has_credentials(url), "{url}");
        }
    }
}
