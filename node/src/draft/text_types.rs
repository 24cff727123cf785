//! The types of columns that are stored as text: finds the type and the notation that all values of a column have.

use std::collections::BTreeSet;

use super::numbers::{NOTATIONS, NumberValues, POINTS_BETWEEN_THOUSANDS};

/// Words that stand for NULL in columns of other values.
const NULL_WORDS: [&str; 9] = ["NULL", "null", "Null", "\\N", "N/A", "n/a", "NA", "-", "None"];
/// Pairs of words that stand for true and false, in small letters.
const TRUTH_WORDS: [(&str, &str); 10] = [
    ("true", "false"),
    ("yes", "no"),
    ("y", "n"),
    ("t", "f"),
    ("on", "off"),
    ("ja", "nein"),
    ("j", "n"),
    ("wahr", "falsch"),
    ("oui", "non"),
    ("vrai", "faux"),
];
/// Patterns of dates and timestamps in the notation of contracts, the strict ones first.
const PATTERNS: [&str; 18] = [
    "dd.MM.yyyy",
    "d.M.yyyy",
    "dd/MM/yyyy",
    "MM/dd/yyyy",
    "d/M/yyyy",
    "M/d/yyyy",
    "dd-MM-yyyy",
    "yyyy/MM/dd",
    "yyyy.MM.dd",
    "dd.MM.yyyy HH:mm:ss",
    "dd.MM.yyyy HH:mm",
    "d.M.yyyy HH:mm",
    "dd/MM/yyyy HH:mm:ss",
    "dd/MM/yyyy HH:mm",
    "MM/dd/yyyy HH:mm:ss",
    "MM/dd/yyyy HH:mm",
    "yyyy/MM/dd HH:mm:ss",
    "yyyy/MM/dd HH:mm",
];
const ISO_DATE: &str = "yyyy-MM-dd";
/// The number of digits in the fraction of money. More digits, or one digit, are usually those of a measurement.
const MONEY_DIGITS: std::ops::RangeInclusive<usize> = 2..=4;

/// A type that text can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Truth,
    Integer,
    /// A number in one of [`NOTATIONS`].
    Number(usize),
    IsoDate,
    IsoTimestamp,
    /// A date or a timestamp with one of [`PATTERNS`].
    Pattern(usize),
    Time,
}

/// The type of a column, and the notation of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextType {
    pub(super) logical_type: &'static str,
    /// The pattern of dates or timestamps, if it is not ISO 8601.
    pub(super) pattern: Option<&'static str>,
    /// The digits of a decimal number, and those of its fraction.
    pub(super) decimal: Option<(usize, usize)>,
    pub(super) has_decimal_comma: bool,
    pub(super) thousands: Option<char>,
    /// The words that stand for NULL. Empty if only the empty string does.
    pub(super) null_words: Vec<String>,
    /// The words that stand for true and false, if they are others.
    pub(super) truth_words: Option<(&'static str, &'static str)>,
    /// The decision that a person must make.
    pub(super) note: Option<&'static str>,
}

impl TextType {
    pub(super) fn of(logical_type: &'static str) -> Self {
        Self { logical_type, ..Self::default() }
    }
}

/// The types that all values so far can have.
#[derive(Clone, Debug)]
pub(super) struct TextValues {
    kinds: Vec<Kind>,
    values: u64,
    null_words: BTreeSet<&'static str>,
    /// The first three words, in small letters.
    words: BTreeSet<String>,
    numbers: [NumberValues; NOTATIONS.len()],
    /// True if a point may separate thousands, as a comma does not separate the values of the file.
    doubts_points: bool,
    /// True if some timestamp has an offset from UTC, and if some has none.
    offsets: (bool, bool),
}

impl TextValues {
    /// Returns the types that values of CSV with this delimiter can have.
    pub(super) fn of_csv(delimiter: u8) -> Self {
        let first = [Kind::Truth, Kind::Integer];
        let numbers = (0..NOTATIONS.len()).map(Kind::Number);
        let patterns = (0..PATTERNS.len()).map(Kind::Pattern);
        let kinds = first.into_iter().chain(numbers).chain([Kind::IsoDate, Kind::IsoTimestamp, Kind::Time]);
        Self { doubts_points: delimiter == b';', ..Self::with(kinds.chain(patterns).collect()) }
    }

    /// Returns the types that strings of JSON can have. JSON has numbers and truth values of its own.
    pub(super) fn of_json() -> Self {
        Self::with(vec![Kind::IsoDate, Kind::IsoTimestamp])
    }

    fn with(kinds: Vec<Kind>) -> Self {
        let numbers = std::array::from_fn(|_| NumberValues::default());
        let (null_words, words) = (BTreeSet::new(), BTreeSet::new());
        Self { kinds, values: 0, null_words, words, numbers, doubts_points: false, offsets: (false, false) }
    }

    /// Adds a value. Spaces around a value do not belong to it, unless the column is a string.
    pub(super) fn add(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if let Some(word) = NULL_WORDS.into_iter().find(|word| *word == text) {
            self.null_words.insert(word);
            return;
        }
        self.values += 1;
        let (words, numbers, offsets) = (&mut self.words, &mut self.numbers, &mut self.offsets);
        self.kinds.retain(|kind| match kind {
            Kind::Truth => {
                words.insert(text.to_lowercase());
                words.len() <= 2 && text.len() <= 6
            }
            Kind::Integer => is_integer(text),
            Kind::Number(notation) => numbers[*notation].add(text, NOTATIONS[*notation]),
            Kind::IsoDate => fits_pattern(ISO_DATE, text),
            Kind::IsoTimestamp => iso_timestamp(text).is_some_and(|has_offset| {
                *offsets = (offsets.0 || has_offset, offsets.1 || !has_offset);
                true
            }),
            Kind::Pattern(pattern) => fits_pattern(PATTERNS[*pattern], text),
            Kind::Time => fits_pattern("HH:mm:ss", text),
        });
    }

    /// Returns the type of the column: a string, unless all values have another type.
    pub(super) fn text_type(&self) -> TextType {
        let string = TextType::of("string");
        if self.values == 0 {
            return string;
        }
        let mut found = match self.kinds.iter().find_map(|kind| self.type_of(*kind)) {
            Some(found) if found.logical_type != "string" => found,
            Some(found) => return found,
            None => {
                let are_numbers = self.kinds.iter().any(|kind| matches!(kind, Kind::Number(_)));
                let note = are_numbers.then_some(
                    "no value shows which character separates thousands, and which the fraction: set a `logicalType`, \
                     and `portolan.thousandsSeparator` or `portolan.decimalSeparator`",
                );
                return TextType { note, ..string };
            }
        };
        if !self.null_words.is_empty() {
            // The list replaces the empty string, which stands for NULL without a list.
            let words = self.null_words.iter().map(|word| (*word).to_owned());
            found.null_words = std::iter::once(String::new()).chain(words).collect();
        }
        found
    }

    /// Returns the type that the values have if they are of this kind. `None` if they are not.
    fn type_of(&self, kind: Kind) -> Option<TextType> {
        match kind {
            Kind::Truth => {
                let is = |word: &str| self.words.contains(word);
                let known = |(yes, no): &(&str, &str)| match self.words.len() {
                    2 => is(yes) && is(no),
                    _ => *yes == "true" && (is(yes) || is(no)),
                };
                let words = TRUTH_WORDS.into_iter().find(known)?;
                let truth_words = (words.0 != "true").then_some(words);
                Some(TextType { truth_words, ..TextType::of("boolean") })
            }
            Kind::Integer => Some(TextType::of("integer")),
            Kind::Number(i) => {
                let (notation, values) = (NOTATIONS[i], &self.numbers[i]);
                let decimal = values.decimal(MONEY_DIGITS);
                let has_decimal_comma = notation.decimal == ',';
                let number =
                    TextType { decimal, has_decimal_comma, thousands: notation.group, ..TextType::of("number") };
                let may_be_thousands =
                    self.doubts_points && self.kinds.contains(&Kind::Number(POINTS_BETWEEN_THOUSANDS));
                let is_clear = if i == 0 && may_be_thousands { values.is_shown } else { values.shows(notation) };
                is_clear.then_some(number)
            }
            Kind::IsoDate => Some(TextType::of("date")),
            // Times with and without an offset in one column are not the same kind of time.
            Kind::IsoTimestamp => (self.offsets != (true, true)).then(|| TextType::of("timestamp")),
            Kind::Pattern(i) => {
                let pattern = PATTERNS[i];
                let begins = |letter: char| {
                    self.kinds.iter().any(|kind| matches!(kind, Kind::Pattern(p) if PATTERNS[*p].starts_with(letter)))
                };
                if begins('d') && begins('M') {
                    let note = "no value shows whether the day or the month comes first: set a `logicalType`, and a \
                                `format` in `logicalTypeOptions`";
                    return Some(TextType { note: Some(note), ..TextType::of("string") });
                }
                let logical_type = if pattern.contains('H') { "timestamp" } else { "date" };
                Some(TextType { pattern: Some(pattern), ..TextType::of(logical_type) })
            }
            Kind::Time => Some(TextType::of("time")),
        }
    }
}

/// True if a text stands for NULL in columns of other values.
pub(super) fn is_null_word(text: &str) -> bool {
    NULL_WORDS.contains(&text)
}

/// True for an integer of 64 bits. A number with a zero before it is a code, such as that of a place.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_code = digits.len() > 1 && digits.starts_with('0');
    !is_code && digits.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

/// True if a date or a time has this pattern, as far as its digits show.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_ascii_alphabetic() {
            match rest.strip_prefix(letter) {
                Some(after) => rest = after,
                None => return false,
            }
            continue;
        }
        let mut width = 1;
        while letters.next_if_eq(&letter).is_some() {
            width += 1;
        }
        let most = if width == 1 { 2 } else { width };
        let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let range = match letter {
            'M' => 1..=12,
            'd' => 1..=31,
            'H' => 0..=23,
            'm' | 's' => 0..=59,
            _ => 1..=9999,
        };
        if digits < width || !number.parse::<u32>().is_ok_and(|number| range.contains(&number)) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// Returns true if a timestamp in ISO 8601 has an offset from UTC, and false if it has none. `None` if the text is no
/// timestamp.
fn iso_timestamp(text: &str) -> Option<bool> {
    let (date, rest) = text.split_at_checked(10)?;
    if !fits_pattern(ISO_DATE, date) {
        return None;
    }
    let Some(time) = rest.strip_prefix(['T', ' ']) else { return rest.is_empty().then_some(false) };
    let (time, has_offset) = match time.strip_suffix('Z') {
        Some(time) => (time, true),
        None => match time.rfind(['+', '-']) {
            Some(at) if fits_pattern("HH:mm", &time[at + 1..]) => (&time[..at], true),
            Some(_) => return None,
            None => (time, false),
        },
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let is_fraction = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = ["HH:mm:ss", "HH:mm"].iter().any(|pattern| fits_pattern(pattern, time));
    (is_time && is_fraction).then_some(has_offset)
}

#[cfg(test)]
mod tests;
