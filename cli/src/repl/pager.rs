//! Sends text that does not fit the screen to the user's pager.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use portolan_node::Result;

use crate::output::print;
use crate::terminal;

/// The pager if the variable `PAGER` names none.
const DEFAULT_PAGER: &str = "less";

/// Shows `text`, through the pager if `is_on` is true, standard output is a terminal and the text is longer than the
/// terminal.
///
/// # Errors
/// The error of the write.
pub fn show(text: &str, is_on: bool) -> Result<()> {
    let is_long = || terminal::height().is_some_and(|height| text.lines().count() + 2 > height);
    if is_on && std::io::stdout().is_terminal() && is_long() && page(text).is_ok() {
        return Ok(());
    }
    print(text)
}

/// Starts the pager, and waits until the user quits it. An empty `PAGER` forbids a pager.
fn page(text: &str) -> std::io::Result<()> {
    let pager = std::env::var("PAGER").unwrap_or_else(|_| DEFAULT_PAGER.into());
    let words = shlex::split(&pager).unwrap_or_default();
    let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::NotFound)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Keep short text on the screen, do not wrap lines, keep colours.
        command.env("LESS", "FRSX");
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // The write fails if the user quits the pager early.
        let _ = stdin.write_all(text.as_bytes());
    }
    child.wait()?;
    Ok(())
}
