//! Parses YAML into types. Diagnostics point at the line and the field, and suggest the nearest valid key.
//! A document becomes a tree whose nodes have line numbers. Types and JSON Schemas are then matched against the tree.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::nearest::nearest;
use crate::{Diagnostic, Diagnostics, Place};

mod de;
mod node;

pub use node::{Document, Step, pointer_token};

/// The size of the largest file that is read: 4 MiB, in bytes.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The largest number of errors that one call of [`parse`] reports.
const MAX_ERRORS: usize = 20;

/// Reads the text of `file`, at most [`MAX_FILE_BYTES`].
///
/// # Errors
/// A file that is missing, unreadable, too large, or not UTF-8.
pub fn read(file: &Path) -> Result<String, Diagnostics> {
    use std::io::Read;

    let fail = |message: String| whole_file(file, message);
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|f| f.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| fail(format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(fail(format!("is larger than {} MiB", MAX_FILE_BYTES / 1024 / 1024)));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = e.as_bytes().iter().take(good).filter(|b| **b == b'\n').count() + 1;
        let place = Place { file: file.into(), line: Some(line), field: String::new() };
        let message = format!("is not valid UTF-8 at byte {good}; save the file as UTF-8");
        Diagnostics::one(place, message)
    })
}

/// Parses `text`, read from `file`, into `T`.
///
/// The notation of a scalar decides its type: `5` is a number and never a string, `"5"` is a string. Only `true` and
/// `false` are booleans.
///
/// # Errors
/// A syntax error, or else all other errors: unknown keys (with the nearest known one), wrong types and values, missing
/// keys.
pub fn parse<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, Diagnostics> {
    from_document(Document::parse(text, file)?)
}

/// Deserializes a parsed document into `T`.
///
/// # Errors
/// The same as for [`parse`].
pub fn from_document<T: DeserializeOwned>(document: Document) -> Result<T, Diagnostics> {
    match from_document_in_part(document) {
        (Some(value), errors) if errors.is_empty() => Ok(value),
        (_, errors) => Err(Diagnostics(errors)),
    }
}

/// Deserializes a parsed document into `T` without the entries that have errors, and returns these errors. Returns no
/// value if `T` needs one of these entries.
pub fn from_document_in_part<T: DeserializeOwned>(mut document: Document) -> (Option<T>, Vec<Diagnostic>) {
    let (mut errors, mut removed) = (vec![], vec![]);
    loop {
        let fault = match de::deserialize::<T>(&document) {
            Ok(value) => return (Some(value), errors),
            Err(fault) => fault,
        };
        let path = fault.path.clone();
        if !follows(&fault, &removed) {
            errors.push(diagnose(&document, fault));
        }
        // Removes the entry with the error and checks the rest again, so that one call reports all errors.
        let entry = document.remove_entry(&path);
        match entry.filter(|_| errors.len() < MAX_ERRORS) {
            Some(entry) => removed.push(entry),
            None => return (None, errors),
        }
    }
}

/// True if a fault is there only because these entries were removed.
fn follows(fault: &de::Fault, removed: &[Vec<Step>]) -> bool {
    let parents = || removed.iter().filter_map(|entry| entry.split_last());
    match &fault.cause {
        de::Cause::MissingKey(key) => {
            parents().any(|(last, parent)| parent == fault.path && *last == Step::Key((*key).to_owned()))
        }
        de::Cause::UnknownKey { .. } => false,
        _ => parents().any(|(_, parent)| parent == fault.path),
    }
}

fn diagnose(document: &Document, fault: de::Fault) -> Diagnostic {
    let place = document.place(&fault.path);
    let (message, suggestion) = match fault.cause {
        de::Cause::UnknownKey { key, expected } => {
            let hint = nearest(&key, expected.iter().copied()).map(str::to_string);
            let message = match hint {
                Some(_) => format!("unknown key `{key}`"),
                None => format!("unknown key `{key}`; {}", one_of(expected)),
            };
            (message, hint)
        }
        de::Cause::UnknownVariant { value, expected } => {
            let hint = nearest(&value, expected.iter().copied()).map(str::to_string);
            (format!("`{value}` is not valid here; {}", one_of(expected)), hint)
        }
        de::Cause::MissingKey(key) => (format!("the key `{key}` is missing"), None),
        de::Cause::Other(message) => (message, None),
    };
    Diagnostic { place, message, suggestion }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing is valid here".into(),
        [only] => format!("only `{only}` is valid here"),
        _ => format!("one of {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// Returns one diagnostic about the whole of `file`.
pub(crate) fn whole_file(file: &Path, message: String) -> Diagnostics {
    let place = Place { file: file.into(), line: None, field: String::new() };
    Diagnostics::one(place, message)
}

#[cfg(test)]
mod tests;
