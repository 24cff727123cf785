//! The costs of regular expressions and of LIKE. A match takes a time that grows with the text and with the pattern, and
//! finding all matches may take a time that grows with the square of the text
//! (<https://docs.rs/regex/latest/regex/#untrusted-input>).

use crate::functions::cost::{Arguments, Cost, CostOfRow};

/// The time to compile a character of a pattern, in nanoseconds.
const COMPILED: u64 = 1_000;
/// The bytes of a pattern that a search follows at once.
const FOLLOWED_AT_ONCE: u64 = 16;
/// The bytes of a text that a search for all matches goes over at once.
const SEARCHED_AT_ONCE: u64 = 1_024;
/// The size of a class of characters, such as `.`, beside that of one character.
const CLASS: u64 = 8;
/// The library refuses patterns that would be larger.
const LARGEST_PATTERN: u64 = 500_000;

/// A function that looks for one match.
pub(in crate::functions) fn first_match(arguments: &Arguments) -> CostOfRow {
    let work = matching(arguments);
    Box::new(move |row| Cost::time(work(row)))
}

/// `regexp_match(text, pattern)`. Each group of the pattern can return the whole text.
pub(in crate::functions) fn captures(arguments: &Arguments) -> CostOfRow {
    let (work, text) = (matching(arguments), arguments.bytes(0));
    let groups = arguments.of_text(1, |pattern| pattern.bytes().filter(|b| *b == b'(').count() as u64 + 1);
    Box::new(move |row| {
        let bytes = text.at(row).saturating_mul(groups.at(row));
        Cost { made: 0, bytes, work: work(row) }
    })
}

/// A function that looks for all matches.
pub(in crate::functions) fn all_matches(arguments: &Arguments) -> CostOfRow {
    let (work, text) = (matching(arguments), arguments.bytes(0));
    // Without such a repetition, a search ends soon after its match.
    let is_far = arguments.of_text(1, |pattern| pattern.contains(['*', '+']) || pattern.contains(",}"));
    Box::new(move |row| {
        let text = if is_far.at(row) { text.at(row) } else { 0 };
        let repeated = text.saturating_mul(text / SEARCHED_AT_ONCE);
        Cost::time(work(row).saturating_add(repeated))
    })
}

/// `regexp_replace(text, pattern, replacement, flags)`. A replacement may name each part of a match again and again.
pub(in crate::functions) fn replace(arguments: &Arguments) -> CostOfRow {
    let (one, all) = (first_match(arguments), all_matches(arguments));
    let (text, replacement) = (arguments.bytes(0), arguments.bytes(2));
    let parts = arguments.of_text(2, |text| text.bytes().filter(|b| matches!(b, b'\\' | b'$')).count() as u64);
    let everywhere = arguments.of_text(3, |flags| flags.contains('g'));
    Box::new(move |row| {
        let matches = if everywhere.at(row) { text.at(row).saturating_add(1) } else { 1 };
        let replaced = matches.saturating_mul(replacement.at(row));
        let named = parts.at(row).saturating_mul(text.at(row));
        let bytes = text.at(row).saturating_add(replaced).saturating_add(named);
        let work = if everywhere.at(row) { all(row).work } else { one(row).work };
        Cost { work, ..Cost::string(bytes) }
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
pub(in crate::functions) fn weight(pattern: &str) -> u64 {
    // The sizes of the groups that are open, the innermost last, and of the part that a count would repeat.
    let (mut open, mut last) = (vec![0_u64], 0_u64);
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        let more = match next {
            '(' => {
                open.push(0);
                continue;
            }
            ')' if open.len() > 1 => {
                last = open.pop().unwrap_or_default().max(1);
                last
            }
            '{' => {
                let (counts, after) = rest.as_str().split_once('}').unwrap_or(("", rest.as_str()));
                let most = counts.split(',').filter_map(|n| n.trim().parse::<u64>().ok()).max().unwrap_or(1);
                rest = after.chars();
                let added = last.saturating_mul(most.saturating_sub(1));
                last = last.saturating_mul(most.max(1));
                added
            }
            '\\' => {
                rest.next();
                last = CLASS;
                CLASS
            }
            '.' => {
                last = CLASS;
                CLASS
            }
            _ => {
                last = 1;
                1
            }
        };
        if let Some(group) = open.last_mut() {
            *group = group.saturating_add(more).min(LARGEST_PATTERN);
        }
    }
    open.into_iter().fold(0, u64::saturating_add).min(LARGEST_PATTERN)
}
