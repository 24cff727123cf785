//! Prompts for passwords without showing them, and hashes passwords for a node's config.

use std::io::{BufRead, IsTerminal, Write};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use portolan_node::{Error, Result};
use uuid::Uuid;

use crate::output::print;

/// The length of the longest accepted password, in bytes.
const MAX_BYTES: usize = 1024;

/// Prompts for a password on the terminal.
///
/// # Errors
/// There is no terminal, or the user pressed Ctrl-C.
pub fn ask(prompt: &str) -> Result<String> {
    let unreadable = |e| Error::failed("cannot read the password from the terminal").with_source(e);
    if !std::io::stdin().is_terminal() {
        return Err(Error::config("cannot prompt for the password without a terminal; set PORTOLAN_PASSWORD"));
    }
    eprint!("{prompt}");
    std::io::stderr().flush().map_err(unreadable)?;
    enable_raw_mode().map_err(unreadable)?;
    let password = read_hidden();
    disable_raw_mode().map_err(unreadable)?;
    eprintln!();
    password
}

fn read_hidden() -> Result<String> {
    let mut password = String::new();
    loop {
        let event = read().map_err(|e| Error::failed("cannot read the password from the terminal").with_source(e))?;
        let Event::Key(key) = event else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Enter => return Ok(password),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Err(Error::interrupted());
            }
            KeyCode::Char(c) if password.len() < MAX_BYTES => password.push(c),
            KeyCode::Backspace => {
                password.pop();
            }
            _ => {}
        }
    }
}

/// Reads a password from standard input, with a prompt if that is a terminal, and prints its hash.
///
/// # Errors
/// A password that is empty, too long, or cannot be hashed.
pub fn hash_from_stdin() -> Result<()> {
    let password = if std::io::stdin().is_terminal() {
        ask("password: ")?
    } else {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|e| Error::failed("cannot read standard input").with_source(e))?;
        line.trim_end_matches(['\r', '\n']).to_string()
    };
    print(&format!("{}\n", hash(&password)?))
}

/// Returns a new random password.
pub fn generate() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Returns the hash of a password, as a node's config has it.
///
/// # Errors
/// A password that is empty, too long, or cannot be hashed.
pub fn hash(password: &str) -> Result<String> {
    if password.is_empty() || password.len() > MAX_BYTES {
        return Err(Error::config(format!("a password must have between 1 and {MAX_BYTES} bytes")));
    }
    Ok(portolan_flight_server::hash_password(password)?)
}
