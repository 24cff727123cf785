//! The costs of regular expressions and of LIKE. A match takes a time that grows with the text and with the pattern, and
//! finding all matches may take a time that grows with the square of the text
//! (<https://docs.rs/regex/latest/regex/#untrusted-input>).

use crate::functions::cost::{Arguments, Cost, CostOfRow};

/// The time to compile a byte of a pattern, in nanoseconds. A class such as `.` takes as long.
const COMPILED: u64 = 4_000;
/// The bytes of a pattern that a search follows at once.
const FOLLOWED_AT_ONCE: u64 = 16;
/// The bytes of a text that a search for all matches goes over at once.
const SEARCHED_AT_ONCE: u64 = 1_024;
/// The library refuses patterns that would be larger.
const LARGEST_PATTERN: u64 = 500_000;

/// A function that looks for one match.
pub(in crate::functions) fn first_match(arguments: &Arguments) -> CostOfRow {
    let work = matching(arguments);
    Box::new(move |row| Cost::time(work(row)))
}

/// A function that looks for all matches.
pub(in crate::functions) fn all_matches(arguments: &Arguments) -> CostOfRow {
    let (work, text) = (matching(arguments), arguments.bytes(0));
    Box::new(move |row| {
        let repeated = text.at(row).saturating_mul(text.at(row) / SEARCHED_AT_ONCE);
        Cost::time(work(row).saturating_add(repeated))
    })
}

/// `regexp_replace(text, pattern, replacement, flags)`. A replacement may name each part of a match again and again.
pub(in crate::functions) fn replace(arguments: &Arguments) -> CostOfRow {
    let (work, text, replacement) = (all_matches(arguments), arguments.bytes(0), arguments.bytes(2));
    let parts = arguments.of_text(2, |text| text.bytes().filter(|b| matches!(b, b'\\' | b'$')).count() as u64);
    let everywhere = arguments.of_text(3, |flags| flags.contains('g'));
    Box::new(move |row| {
        let matches = if everywhere.at(row) { text.at(row).saturating_add(1) } else { 1 };
        let replaced = matches.saturating_mul(replacement.at(row));
        let named = parts.at(row).saturating_mul(text.at(row));
        let bytes = text.at(row).saturating_add(replaced).saturating_add(named);
        Cost { work: work(row).work, ..Cost::string(bytes) }
    })
}

fn matching(arguments: &Arguments) -> Box<dyn Fn(usize) -> u64> {
    let (text, pattern) = (arguments.bytes(0), arguments.of_text(1, weight));
    let compiled = if arguments.is_constant(1) { 0 } else { COMPILED };
    Box::new(move |row| {
        let pattern = pattern.at(row);
        let passes = (pattern / FOLLOWED_AT_ONCE).max(1);
        text.at(row).saturating_mul(passes).saturating_add(pattern.saturating_mul(compiled))
    })
}

/// Returns the size of a pattern with its repetitions written out, at most [`LARGEST_PATTERN`].
fn weight(pattern: &str) -> u64 {
    let mut weight = pattern.len() as u64;
    for counts in pattern.split('{').skip(1) {
        let Some((counts, _)) = counts.split_once('}') else { continue };
        let most = counts.split(',').filter_map(|n| n.trim().parse::<u64>().ok()).max();
        weight = weight.saturating_mul(most.unwrap_or(1).max(1)).min(LARGEST_PATTERN);
    }
    weight.min(LARGEST_PATTERN)
}
