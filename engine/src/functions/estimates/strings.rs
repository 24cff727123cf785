//! The costs of functions over strings.

use crate::functions::cost::{Arguments, Cost, CostOfRow, OF_VALUE};

/// The longest text of one field of a date, and of a duration, in bytes.
const FIELD_OF_DATE: u64 = 32;
const DURATION: u64 = 64;
/// The longest text of a number or a padding in a `printf`: 309 digits, 64 behind the point, and a sign.
const CONVERSION: u64 = 384;
/// The bytes that a search compares in a nanosecond.
pub(super) const COMPARED_AT_ONCE: u64 = 16;
/// From this size on, a result is worth an exact estimate.
const LARGE: u64 = 64 << 10;

/// `repeat(text, number)`
pub(in crate::functions) fn repeat(arguments: &Arguments) -> CostOfRow {
    let (text, times) = (arguments.bytes(0), arguments.counts(1));
    Box::new(move |row| Cost::string(text.at(row).saturating_mul(times.at(row))))
}

/// `lpad(text, characters, filling)`
pub(in crate::functions) fn pad(arguments: &Arguments) -> CostOfRow {
    let (text, characters) = (arguments.bytes(0), arguments.counts(1));
    let wide = arguments.of_text(2, |filling| !filling.is_ascii());
    Box::new(move |row| {
        let characters = characters.at(row);
        let width = if wide.at(row) { 4 } else { 1 };
        let bytes = text.at(row).saturating_add(characters.saturating_mul(width));
        Cost { bytes, ..Cost::list(characters, bytes) }
    })
}

/// `replace(text, from, to)`
pub(in crate::functions) fn replace(arguments: &Arguments) -> CostOfRow {
    let (text, from, to) = (arguments.bytes(0), arguments.bytes(1), arguments.bytes(2));
    let rows = text.len();
    let bytes = |row| {
        let grown = |matches: u64| text.at(row).saturating_add(matches.saturating_mul(to.at(row)));
        let most = grown(text.at(row) / from.at(row).max(1) + 1);
        match (arguments.text(0, row), arguments.text(1, row)) {
            (Some(text), Some(from)) if most > LARGE && !from.is_empty() => grown(text.matches(from).count() as u64),
            _ => most,
        }
    };
    let bytes: Vec<u64> = (0..rows.max(from.len()).max(to.len())).map(bytes).collect();
    Box::new(move |row| Cost::string(bytes.get(row).copied().unwrap_or_default()))
}

/// `concat(text, …)`
pub(in crate::functions) fn concat(arguments: &Arguments) -> CostOfRow {
    let parts: Vec<_> = (0..arguments.len()).map(|place| arguments.bytes(place)).collect();
    Box::new(move |row| Cost::string(parts.iter().map(|part| part.at(row)).fold(0, u64::saturating_add)))
}

/// `concat_ws(separator, text, …)`
pub(in crate::functions) fn concat_ws(arguments: &Arguments) -> CostOfRow {
    let parts: Vec<_> = (0..arguments.len()).map(|place| arguments.bytes(place)).collect();
    let separators = (parts.len() as u64).saturating_sub(2);
    Box::new(move |row| {
        let text = parts.iter().skip(1).map(|part| part.at(row)).fold(0, u64::saturating_add);
        let separator = parts.first().map_or(0, |separator| separator.at(row));
        Cost::string(text.saturating_add(separator.saturating_mul(separators)))
    })
}

/// `overlay(text, replacement, from, length)`. A negative length repeats a part of the text.
pub(in crate::functions) fn overlay(arguments: &Arguments) -> CostOfRow {
    let (text, replacement) = (arguments.bytes(0), arguments.bytes(1));
    Box::new(move |row| Cost::string(text.at(row).saturating_mul(2).saturating_add(replacement.at(row))))
}

/// A function whose result has at most twice the size of its arguments.
pub(in crate::functions) fn doubled(arguments: &Arguments) -> CostOfRow {
    let parts: Vec<_> = (0..arguments.len()).map(|place| arguments.bytes(place)).collect();
    Box::new(move |row| {
        let bytes = parts.iter().map(|part| part.at(row)).fold(0, u64::saturating_add);
        Cost::string(bytes.saturating_mul(2))
    })
}

/// `to_char(date, format)`. The text of a duration has no more fields than that.
pub(in crate::functions) fn format(arguments: &Arguments) -> CostOfRow {
    let format = arguments.bytes(1);
    Box::new(move |row| Cost::string(format.at(row).saturating_mul(FIELD_OF_DATE).saturating_add(DURATION)))
}

/// `printf(pattern, value, …)`
pub(in crate::functions) fn printf(arguments: &Arguments) -> CostOfRow {
    let conversions = arguments.of_text(0, |pattern| pattern.bytes().filter(|b| *b == b'%').count() as u64);
    let parts: Vec<_> = (0..arguments.len()).map(|place| arguments.bytes(place)).collect();
    Box::new(move |row| {
        let numbers = conversions.at(row).saturating_mul(CONVERSION);
        Cost::string(parts.iter().map(|part| part.at(row)).fold(numbers, u64::saturating_add))
    })
}

/// `string_to_array(text, delimiter)`. Without a delimiter, each character is an item.
pub(in crate::functions) fn split(arguments: &Arguments) -> CostOfRow {
    let (text, delimiter) = (arguments.bytes(0), arguments.bytes(1));
    Box::new(move |row| {
        let items = text.at(row) / delimiter.at(row).max(1) + 1;
        Cost::list(items, text.at(row).saturating_add(items.saturating_mul(OF_VALUE)))
    })
}

/// `btrim(text, characters)`
pub(in crate::functions) fn trim(arguments: &Arguments) -> CostOfRow {
    pairs(arguments)
}

/// A function that may compare each character of one string with each of the other.
pub(in crate::functions) fn pairs(arguments: &Arguments) -> CostOfRow {
    let (left, right) = (arguments.bytes(0), arguments.bytes(1));
    Box::new(move |row| Cost::time(left.at(row).saturating_mul(right.at(row))))
}

/// `strpos(text, part)`. A constant part is found in one pass, unless the text is constant, too.
pub(in crate::functions) fn find(arguments: &Arguments) -> CostOfRow {
    let passes = if arguments.is_constant(1) && !arguments.is_constant(0) { 0 } else { 1 };
    let (text, part) = (arguments.bytes(0), arguments.bytes(1));
    Box::new(move |row| Cost::time(passes * text.at(row).saturating_mul(part.at(row) / COMPARED_AT_ONCE)))
}
