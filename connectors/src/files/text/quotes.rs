//! Checks the quotes and the comments of CSV. `csv-core` reads every text as some records: it adds the text after a closing
//! quote to the value, drops the character of `portolan.escape` before any other character, and ends a comment at a line feed
//! only, also if the lines of the file end with a carriage return.

use memchr::{memchr, memchr2};
use portolan_catalog::TextFormat;

use crate::data_fault::DataFault;

/// The quotes of one text, which arrives in pieces.
#[derive(Debug)]
pub(super) struct Quotes {
    delimiter: u8,
    /// `None` if no value has quotes.
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    at: At,
    fault: Option<QuoteFault>,
}

/// The position of the next byte.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Before a record.
    Record,
    Comment,
    /// After a carriage return within a comment.
    CommentReturn,
    /// Before a value.
    Value,
    /// Within a value without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// After an escape character within quotes.
    Escaped,
    /// After a quote within quotes: it closes them, or a second quote follows.
    Closing,
}

/// The first fault of a record's quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuoteFault {
    /// A closing quote does not end the value.
    Closing,
    /// An escape character does not stand before a quote or another escape character.
    Escape,
    /// A carriage return alone ends the line of a comment.
    Comment,
}

impl QuoteFault {
    /// Returns the fault for an error.
    pub(super) fn on(self, line: u64) -> DataFault {
        let (expected, hint) = match self {
            Self::Closing => (
                "a delimiter or the end of the line after a closing quote",
                "a quote within quotes is doubled, or stands after the character of `portolan.escape`",
            ),
            Self::Escape => (
                "a quote, or the character of `portolan.escape` again, after that character",
                "leave `portolan.escape` out if the file doubles its quotes",
            ),
            Self::Comment => {
                let expected = "a line feed after a comment";
                let fault = DataFault::of_record(Some(line), expected, "a carriage return alone");
                return fault.with_hint("a file with comments needs lines that end with LF or CRLF");
            }
        };
        DataFault::of_record(Some(line), expected, "another character").with_hint(hint)
    }
}

impl Quotes {
    pub(super) fn new(delimiter: u8, text: &TextFormat) -> Self {
        let TextFormat { quote, escape, comment, .. } = *text;
        Self { delimiter, quote, escape, comment, at: At::Record, fault: None }
    }

    /// Returns the fault of the current record.
    pub(super) fn fault(&self) -> Option<QuoteFault> {
        self.fault
    }

    /// True if a quote is open after what was read.
    pub(super) fn are_open(&self) -> bool {
        matches!(self.at, At::Quoted | At::Escaped)
    }

    /// Starts the next record.
    pub(super) fn next_record(&mut self) {
        self.fault = None;
    }

    /// Reads the next piece of a text. Only the last byte of a piece can end a record.
    pub(super) fn read(&mut self, piece: &[u8]) {
        let quote = self.quote;
        let mut rest = piece;
        while let Some(first) = rest.first() {
            let (at, length) = match self.at {
                At::Record if matches!(first, b'\r' | b'\n') => (At::Record, 1),
                At::Record if self.comment == Some(*first) => (At::Comment, 1),
                At::Record => (At::Value, 0),
                At::Comment => match memchr2(b'\n', b'\r', rest) {
                    Some(end) => (if rest[end] == b'\n' { At::Record } else { At::CommentReturn }, end + 1),
                    None => (At::Comment, rest.len()),
                },
                At::CommentReturn if *first == b'\n' => (At::Record, 1),
                At::CommentReturn => {
                    self.fault = self.fault.or(Some(QuoteFault::Comment));
                    (At::Comment, 0)
                }
                At::Value if Some(*first) == quote => (At::Quoted, 1),
                At::Value => (At::Plain, 0),
                At::Plain => self.plain(rest),
                At::Quoted => match quote.and_then(|quote| memchr2(quote, self.escape.unwrap_or(quote), rest)) {
                    Some(end) => (if Some(rest[end]) == quote { At::Closing } else { At::Escaped }, end + 1),
                    None => (At::Quoted, rest.len()),
                },
                At::Escaped => {
                    if Some(*first) != quote && Some(*first) != self.escape {
                        self.fault = self.fault.or(Some(QuoteFault::Escape));
                    }
                    (At::Quoted, 1)
                }
                At::Closing if Some(*first) == quote => (At::Quoted, 1),
                At::Closing if *first == self.delimiter => (At::Value, 1),
                At::Closing if matches!(first, b'\r' | b'\n') => (At::Record, 1),
                At::Closing => {
                    self.fault = self.fault.or(Some(QuoteFault::Closing));
                    (At::Plain, 0)
                }
            };
            self.at = at;
            rest = &rest[length..];
        }
    }

    /// Finds the next quote that starts a value. Other quotes of a value without quotes stand for themselves.
    fn plain(&self, rest: &[u8]) -> (At, usize) {
        match (self.quote.and_then(|quote| memchr(quote, rest)), rest.last()) {
            (Some(0), _) => (At::Plain, 1),
            (Some(end), _) if rest[end - 1] == self.delimiter => (At::Quoted, end + 1),
            (Some(end), _) => (At::Plain, end + 1),
            (None, Some(b'\r' | b'\n')) => (At::Record, rest.len()),
            (None, Some(last)) if *last == self.delimiter => (At::Value, rest.len()),
            (None, _) => (At::Plain, rest.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the fault of a record that arrives in pieces of `size` bytes.
    fn fault(record: &str, text: &TextFormat, size: usize) -> Option<QuoteFault> {
        let mut quotes = Quotes::new(b',', text);
        record.as_bytes().chunks(size).for_each(|piece| quotes.read(piece));
        quotes.fault()
    }

    #[test]
    fn a_closing_quote_ends_its_value() {
        let format = TextFormat { comment: Some(b'#'), ..TextFormat::default() };
        for (record, expected) in [
            ("a,b\n", None),
            ("\"a\",\"b\"\r", None),
            ("\"a,\n\",\"\"\n", None),
            ("\"say \"\"hi\"\"\",2\n", None),
            ("\"\"\"\",,\"\"\n", None),
            // A quote within a value without quotes stands for itself.
            ("12\" disk,\"a\"\n", None),
            ("a\"\"b\"c,2\n", None),
            ("\r\n# \"a\"b\r\n# \"\n\"a\"\n", None),
            ("\"a\"b,2\n", Some(QuoteFault::Closing)),
            ("1,\"a\" \n", Some(QuoteFault::Closing)),
            ("12\" disk,\"a\"b\n", Some(QuoteFault::Closing)),
            ("\"say \\\"hi\\\"\",2\n", Some(QuoteFault::Closing)),
            ("# \"\n\"a\"b\n", Some(QuoteFault::Closing)),
        ] {
            for size in [1, 2, 3, 100] {
                assert_eq!(fault(record, &format, size), expected, "{record} {size}");
            }
        }
        let format = TextFormat { quote: None, ..TextFormat::default() };
        assert_eq!(fault("\"a\"b,2\n", &format, 100), None);
    }

    #[test]
    fn a_comment_ends_with_a_line_feed() {
        for quote in [Some(b'"'), None] {
            let format = TextFormat { quote, comment: Some(b'#'), ..TextFormat::default() };
            for (record, expected) in [
                ("# a\r\n# b\na\n", None),
                ("a\r", None),
                ("# a\r", None),
                ("# a\rb\r", Some(QuoteFault::Comment)),
                ("# a\r\rb\n", Some(QuoteFault::Comment)),
            ] {
                for size in [1, 2, 3, 100] {
                    assert_eq!(fault(record, &format, size), expected, "{record:?} {size}");
                }
            }
        }
    }

    #[test]
    fn an_escape_stands_before_a_quote_or_an_escape() {
        let format = TextFormat { escape: Some(b'\\'), ..TextFormat::default() };
        for (record, expected) in [
            ("\"say \\\"hi\\\"\",2\n", None),
            ("\"C:\\\\temp\",\"\"\"\"\n", None),
            // Without quotes, it stands for itself.
            ("C:\\temp,\\N\n", None),
            ("\"C:\\temp\",2\n", Some(QuoteFault::Escape)),
        ] {
            for size in [1, 2, 3, 100] {
                assert_eq!(fault(record, &format, size), expected, "{record} {size}");
            }
        }
    }
}
