//! The records of CSV: splits text that arrives in pieces into records and values, and knows the line of each record.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use portolan_catalog::TextFormat;

use super::cells::Cell;
use super::decoding::line_breaks;
use super::quotes::{QuoteFault, Quotes};

/// The largest number of values of a record.
const MOST_VALUES: usize = 1 << 20;
/// The position that marks a value which a short record does not have.
const MISSING: usize = usize::MAX;

/// Splits CSV into records. The text of the kept records stays here until [`Records::clear`].
pub(in crate::files) struct Records {
    reader: Reader,
    quotes: Quotes,
    /// The largest number of bytes of a record.
    most_bytes: usize,
    /// The unescaped values of the kept records and of the current one.
    data: Vec<u8>,
    /// The number of bytes of `data` that are used.
    used: usize,
    /// The position in `data` where the current record starts.
    start: usize,
    /// The ends of the values of the current record, from the record's start.
    ends: Vec<usize>,
    /// The number of values of the current record so far.
    values: usize,
    /// For each kept record, the start of its first value and the ends of its first `width` values.
    bounds: Vec<usize>,
    /// The number of values that each kept record has here.
    width: usize,
    /// The line on which each kept record ends.
    last_lines: Vec<u64>,
}

/// The state after a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::files) enum Step {
    /// The piece is used up.
    NeedsText,
    /// A record ends after this number of bytes of the piece. [`Records::keep`] or [`Records::skip`] comes next.
    Record(usize),
    /// The text has no more records.
    End,
    /// The record that starts here is larger than the limit.
    TooLarge,
}

impl Records {
    /// Returns a splitter of records with at most `most_bytes` bytes.
    pub(in crate::files) fn new(delimiter: u8, text: &TextFormat, most_bytes: usize) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).escape(text.escape).comment(text.comment);
        match text.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        Self {
            reader: builder.build(),
            quotes: Quotes::new(delimiter, text),
            most_bytes,
            data: Vec::new(),
            used: 0,
            start: 0,
            ends: Vec::new(),
            values: 0,
            bounds: Vec::new(),
            width: 0,
            last_lines: Vec::new(),
        }
    }

    /// Sets the number of values that each kept record has. No record may be kept yet.
    pub(in crate::files) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// Sets the largest number of bytes of a record.
    pub(in crate::files) fn set_most_bytes(&mut self, most_bytes: usize) {
        self.most_bytes = most_bytes;
    }

    /// Reads on to the end of a record. An empty piece is the end of the text.
    pub(in crate::files) fn read(&mut self, text: &[u8]) -> Step {
        let mut consumed = 0;
        loop {
            if self.used == self.data.len() {
                self.data.resize((2 * self.used).max(8 << 10), 0);
            }
            if self.values == self.ends.len() {
                self.ends.resize((2 * self.values).max(64), 0);
            }
            let (result, read, written, ended) =
                self.reader.read_record(&text[consumed..], &mut self.data[self.used..], &mut self.ends[self.values..]);
            self.quotes.read(&text[consumed..consumed + read]);
            consumed += read;
            self.used += written;
            self.values += ended;
            match result {
                ReadRecordResult::Record => return Step::Record(consumed),
                ReadRecordResult::End => return Step::End,
                _ if self.used - self.start > self.most_bytes || self.values > MOST_VALUES => return Step::TooLarge,
                ReadRecordResult::InputEmpty => return Step::NeedsText,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            }
        }
    }

    /// True if the text ended within quotes. Asks before the end of the text is read.
    pub(in crate::files) fn is_within_quotes(&self) -> bool {
        self.quotes.are_open()
    }

    /// Returns the fault of the current record's quotes.
    pub(super) fn quote_fault(&self) -> Option<QuoteFault> {
        self.quotes.fault()
    }

    /// Returns the number of values of the current record.
    pub(in crate::files) fn values(&self) -> usize {
        self.values
    }

    /// Returns the values of the current record. `None` stands for a value that is no UTF-8.
    pub(in crate::files) fn current(&self) -> Vec<Option<String>> {
        let mut from = self.start;
        let text = |end: &usize| {
            let bytes = &self.data[from..self.start + end];
            from = self.start + end;
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        };
        self.ends[..self.values].iter().map(text).collect()
    }

    /// Returns the line on which the current record starts. `piece` is the text up to the record's end.
    pub(in crate::files) fn current_line(&self, piece: &[u8]) -> u64 {
        self.last_line(piece) - line_breaks(&self.data[self.start..self.used])
    }

    fn last_line(&self, piece: &[u8]) -> u64 {
        // The line break that ends a record is already counted.
        self.reader.line() - u64::from(piece.last() == Some(&b'\n'))
    }

    /// Keeps the current record. Values beyond the width are dropped, and lacking ones are NULL.
    pub(in crate::files) fn keep(&mut self, piece: &[u8]) {
        self.last_lines.push(self.last_line(piece));
        self.bounds.push(self.start);
        let kept = self.values.min(self.width);
        self.bounds.extend(self.ends[..kept].iter().map(|end| self.start + end));
        self.bounds.extend(std::iter::repeat_n(MISSING, self.width - kept));
        self.start = self.used;
        self.values = 0;
        self.quotes.next_record();
    }

    /// Drops the current record.
    pub(in crate::files) fn skip(&mut self) {
        self.used = self.start;
        self.values = 0;
        self.quotes.next_record();
    }

    /// Returns the number of kept records.
    pub(in crate::files) fn len(&self) -> usize {
        self.last_lines.len()
    }

    /// Returns the number of bytes that the kept records take: their values, and the bounds of the values.
    pub(in crate::files) fn bytes(&self) -> usize {
        self.start + self.bounds.len() * size_of::<usize>()
    }

    /// Drops the kept records. The current record stays.
    pub(in crate::files) fn clear(&mut self) {
        self.data.copy_within(self.start..self.used, 0);
        self.used -= self.start;
        self.start = 0;
        self.bounds.clear();
        self.last_lines.clear();
    }

    /// Returns the values of one column of the kept records.
    pub(in crate::files) fn column(&self, position: usize) -> impl Iterator<Item = Cell<'_>> {
        // One check of the whole text is faster than one of each value. It is not enough if a value ends within a
        // character, which `str::get` notices.
        let text = simdutf8::basic::from_utf8(&self.data[..self.start]).ok();
        self.bounds.chunks_exact(self.width + 1).map(move |bounds| match (bounds[position], bounds[position + 1]) {
            (_, MISSING) | (MISSING, _) => Cell::Null,
            (from, to) => {
                let value = match text {
                    Some(text) => text.get(from..to),
                    None => std::str::from_utf8(&self.data[from..to]).ok(),
                };
                value.map_or(Cell::Undecodable, Cell::Text)
            }
        })
    }

    /// Returns the line on which a kept record starts.
    pub(in crate::files) fn line(&self, record: usize) -> Option<u64> {
        let start = *self.bounds.get(record * (self.width + 1))?;
        let end = self.bounds.get((record + 1) * (self.width + 1)).copied().unwrap_or(self.start);
        Some(self.last_lines.get(record)? - line_breaks(&self.data[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the values and the line of each record, read in pieces of `size` bytes.
    fn read(text: &[u8], width: usize, size: usize, format: (u8, TextFormat)) -> Vec<(Vec<Option<String>>, u64)> {
        let mut records = Records::new(format.0, &format.1, 1 << 20);
        records.set_width(width);
        for mut piece in text.chunks(size) {
            while !piece.is_empty() {
                match records.read(piece) {
                    Step::Record(consumed) => {
                        records.keep(&piece[..consumed]);
                        piece = &piece[consumed..];
                    }
                    _ => break,
                }
            }
        }
        if records.read(&[]) != Step::End {
            records.keep(&[]);
        }
        let rows = (0..records.len()).map(|row| {
            let value = |column| match records.column(column).nth(row) {
                Some(Cell::Text(text)) => Some(text.to_owned()),
                _ => None,
            };
            ((0..width).map(value).collect(), records.line(row).unwrap_or_default())
        });
        rows.collect()
    }

    fn plain() -> (u8, TextFormat) {
        (b',', TextFormat::default())
    }

    fn texts(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| Some((*value).to_owned())).collect()
    }

    #[test]
    fn records_have_the_lines_on_which_they_start() {
        let text = b"a,\"x\ny\"\r\n\r\nb,\"say \"\"hi\"\"\"\n# no comment,2\nc,3";
        for size in [1, 2, 3, 100] {
            let found = read(text, 2, size, plain());
            let expected = vec![
                (texts(&["a", "x\ny"]), 1),
                (texts(&["b", "say \"hi\""]), 4),
                (texts(&["# no comment", "2"]), 5),
                (texts(&["c", "3"]), 6),
            ];
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn characters_of_csv_can_be_chosen() {
        let (quote, escape, comment) = (Some(b'\''), Some(b'\\'), Some(b'#'));
        let format = TextFormat { quote, escape, comment, ..TextFormat::default() };
        let text = b"# a comment\n'a;\\'b';1\n#;2\n\"c\";3\n";
        let expected = vec![(texts(&["a;'b", "1"]), 2), (texts(&["\"c\"", "3"]), 4)];
        assert_eq!(read(text, 2, 5, (b';', format)), expected);
    }

    #[test]
    fn records_of_another_width_are_cut_or_filled() {
        let found = read(b"a\nb,1,2\n", 2, 100, plain());
        assert_eq!(found, [(vec![Some("a".to_owned()), None], 1), (texts(&["b", "1"]), 2)]);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_no_value() {
        let found = read(b"gr\xfc\xdf,1\n\xc3,\xbc\n", 2, 100, plain());
        // The two bytes of the last record are one character only if they are put together.
        assert_eq!(found, [(vec![None, Some("1".to_owned())], 1), (vec![None, None], 2)]);
        let found = read(b"\xc3,\xbc\n", 2, 100, plain());
        assert_eq!(found, [(vec![None, None], 1)]);
    }

    #[test]
    fn an_open_quote_is_noticed_at_the_end() {
        for (text, is_open) in [("a,\"b", true), ("a,\"b\"", false), ("a,b", false), ("a\n", false), ("", false)] {
            let mut records = Records::new(b',', &TextFormat::default(), 1 << 20);
            records.set_width(2);
            if !text.is_empty() && records.read(text.as_bytes()) != Step::NeedsText {
                records.skip();
            }
            assert_eq!(records.is_within_quotes(), is_open, "{text}");
        }
    }

    #[test]
    fn a_record_has_a_largest_size() {
        let mut records = Records::new(b',', &TextFormat::default(), 100);
        let text = format!("\"{}", "x".repeat(50_000));
        assert_eq!(records.read(text.as_bytes()), Step::TooLarge);
    }
}
