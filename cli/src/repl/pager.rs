//! Sends text that does not fit the screen to the user's pager.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use portolan_node::Result;

use crate::output::print;

/// Shows `text`, through `$PAGER` if the variable is set and the text is longer than the terminal.
///
/// # Errors
/// The error of the write.
pub fn show(text: &str) -> Result<()> {
    let height = crossterm::terminal::size().map_or(usize::MAX, |(_, rows)| rows.into());
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    match pager {
        Some(pager) if std::io::stdout().is_terminal() && text.lines().count() + 2 > height => {
            if page(&pager, text).is_err() {
                print(text)?;
            }
            Ok(())
        }
        _ => print(text),
    }
}

/// True if a pager is set, so that wide lines can be scrolled and need not be cut.
pub fn scrolls() -> bool {
    std::env::var("PAGER").is_ok_and(|pager| !pager.trim().is_empty())
}

fn page(pager: &str, text: &str) -> std::io::Result<()> {
    let mut words = pager.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("less"));
    command.args(words).stdin(Stdio::piped());
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
