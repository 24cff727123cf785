//! Scripts: their text, their names in errors, and the file that the prompt runs first.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use portolan_node::{Error, ErrorKind, Result};

use crate::lexer::Position;

/// The size of the longest script that is read, in bytes.
pub const MAX_SCRIPT_BYTES: u64 = 64 << 20;

/// The byte order mark, with which some editors begin text in UTF-8.
const MARK: char = '\u{feff}';

/// A place in a script, or in the text of the prompt.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// The name of the script in errors. `None` for the prompt and for arguments.
    pub name: Option<&'a str>,
    /// The place.
    pub start: Position,
}

impl At<'_> {
    /// Returns an error with the name of the script and a line. An interruption and a closed output stay what they are.
    pub fn locate(self, line: usize, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) {
            return error;
        }
        let prefix = self.name.map(|name| format!("{name}:{line}: ")).unwrap_or_default();
        Error::failed(prefix + &error.owner_chain())
    }

    /// Returns an error of a command at this place.
    pub fn command_error(self, error: Error) -> Error {
        self.locate(self.start.line, error)
    }
}

/// Reads a script from a file.
///
/// # Errors
/// A file that cannot be read, is not UTF-8, or is too long.
pub fn read_file(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let mut file = File::open(path).map_err(|e| Error::config(format!("cannot read {name}")).with_source(e))?;
    read(&mut file, &name)
}

/// Reads a script from `source`. A byte order mark is no part of the script.
///
/// # Errors
/// A script that cannot be read, is not UTF-8, or is too long.
pub fn read(source: &mut dyn Read, name: &str) -> Result<String> {
    let mut bytes = vec![];
    let taken = source.take(MAX_SCRIPT_BYTES + 1).read_to_end(&mut bytes);
    if taken.map_err(|e| Error::failed(format!("cannot read {name}")).with_source(e))? as u64 > MAX_SCRIPT_BYTES {
        return Err(Error::failed(format!("{name} is longer than 64 MiB")));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::failed(format!("{name}:{line}: expected text in UTF-8, got other bytes: save the script as UTF-8"))
    })?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok(text)
}

/// Returns the file that the prompt runs first, if there is one: the one that the variable `PORTOLAN_RC` names,
/// `~/.portolanrc`, or `portolan/rc` in the user's folder of configurations. An empty variable means none.
pub fn rc_file() -> Option<PathBuf> {
    choose_rc_file(
        std::env::var_os("PORTOLAN_RC").map(PathBuf::from),
        std::env::home_dir(),
        std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from),
    )
}

fn choose_rc_file(named: Option<PathBuf>, home: Option<PathBuf>, config: Option<PathBuf>) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named).filter(|named| !named.as_os_str().is_empty());
    }
    let config = config.filter(|path| path.is_absolute()).or_else(|| Some(home.as_ref()?.join(".config")));
    let candidates = [home.map(|home| home.join(".portolanrc")), config.map(|config| config.join("portolan/rc"))];
    candidates.into_iter().flatten().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_first_file_that_exists_runs_first() {
        let folder = tempfile::tempdir().unwrap();
        let (home, config) = (folder.path().join("home"), folder.path().join("config"));
        std::fs::create_dir_all(home.join(".config/portolan")).unwrap();
        std::fs::create_dir_all(config.join("portolan")).unwrap();
        let chosen = |named: Option<&str>, config: Option<&PathBuf>| {
            choose_rc_file(named.map(PathBuf::from), Some(home.clone()), config.cloned())
        };
        assert_eq!(chosen(None, None), None);
        for file in [home.join(".config/portolan/rc"), config.join("portolan/rc"), home.join(".portolanrc")] {
            std::fs::write(&file, "\\timing off").unwrap();
            assert_eq!(chosen(None, Some(&config)).is_some(), !file.starts_with(home.join(".config")), "{file:?}");
        }
        assert_eq!(chosen(None, Some(&config)), Some(home.join(".portolanrc")));
        std::fs::remove_file(home.join(".portolanrc")).unwrap();
        assert_eq!(chosen(None, Some(&config)), Some(config.join("portolan/rc")));
        assert_eq!(chosen(None, None), Some(home.join(".config/portolan/rc")));
        // A file that the user names must exist: reading it reports the error.
        assert_eq!(chosen(Some("/nowhere/rc"), None), Some("/nowhere/rc".into()));
        assert_eq!(chosen(Some(""), None), None);
    }

    #[test]
    fn errors_name_the_script_and_the_line() {
        let at = At { name: Some("a.sql"), start: Position { line: 3, column: 1 } };
        assert_eq!(at.command_error(Error::config("it broke")).to_string(), "a.sql:3: it broke");
        assert_eq!(at.locate(7, Error::failed("it broke")).to_string(), "a.sql:7: it broke");
        assert_eq!(at.locate(7, Error::interrupted()).kind(), ErrorKind::Interrupted);
        let at = At { name: None, ..at };
        assert_eq!(at.command_error(Error::config("it broke")).to_string(), "it broke");
    }

    #[test]
    fn a_script_is_text_in_utf8() {
        let error = |bytes: &[u8]| read(&mut &bytes[..], "standard input").unwrap_err().owner_chain();
        let expected = "expected text in UTF-8, got other bytes: save the script as UTF-8";
        assert_eq!(error(b"\xff\xfes\0"), format!("standard input:1: {expected}"));
        assert_eq!(error(b"SELECT 1;\n\nSELECT '\xfc';\n"), format!("standard input:3: {expected}"));
        let text = read(&mut "\u{feff}SELECT '\u{feff}';".as_bytes(), "a.sql").unwrap();
        assert_eq!(text, "SELECT '\u{feff}';");
    }
}
