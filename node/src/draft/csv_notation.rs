//! The notation of CSV: finds the encoding, the delimiter, the quote and the header in the beginning of a file.

use std::borrow::Cow;
use std::collections::BTreeSet;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::numbers::is_number;

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
/// A file without records.
pub(super) fn notation(beginning: &[u8], is_whole: bool) -> Result<CsvNotation, String> {
    let (text, encoding) = decoded(beginning);
    let best = QUOTES
        .into_iter()
        .flat_map(|quote| DELIMITERS.map(|delimiter| Records::read(&text, delimiter, quote, is_whole)))
        .reduce(|best, other| if other.fitness() > best.fitness() { other } else { best });
    let Some(records) = best.filter(|records| !records.rows.is_empty()) else {
        return Err("the file has no records: a header is needed at least".to_owned());
    };
    let has_header = records.has_header();
    let first = records.rows.first().map_or(&[] as &[String], Vec::as_slice);
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
    match str::from_utf8(beginning) {
        // The last character may be cut.
        Err(error) if error.error_len().is_some() => {
            (WINDOWS_1252.decode_without_bom_handling(beginning).0, Some(WINDOWS_1252.name()))
        }
        _ => (UTF_8.decode_without_bom_handling(beginning).0, None),
    }
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
    /// thousand, if it has several values; values that are not between other quotes; and the number of values.
    fn fitness(&self) -> (usize, bool, usize) {
        let width = self.rows.first().map_or(0, Vec::len);
        let equal = self.rows.iter().filter(|row| row.len() == width).count();
        let share = if width > 1 { equal * 1000 / self.rows.len() } else { 0 };
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

    /// True if the first record has names of columns: different words, which are not like the values below them.
    fn has_header(&self) -> bool {
        let Some((first, others)) = self.rows.split_first() else { return true };
        let names: BTreeSet<&String> = first.iter().filter(|name| !name.trim().is_empty()).collect();
        let are_words = !names.is_empty() && names.iter().all(|name| !looks_like_value(name));
        // The last name may be missing, if each record ends with a delimiter.
        let are_different = names.len() + 1 >= first.len();
        let is_repeated =
            |row: &Vec<String>| first.iter().zip(row).any(|(name, value)| !name.is_empty() && name == value);
        are_words && are_different && !others.iter().any(is_repeated)
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
        // A character that the end cuts.
        assert_eq!(encoding(b"id,a\n1,\xc3"), (None, "id|a".to_owned()));
    }

    #[test]
    fn a_cut_record_does_not_count() {
        let found = notation(b"id,name\n1,a\n2", false).unwrap();
        assert_eq!((found.delimiter, found.has_header), (b',', true));
        assert!(notation(b"", true).is_err());
    }
}
