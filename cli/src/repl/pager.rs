//! Sends what does not fit the screen through the user's pager.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use portolan_node::Result;

use crate::output::print;

/// Shows `text`: through `$PAGER` where that is set and the text is longer than the terminal, else as it is.
///
/// # Errors
/// What writing gives.
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

/// Whether wide lines can be scrolled, so that nothing needs to be cut.
pub fn scrolls() -> bool {
    std::env::var("PAGER").is_ok_and(|pager| !pager.trim().is_empty())
}

fn page(pager: &str, text: &str) -> std::io::Result<()> {
    let mut words = pager.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("less"));
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Leave short texts on the screen, do not wrap lines, keep colours.
        command.env("LESS", "FRSX");
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who leaves the pager early has seen enough.
        let _ = stdin.write_all(text.as_bytes());
    }
    child.wait()?;
    Ok(())
}
