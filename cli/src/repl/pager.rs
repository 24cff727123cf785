//! Sends text that does not fit the screen to the user's pager.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use portolan_node::Result;
use unicode_width::UnicodeWidthStr;

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
    let is_long = || terminal::height().is_some_and(|height| lines_on(text, terminal::columns()) + 2 > height);
    if is_on && std::io::stdout().is_terminal() && is_long() && page(text).is_ok() {
        return Ok(());
    }
    print(text)
}

/// Returns the number of lines of a text on a terminal of so many columns, where long lines wrap.
fn lines_on(text: &str, columns: Option<usize>) -> usize {
    let lines = |line: &str| columns.map_or(1, |columns| line.width().div_ceil(columns).max(1));
    text.lines().map(lines).sum()
}

/// Starts the pager, and waits until the user quits it. An empty `PAGER` forbids a pager.
fn page(text: &str) -> std::io::Result<()> {
    let pager = std::env::var("PAGER").unwrap_or_else(|_| DEFAULT_PAGER.into());
    let words = shlex::split(&pager).unwrap_or_default();
    let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::NotFound)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Keep short text on the screen, keep colours. Long lines wrap: `\x` shows every value in full.
        command.env("LESS", "FRX");
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // The write fails if the user quits the pager early.
        let _ = stdin.write_all(text.as_bytes());
    }
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_take_several_lines_of_the_screen() {
        let text = format!("a\n\n{}\n{}", "x".repeat(20), "宽".repeat(11));
        assert_eq!(lines_on(&text, Some(10)), 1 + 1 + 2 + 3);
        assert_eq!(lines_on(&text, None), 4);
    }
}
