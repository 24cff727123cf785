//! Results on a terminal. Programs get the bytes of the data in a file or a pipe. A terminal gets escapes in the place
//! of characters that would control it or mislead its reader.

use std::borrow::Cow;
use std::io::{self, Write};

use portolan_catalog::{printable_json, printable_lines};

/// Makes text safe for a terminal.
pub(super) type Escaping = fn(&str) -> Cow<'_, str>;

/// Returns the text with its line breaks and tabs, and with escapes such as `\u{202e}`.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    printable_lines(text)
}

/// Returns the text of JSON with escapes of JSON, such as `\u202e`.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    printable_json(text)
}

/// A terminal that gets only safe text.
pub(super) struct Terminal<W> {
    out: W,
    escaping: Escaping,
    /// The first bytes of a character whose other bytes have not arrived.
    unfinished: Vec<u8>,
}

impl<W: Write> Terminal<W> {
    pub(super) fn new(out: W, escaping: Escaping) -> Self {
        Self { out, escaping, unfinished: vec![] }
    }
}

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        let whole = match str::from_utf8(&self.unfinished) {
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            // Bytes that are no text are replaced.
            Ok(_) | Err(_) => self.unfinished.len(),
        };
        let rest = self.unfinished.split_off(whole);
        let text = std::mem::replace(&mut self.unfinished, rest);
        self.out.write_all((self.escaping)(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Writes `pieces` one after the other, and returns what the terminal gets.
    fn shown(escaping: Escaping, pieces: &[&[u8]]) -> String {
        let mut terminal = Terminal::new(vec![], escaping);
        for piece in pieces {
            terminal.write_all(piece).unwrap();
        }
        String::from_utf8(terminal.out).unwrap()
    }

    #[test]
    fn a_terminal_gets_escapes() {
        let text = "a,\"\u{1b}]0;pwned\u{7}\"\nü\t\u{202e}\n";
        assert_eq!(shown(plain, &[text.as_bytes()]), "a,\"\\u{1b}]0;pwned\\u{7}\"\nü\t\\u{202e}\n");
        // Characters may arrive in pieces.
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            let (a, b) = bytes.split_at(at);
            assert_eq!(shown(plain, &[a, b]), shown(plain, &[bytes]), "{at}");
        }
        assert_eq!(shown(plain, &[b"\xff\xfe1"]), "\u{fffd}\u{fffd}1");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "a": "\u{9b}1m\u{202e}\u{e0041}\u{7f}", "b": "ü\n\u{1b}" });
        let line = shown(json, &[format!("{value}\n").as_bytes()]);
        assert!(portolan_catalog::is_printable(line.trim_end()), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
