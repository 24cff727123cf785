//! `\e`: changes a statement in the user's editor.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use portolan_node::{Error, Result};

use super::script::MAX_SCRIPT_BYTES;

/// The editor if the variables `VISUAL` and `EDITOR` name none.
const DEFAULT_EDITOR: &str = "vi";

/// Opens the editor on `text`, and returns the text that the user saved.
///
/// # Errors
/// An editor that cannot be started or that fails, or a text that cannot be read.
pub fn edit(text: &str) -> Result<String> {
    let mut named = ["VISUAL", "EDITOR"].iter().filter_map(|name| std::env::var(name).ok());
    let editor = named.find(|editor| !editor.trim().is_empty()).unwrap_or_else(|| DEFAULT_EDITOR.into());
    edit_with(&editor, text)
}

fn edit_with(editor: &str, text: &str) -> Result<String> {
    let unusable = |e| Error::failed("cannot write the statement for the editor").with_source(e);
    let mut file = tempfile::Builder::new().prefix("portolan-").suffix(".sql").tempfile().map_err(unusable)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(unusable)?;
    let words = shlex::split(editor).unwrap_or_default();
    let (program, arguments) =
        words.split_first().ok_or_else(|| Error::failed(format!("`{editor}` is no command of an editor")))?;
    let status = Command::new(program).args(arguments).arg(file.path()).status();
    let status = status.map_err(|e| {
        Error::failed(format!("cannot start the editor `{program}`; set EDITOR to another one")).with_source(e)
    })?;
    if !status.success() {
        return Err(Error::failed(format!("the editor `{program}` failed: {status}")));
    }
    read_back(file.path())
}

/// Reads the file by its name: an editor may have replaced the file by another one.
fn read_back(path: &Path) -> Result<String> {
    let unreadable = |e| Error::failed("cannot read the statement that the editor saved").with_source(e);
    let mut text = String::new();
    let saved = File::open(path).map_err(unreadable)?;
    saved.take(MAX_SCRIPT_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    #[cfg(unix)]
    fn the_saved_text_comes_back() {
        // The commands get the name of the file as their last argument.
        assert_eq!(edit_with("sed -i s/1/2/", "SELECT 1").unwrap(), "SELECT 2");
        assert_eq!(edit_with("sh -c 'printf saved > \"$0\"'", "SELECT 1").unwrap(), "saved");
    }

    #[test]
    #[cfg(unix)]
    fn an_editor_that_fails_is_named() {
        for editor in ["false", "/nowhere/editor --wait", "'"] {
            let error = edit_with(editor, "SELECT 1").unwrap_err().to_string();
            assert!(error.contains(editor.split(' ').next().unwrap()), "{error}");
        }
    }
}
