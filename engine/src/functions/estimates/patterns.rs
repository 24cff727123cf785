//! The costs of regular expressions and of LIKE. A search takes a time that grows with the text and with the pattern.
//! The searches for all matches in one text may take a time that grows with the square of the text
//! (<https://docs.rs/regex/latest/regex/#untrusted-input>). They check the deadline (`searches.rs`).

use std::borrow::Cow;
use std::collections::HashMap;

use regex_syntax::hir::{Hir, HirKind};

use crate::functions::cost::{Arguments, Cost, CostOfRow, Measure};

/// The time to compile a character of a pattern, in nanoseconds.
const COMPILED: u64 = 1_000;
/// The bytes of a pattern that a search follows at once.
const FOLLOWED_AT_ONCE: u64 = 16;
/// The bytes of a text that a search for all matches usually goes over at once.
const SEARCHED_AT_ONCE: u64 = 1_024;
/// The size of a class of characters, such as `.`, beside that of one character.
const CLASS: u64 = 8;
/// The library refuses patterns that would be larger.
const LARGEST_PATTERN: u64 = 500_000;
/// The cost to read a class with a name, such as `\w`, in characters: the library lists hundreds of ranges.
const NAMED_CLASS: u64 = 64;
/// The cost to read a class in brackets. If the class ignores the case, the library may visit every character there is.
const BRACKETS: u64 = 500;

/// A regular expression as the library reads it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::functions) struct Pattern {
    /// The size with the repetitions written out, at most [`LARGEST_PATTERN`].
    pub(in crate::functions) weight: u64,
    /// The length of the shortest match, in bytes.
    shortest: u64,
    /// The length of the longest match, in bytes. A search for the next match ends about as far after the last one.
    longest: u64,
    /// The parts that a match returns: the whole, and each group.
    parts: u64,
    /// True if the library would take too much memory or time to read the pattern.
    is_beyond: bool,
}

impl Pattern {
    /// Reads a pattern.
    pub(in crate::functions) fn of(pattern: &str) -> Self {
        if is_beyond(pattern) {
            return Self { weight: LARGEST_PATTERN, is_beyond: true, ..Self::default() };
        }
        // The library refuses any other pattern, too.
        let Ok(parsed) = regex_syntax::parse(pattern) else { return Self::default() };
        let properties = parsed.properties();
        Self {
            weight: weight(&parsed),
            shortest: properties.minimum_len().unwrap_or_default() as u64,
            longest: properties.maximum_len().map_or(u64::MAX, |bytes| bytes as u64),
            parts: properties.explicit_captures_len() as u64 + 1,
            is_beyond: false,
        }
    }
}

/// True if the library would take too much memory or time to read a pattern.
pub(in crate::functions) fn is_beyond(pattern: &str) -> bool {
    let named = pattern.as_bytes().windows(2).filter(|pair| pair[0] == b'\\' && b"pPwW".contains(&pair[1])).count();
    let brackets = pattern.bytes().filter(|b| *b == b'[').count();
    pattern.len() as u64 + named as u64 * NAMED_CLASS + brackets as u64 * BRACKETS > LARGEST_PATTERN
}

/// Returns the size of a pattern with its repetitions written out, at most [`LARGEST_PATTERN`].
fn weight(pattern: &Hir) -> u64 {
    let weight = match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(text) => text.0.len() as u64,
        HirKind::Class(class) if class.maximum_len() == Some(1) => 1,
        HirKind::Class(_) => CLASS,
        HirKind::Repetition(repeated) => {
            let times = repeated.max.unwrap_or(repeated.min.saturating_add(1)).max(1);
            weight(&repeated.sub).saturating_mul(times.into())
        }
        HirKind::Capture(group) => weight(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().map(weight).fold(0, u64::saturating_add),
    };
    weight.min(LARGEST_PATTERN)
}

/// Returns a pattern with its flags, as most functions of DataFusion write it.
fn with_flags<'a>(pattern: &'a str, flags: Option<&str>) -> Cow<'a, str> {
    match flags {
        None | Some("") => Cow::Borrowed(pattern),
        Some(flags) => Cow::Owned(format!("(?{flags}){pattern}")),
    }
}

/// Returns a pattern with its flags, as `regexp_replace` writes it: `g` stands for all matches.
pub(in crate::functions) fn with_flags_to_replace<'a>(pattern: &'a str, flags: Option<&str>) -> Cow<'a, str> {
    match flags {
        None | Some("g") => Cow::Borrowed(pattern),
        Some(flags) => Cow::Owned(format!("(?{}){pattern}", flags.replace('g', ""))),
    }
}

/// The text and the patterns of a call.
struct Searches {
    text: Measure<u64>,
    patterns: Measure<Pattern>,
    /// The time to compile a character of a pattern of a row.
    compiled: u64,
}

impl Searches {
    /// Reads the patterns, with the flags at this place.
    fn of(arguments: &Arguments, flags: usize, join: for<'a> fn(&'a str, Option<&str>) -> Cow<'a, str>) -> Self {
        let mut known: HashMap<(&str, Option<&str>), Pattern> = HashMap::new();
        let patterns = arguments.measure_rows(&[1, flags], |row| {
            let Some(pattern) = arguments.text(1, row) else { return Pattern::default() };
            let flags = arguments.text(flags, row);
            *known.entry((pattern, flags)).or_insert_with(|| Pattern::of(&join(pattern, flags)))
        });
        let compiled = if matches!(patterns, Measure::One(_)) { 0 } else { COMPILED };
        Self { text: arguments.bytes(0), patterns, compiled }
    }

    /// Returns the time to look for one match.
    fn first(&self, row: usize) -> u64 {
        let pattern = self.patterns.at(row);
        if pattern.is_beyond {
            return u64::MAX;
        }
        let search = self.text.at(row).saturating_mul(passes(pattern.weight));
        search.saturating_add(pattern.weight.saturating_mul(self.compiled))
    }

    /// Returns the cost of looking for all matches.
    fn all(&self, row: usize) -> Cost {
        let (pattern, text) = (self.patterns.at(row), self.text.at(row));
        let searched = text.saturating_mul(text.min(pattern.longest)) / SEARCHED_AT_ONCE;
        let searches = searched.saturating_mul(passes(pattern.weight));
        Cost { searches, ..Cost::time(self.first(row)) }
    }
}

/// Returns how often a search goes over the text.
fn passes(weight: u64) -> u64 {
    (weight / FOLLOWED_AT_ONCE).max(1)
}

/// `regexp_like(text, pattern, flags)`, and the operators that match a regular expression.
pub(in crate::functions) fn first_match(arguments: &Arguments) -> CostOfRow {
    let searches = Searches::of(arguments, 2, with_flags);
    Box::new(move |row| Cost::time(searches.first(row)))
}

/// `regexp_match(text, pattern, flags)`. Each group of the pattern can return the whole text.
pub(in crate::functions) fn captures(arguments: &Arguments) -> CostOfRow {
    let searches = Searches::of(arguments, 2, with_flags);
    Box::new(move |row| {
        let bytes = searches.text.at(row).saturating_mul(searches.patterns.at(row).parts);
        Cost { bytes, ..Cost::time(searches.first(row)) }
    })
}

/// `regexp_count(text, pattern, start, flags)`
pub(in crate::functions) fn count(arguments: &Arguments) -> CostOfRow {
    let searches = Searches::of(arguments, 3, with_flags);
    Box::new(move |row| searches.all(row))
}

/// `regexp_instr(text, pattern, start, n, flags, group)`
pub(in crate::functions) fn position(arguments: &Arguments) -> CostOfRow {
    let searches = Searches::of(arguments, 4, with_flags);
    Box::new(move |row| searches.all(row))
}

/// `regexp_replace(text, pattern, replacement, flags)`. A replacement may name each part of a match again and again.
pub(in crate::functions) fn replace(arguments: &Arguments) -> CostOfRow {
    let searches = Searches::of(arguments, 3, with_flags_to_replace);
    let replacement = arguments.bytes(2);
    let parts = arguments.of_text(2, |text| text.bytes().filter(|b| matches!(b, b'\\' | b'$')).count() as u64);
    let everywhere = arguments.of_text(3, |flags| flags.contains('g'));
    Box::new(move |row| {
        let (text, shortest) = (searches.text.at(row), searches.patterns.at(row).shortest.max(1));
        let matches = if everywhere.at(row) { text / shortest + 1 } else { 1 };
        let replaced = matches.saturating_mul(replacement.at(row));
        let named = parts.at(row).saturating_mul(text);
        let bytes = text.saturating_add(replaced).saturating_add(named);
        let time = if everywhere.at(row) { searches.all(row) } else { Cost::time(searches.first(row)) };
        Cost { work: time.work, searches: time.searches, ..Cost::string(bytes) }
    })
}

/// `LIKE`. A search may follow each character of the pattern.
pub(in crate::functions) fn like(arguments: &Arguments) -> CostOfRow {
    let text = arguments.bytes(0);
    let compiled = if arguments.is_constant(1) { 0 } else { COMPILED };
    // Other patterns are compared, and become no regular expression.
    let patterns = arguments.of_text(1, |pattern| {
        let inner = pattern.strip_prefix('%').unwrap_or(pattern);
        let inner = inner.strip_suffix('%').unwrap_or(inner);
        (pattern.len() as u64, inner.contains(['%', '_', '\\']) || !inner.is_ascii())
    });
    Box::new(move |row| match patterns.at(row) {
        (length, true) if length > LARGEST_PATTERN => Cost::time(u64::MAX),
        (length, _) => {
            let search = text.at(row).saturating_mul(passes(length));
            Cost::time(search.saturating_add(length.saturating_mul(compiled)))
        }
    })
}
