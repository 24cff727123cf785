//! The notation of CSV: finds the encoding, the delimiter, the quote and the header in the beginning of a file.

use std::borrow::Cow;
use std::collections::BTreeSet;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::numbers::is_number;
use super::text_types::is_null_word;

/// The delimiters that are tried, the most likely first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
const QUOTES: [u8; 2] = [b'"', b'\''];
/// The largest number of records that are looked at.
const RECORDS: usize = 1000;

/// The notation of CSV files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CsvNotation {
    /// The character encoding, if a contract must name it.
    pub(super) encoding: Option<&'static str>,
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) has_header: bool,
    /// The columns: the names in the header. Without a header, `column_1` and so on.
    pub(super) names: Vec<String>,
}

/// Finds the notation in the beginning of a file. `is_whole` is true if that is all of the file.
///
/// # Errors
/// A file without records, or whose first line is no header and no record.
pub(super) fn notation(beginning: &[u8], is_whole: bool) -> Result<CsvNotation, String> {
    let (text, encoding) = decoded(beginning);
    if let Some(line) = spreadsheet_hint(&text) {
        return Err(format!("the first line is `{line}`, which only spreadsheets understand: remove it"));
    }
    let best = QUOTES
        .into_iter()
        .filter(|quote| text.contains(char::from(*quote)) || *quote == b'"')
        .flat_map(|quote| DELIMITERS.map(|delimiter| Records::read(&text, delimiter, quote, is_whole)))
        .reduce(|best, other| if other.fitness() > best.fitness() { other } else { best });
    let Some(records) = best.filter(|records| !records.rows.is_empty()) else {
        return Err("the file has no records: a header is needed at least".to_owned());
    };
    let has_header = records.has_header();
    let first = records.rows.first().map_or(&[] as &[String], Vec::as_slice);
    let is_binary = |c: &char| c.is_control() && !c.is_whitespace();
    if let Some(c) = first.iter().flat_map(|value| value.chars()).find(is_binary) {
        return Err(format!("the first line has the character U+{:04X}: expected a file of text", u32::from(c)));
    }
    let names = match has_header {
        true => first.to_vec(),
        false => (1..=first.len()).map(|number| format!("column_{number}")).collect(),
    };
    Ok(CsvNotation { encoding, delimiter: records.delimiter, quote: records.quote, has_header, names })
}

/// Returns the text, and the name of its encoding unless the file itself shows the encoding.
fn decoded(beginning: &[u8]) -> (Cow<'_, str>, Option<&'static str>) {
    if let Some((encoding, mark)) = Encoding::for_bom(beginning) {
        return (encoding.decode_without_bom_handling(&beginning[mark..]).0, None);
    }
    if let Some(encoding) = utf16(beginning) {
        return (encoding.decode_without_bom_handling(beginning).0, Some(encoding.name()));
    }
    match str::from_utf8(beginning) {
        // The last character may be cut. Text with letters of UTF-8 before the fault is in no encoding, and its reader says so.
        Err(error) if error.error_len().is_some() && beginning[..error.valid_up_to()].is_ascii() => {
            (WINDOWS_1252.decode_without_bom_handling(beginning).0, Some(WINDOWS_1252.name()))
        }
        _ => (UTF_8.decode_without_bom_handling(beginning).0, None),
    }
}

/// Returns the kind of UTF-16 that a text without a mark has: a zero in most characters, always in the same byte.
fn utf16(beginning: &[u8]) -> Option<&'static Encoding> {
    let zeros = |from: usize| beginning.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let is_most = |count: usize| count > beginning.len() / 4;
    match (zeros(0), zeros(1)) {
        (0, low) if is_most(low) => Some(UTF_16LE),
        (high, 0) if is_most(high) => Some(UTF_16BE),
        _ => None,
    }
}

/// Returns the first line, if it only tells a spreadsheet the delimiter: `sep=;`.
fn spreadsheet_hint(text: &str) -> Option<&str> {
    let line = text.lines().next()?.trim();
    let hint = line.trim_matches('"').strip_prefix("sep=")?;
    let is_delimiter = hint.chars().count() <= 1 && !hint.contains(char::is_alphanumeric);
    is_delimiter.then_some(line)
}

/// The records of a text, as one delimiter and one quote separate them.
struct Records {
    delimiter: u8,
    quote: u8,
    rows: Vec<Vec<String>>,
}

impl Records {
    fn read(text: &str, delimiter: u8, quote: u8, is_whole: bool) -> Self {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .quote(quote)
            .from_reader(text.as_bytes());
        let records = reader.records().take(RECORDS).map_while(Result::ok);
        let mut rows: Vec<Vec<String>> = records.map(|row| row.iter().map(str::to_owned).collect()).collect();
        if !is_whole && rows.len() > 1 && rows.len() < RECORDS {
            // The last record may be cut.
            rows.pop();
        }
        Self { delimiter, quote, rows }
    }

    /// Returns how well the delimiter and the quote fit: the share of records that are as long as the first one, in a
    /// thousand, if it has several values; values that are not between other quotes; and the number of values. A
    /// delimiter that no record has is better than one that only some records have.
    fn fitness(&self) -> (usize, bool, usize) {
        let width = self.rows.first().map_or(0, Vec::len);
        let equal = self.rows.iter().filter(|row| row.len() == width).count();
        let share = if width > 1 { equal * 1000 / self.rows.len() } else { usize::from(equal == self.rows.len()) };
        (share, !self.has_other_quotes(), width)
    }

    /// True if the values of some column are all between quotes that were not read as quotes.
    fn has_other_quotes(&self) -> bool {
        let other = if self.quote == b'"' { '\'' } else { '"' };
        let is_quoted = |value: &String| value.len() > 1 && value.starts_with(other) && value.ends_with(other);
        let Some((first, others)) = self.rows.split_first() else { return false };
        (0..first.len()).any(|column| {
            let mut values =
                others.iter().filter_map(|row| row.get(column)).filter(|value| !value.is_empty()).peekable();
            values.peek().is_some() && values.all(is_quoted)
        })
    }

    /// True if the first record has names of columns. These are words, not values. They are different, and stand above
    /// other values; or some of them stand above values that are no words, such as numbers.
    fn has_header(&self) -> bool {
        let Some((first, others)) = self.rows.split_first() else { return true };
        let names: BTreeSet<&String> = first.iter().filter(|name| !name.trim().is_empty()).collect();
        let are_words = (0..first.len()).all(|column| first[column].trim().is_empty() || self.is_name(column));
        if names.is_empty() || !are_words {
            return false;
        }
        if (0..first.len()).any(|column| self.is_above_values(column)) {
            return true;
        }
        // A column without a name and without values is that of a delimiter at the end of each record.
        let is_column =
            |column: &usize| self.rows.iter().any(|row| row.get(*column).is_some_and(|v| !v.trim().is_empty()));
        let columns = (0..first.len()).filter(is_column).count();
        // One name may be missing, such as that of row numbers.
        let are_different = names.len() + 1 >= columns;
        let is_repeated =
            |row: &Vec<String>| first.iter().zip(row).any(|(name, value)| !name.is_empty() && name == value);
        are_different && !others.iter().any(is_repeated)
    }

    /// Returns the values of a column after the first record, without empty ones.
    fn values_below(&self, column: usize) -> impl Iterator<Item = &str> {
        let values = self.rows.iter().skip(1).filter_map(move |row| row.get(column));
        values.map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// True if the first value of a column can be its name: a word, or a year above values that are no years.
    fn is_name(&self, column: usize) -> bool {
        let name = self.rows[0][column].trim();
        let is_year =
            |text: &str| text.len() == 4 && text.parse::<u16>().is_ok_and(|year| (1900..2100).contains(&year));
        let is_year_name = || {
            let mut below = self.values_below(column).peekable();
            is_year(name) && below.peek().is_some() && !below.all(is_year)
        };
        !looks_like_value(name) || is_year_name()
    }

    /// True if the first value of a column is a word, and all others are numbers or dates.
    fn is_above_values(&self, column: usize) -> bool {
        let name = self.rows[0][column].trim();
        let mut below = self.values_below(column).filter(|value| !is_null_word(value)).peekable();
        let is_word = !name.is_empty() && !is_null_word(name) && !looks_like_value(name);
        is_word && below.peek().is_some() && below.all(looks_like_value)
    }
}

/// True if a text is rather a number or a date than the name of a column.
fn looks_like_value(text: &str) -> bool {
    let text = text.trim();
    let is_date = text.len() >= 8 && text.chars().all(|c| c.is_ascii_digit() || "-./: TZ".contains(c));
    is_number(text) || is_date
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(text: &str) -> (char, char, bool, String) {
        let found = notation(text.as_bytes(), true).unwrap();
        (found.delimiter.into(), found.quote.into(), found.has_header, found.names.join("|"))
    }

    #[test]
    fn the_delimiter_separates_equally_many_values_of_each_record() {
        for (text, delimiter, names) in [
            ("id,name\n1,a\n2,b\n", ',', "id|name"),
            ("id;price\n1;1,50\n2;7,25\n", ';', "id|price"),
            ("id\tname\n1\ta,b\n", '\t', "id|name"),
            ("id|note\n1|a;b\n2|c\n", '|', "id|note"),
            ("id;note\r\n1;\"a;b\nc\"\r\n", ';', "id|note"),
            ("id\n1\n2\n", ',', "id"),
            // No delimiter: that of most files would cut some values.
            ("price\n1,50\n7,25\n\"\"\n", ';', "price"),
            ("a,b,c\n", ',', "a|b|c"),
        ] {
            let (found_delimiter, quote, has_header, found_names) = found(text);
            assert_eq!((found_delimiter, found_names.as_str()), (delimiter, names), "{text}");
            assert!(quote == '"' && has_header, "{text}");
        }
    }

    #[test]
    fn values_can_be_between_single_quotes() {
        assert_eq!(found("id,name\n1,'a,b'\n2,'c'\n"), (',', '\'', true, "id|name".to_owned()));
        assert_eq!(found("id,name\n1,'a'\n2,'c'\n"), (',', '\'', true, "id|name".to_owned()));
        assert_eq!(found("id,name\n1,it's\n2,'90s\n"), (',', '"', true, "id|name".to_owned()));
    }

    #[test]
    fn a_header_has_different_words() {
        for (text, has_header) in [
            ("id,name\n1,a\n", true),
            ("name,city\na,b\n", true),
            ("a,b,\n1,2,\n", true),
            ("1,a\n2,b\n", false),
            ("a,2024-01-01\nb,2024-01-02\n", false),
            ("a,x\na,y\n", false),
            ("x,x\n1,2\n", true),
            // Names are missing and repeated, but numbers are below a name.
            ("id,,\n1,a,b\n2,c,d\n", true),
            ("status,n\nstatus,1\nopen,2\n", true),
            // Columns of empty values, as spreadsheets write them.
            ("name,city,,,\na,b,,,\n", true),
            // A year is a name above values that are no years.
            ("region,2023,2024\nnorth,5,6.5\nsouth,7,8\n", true),
            ("berlin,2023\nhamburg,2024\n", false),
            ("region,2023\n", false),
            ("n/a,x\nn/a,y\n", false),
        ] {
            assert_eq!(found(text).2, has_header, "{text}");
        }
        assert_eq!(found("1,a\n2,b\n").3, "column_1|column_2");
    }

    #[test]
    fn the_encoding_is_utf8_or_that_of_windows() {
        let encoding = |text: &[u8]| {
            let found = notation(text, true).unwrap();
            (found.encoding, found.names.join("|"))
        };
        assert_eq!(encoding("id,größe\n".as_bytes()), (None, "id|größe".to_owned()));
        assert_eq!(encoding("\u{feff}id,a\n".as_bytes()), (None, "id|a".to_owned()));
        assert_eq!(encoding(b"id,gr\xf6\xdfe\n"), (Some("windows-1252"), "id|größe".to_owned()));
        let utf16: Vec<u8> = "\u{feff}id;b\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(encoding(&utf16), (None, "id|b".to_owned()));
        let without_mark = "id;größe\n1;2\n".encode_utf16();
        let low: Vec<u8> = without_mark.clone().flat_map(u16::to_le_bytes).collect();
        assert_eq!(encoding(&low), (Some("UTF-16LE"), "id|größe".to_owned()));
        let high: Vec<u8> = without_mark.flat_map(u16::to_be_bytes).collect();
        assert_eq!(encoding(&high), (Some("UTF-16BE"), "id|größe".to_owned()));
        // A character that the end cuts.
        assert_eq!(encoding(b"id,a\n1,\xc3"), (None, "id|a".to_owned()));
    }

    #[test]
    fn double_quotes_are_not_cut_by_single_ones() {
        let text = "\"645,25\"\n\"996,52\"\n\"\"\n";
        assert_eq!(found(text), (',', '"', false, "column_1".to_owned()));
    }

    #[test]
    fn files_that_are_no_csv_are_refused() {
        for (text, expected) in [
            ("sep=;\nid;name\n", "the first line is `sep=;`"),
            ("\"sep=;\"\r\nid;name\r\n", "the first line is `\"sep=;\"`"),
            ("\u{1f}\u{8b}\u{8}\0\n", "the first line has the character U+001F"),
            ("PK\u{3}\u{4}x\n", "the first line has the character U+0003"),
        ] {
            let refused = notation(text.as_bytes(), true).unwrap_err();
            assert!(refused.starts_with(expected), "{refused}");
        }
        assert!(found("sep=a\n1\n").2, "a column may be called like that");
    }

    #[test]
    fn a_cut_record_does_not_count() {
        let found = notation(b"id,name\n1,a\n2", false).unwrap();
        assert_eq!((found.delimiter, found.has_header), (b',', true));
        assert!(notation(b"", true).is_err());
    }
}
