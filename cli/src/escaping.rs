//! A writer that escapes text: the characters that would control a terminal or a log, or mislead its reader.

use std::borrow::Cow;
use std::io::{self, Write};

/// Makes text safe to show.
pub type Escape = fn(&str) -> Cow<'_, str>;

/// A writer that passes on only safe text.
#[derive(Debug)]
pub struct EscapingWriter<W> {
    out: W,
    escape: Escape,
    /// The first bytes of a character whose other bytes have not arrived.
    unfinished: Vec<u8>,
}

impl<W: Write> EscapingWriter<W> {
    /// Returns a writer to `out`.
    pub fn new(out: W, escape: Escape) -> Self {
        Self { out, escape, unfinished: vec![] }
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        let whole = match str::from_utf8(&self.unfinished) {
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            // Bytes that are no text are replaced.
            Ok(_) | Err(_) => self.unfinished.len(),
        };
        let rest = self.unfinished.split_off(whole);
        let text = std::mem::replace(&mut self.unfinished, rest);
        self.out.write_all((self.escape)(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portolan_catalog::{printable_json, printable_lines};

    use super::*;

    /// Writes `pieces` one after the other, and returns the text that comes out.
    fn shown(escape: Escape, pieces: &[&[u8]]) -> String {
        let mut writer = EscapingWriter::new(vec![], escape);
        for piece in pieces {
            writer.write_all(piece).unwrap();
        }
        String::from_utf8(writer.out).unwrap()
    }

    #[test]
    fn unsafe_characters_become_escapes() {
        let text = "a,\"\u{1b}]0;pwned\u{7}\"\nü\t\u{202e}\n";
        assert_eq!(shown(printable_lines, &[text.as_bytes()]), "a,\"\\u{1b}]0;pwned\\u{7}\"\nü\t\\u{202e}\n");
        // Characters may arrive in pieces.
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            let (a, b) = bytes.split_at(at);
            assert_eq!(shown(printable_lines, &[a, b]), shown(printable_lines, &[bytes]), "{at}");
        }
        assert_eq!(shown(printable_lines, &[b"\xff\xfe1"]), "\u{fffd}\u{fffd}1");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "a": "\u{9b}1m\u{202e}\u{e0041}\u{7f}", "b": "ü\n\u{1b}" });
        let line = shown(printable_json, &[format!("{value}\n").as_bytes()]);
        assert!(portolan_catalog::is_printable(line.trim_end()), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
