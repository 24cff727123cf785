//! Strings on a scale, and LIKE patterns.

use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::{null_share, share};

/// The share of `LIKE 'abc%'` if there are too few frequent values.
const PREFIX: f64 = 0.05;
/// The share of `LIKE '%abc%'` if there are too few frequent values.
const CONTAINS: f64 = 0.1;
/// The factor for each further part between wildcards.
const FURTHER_PART: f64 = 0.2;
/// The share of the rows that the frequent values need, so that they stand for the other values too.
const REPRESENTATIVE_SHARE: f64 = 0.3;

/// Returns the place of a string between two others, from 0 to 1. The common prefix is cut off, and the next bytes are
/// digits to the base 256 (PostgreSQL's `convert_string_to_scalar`).
pub(super) fn position(text: &str, min: &str, max: &str) -> f64 {
    let common = min.bytes().zip(max.bytes()).take_while(|(a, b)| a == b).count();
    if !text.as_bytes().starts_with(min.as_bytes().get(..common).unwrap_or_default()) {
        return if text < min { 0.0 } else { 1.0 };
    }
    let digits = |s: &str| {
        let bytes = s.bytes().skip(common).take(8);
        bytes.fold((0.0, 1.0 / 256.0), |(sum, unit), b| (sum + f64::from(b) * unit, unit / 256.0)).0
    };
    let (low, high) = (digits(min), digits(max));
    if high <= low { 0.5 } else { ((digits(text) - low) / (high - low)).clamp(0.0, 1.0) }
}

/// Returns the share of the rows that a pattern matches.
pub(super) fn like(
    pattern: &str,
    insensitive: bool,
    escape: Option<char>,
    column: Option<&ColumnStatistics>,
    rows: f64,
) -> f64 {
    let parts = parts(pattern, escape);
    let literal = parts.iter().filter(|p| !p.is_empty()).count();
    if literal == 0 {
        return 1.0 - column.map_or(0.0, |c| null_share(c, rows));
    }
    let anchored = parts.first().is_some_and(|p| !p.is_empty());
    let guess = if anchored { PREFIX } else { CONTAINS };
    let further = (1..literal.min(8)).fold(1.0, |sum, _| sum * FURTHER_PART);
    let guess = guess * further;
    let Some(column) = column else { return guess };
    let (mut listed, mut matched) = (0.0, 0.0);
    for (value, share) in &column.frequent {
        let StatisticValue::Text(value) = value else { continue };
        listed += share;
        if matches(value, &parts, insensitive) {
            matched += share;
        }
    }
    let rest = share(1.0 - null_share(column, rows) - listed);
    let rest_matches = if listed >= REPRESENTATIVE_SHARE { matched / listed } else { guess };
    share(matched + rest * rest_matches).max(1.0 / rows.max(1.0)).min(1.0)
}

/// Returns the parts between the `%` of a pattern. The first part is anchored at the start, and the last at the end.
fn parts(pattern: &str, escape: Option<char>) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        let Some(part) = parts.last_mut() else { break };
        if c == escape.unwrap_or('\\') {
            part.extend(characters.next());
        } else if c == '%' {
            parts.push(String::new());
        } else {
            part.push(c);
        }
    }
    parts
}

/// True if a value matches. `_` stands for one character.
fn matches(value: &str, parts: &[String], insensitive: bool) -> bool {
    let lower = |s: &str| if insensitive { s.to_lowercase() } else { s.to_owned() };
    let text: Vec<char> = lower(value).chars().collect();
    let parts: Vec<Vec<char>> = parts.iter().map(|p| lower(p).chars().collect()).collect();
    let at = |part: &[char], from: usize| {
        text.get(from..from + part.len()).is_some_and(|found| found.iter().zip(part).all(|(c, p)| *p == '_' || c == p))
    };
    let Some((first, rest)) = parts.split_first() else { return false };
    if !at(first, 0) {
        return false;
    }
    let Some((last, middle)) = rest.split_last() else { return first.len() == text.len() };
    let mut from = first.len();
    for part in middle {
        let Some(found) = (from..=text.len().saturating_sub(part.len())).find(|i| at(part, *i)) else { return false };
        from = found + part.len();
    }
    let end = text.len().saturating_sub(last.len());
    end >= from && at(last, end)
}
