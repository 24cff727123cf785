//! The masks of strings: characters that are replaced one by one. A character is a Unicode code point, as in Iceberg:
//! an accent that follows its letter is a character of its own.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, LargeUtf8Type, StringViewType, Utf8Type};
use arrow::error::ArrowError;

use super::bytes::{rewrite, rewrite_views, size};
use super::{Mask, unfit};

/// The number of characters that `show-first-4` and `show-last-4` show.
const SHOWN: usize = 4;

/// Replaces all characters.
pub(super) fn alphanumeric(array: &dyn Array) -> Result<ArrayRef, ArrowError> {
    each(Mask::MaskAlphanum, array, redact)
}

/// Replaces the characters after the fourth one.
pub(super) fn show_first_4(array: &dyn Array) -> Result<ArrayRef, ArrowError> {
    each(Mask::ShowFirst4, array, |value, masked| {
        let (shown, hidden) = value.split_at(start_of_fifth(value));
        masked.extend_from_slice(shown);
        redact(hidden, masked);
    })
}

/// Replaces the characters before the last four.
pub(super) fn show_last_4(array: &dyn Array) -> Result<ArrayRef, ArrowError> {
    each(Mask::ShowLast4, array, |value, masked| {
        let (hidden, shown) = value.split_at(start_of_last_four(value));
        redact(hidden, masked);
        masked.extend_from_slice(shown);
    })
}

fn each(mask: Mask, array: &dyn Array, write: impl Fn(&[u8], &mut Vec<u8>)) -> Result<ArrayRef, ArrowError> {
    // No mask of a string is longer than the string.
    match array.data_type() {
        DataType::Utf8 => {
            let strings = array.as_bytes::<Utf8Type>();
            rewrite(strings, size(strings), write)
        }
        DataType::LargeUtf8 => {
            let strings = array.as_bytes::<LargeUtf8Type>();
            rewrite(strings, size(strings), write)
        }
        DataType::Utf8View => rewrite_views(array.as_byte_view::<StringViewType>(), write),
        other => Err(unfit(mask, other)),
    }
}

/// Appends the replacement of each character.
fn redact(value: &[u8], masked: &mut Vec<u8>) {
    if value.is_ascii() {
        masked.extend(value.iter().map(|byte| replacement(*byte)));
    } else {
        masked.extend(value.iter().filter(|byte| starts_character(**byte)).map(|byte| replacement(*byte)));
    }
}

/// Returns the replacement of the character that starts with this byte.
fn replacement(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'n',
        b'(' | b')' | b',' | b'.' | b'-' | b'@' => byte,
        _ => b'x',
    }
}

/// True if a byte of UTF-8 is the first one of a character.
fn starts_character(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}

/// Returns the position of the fifth character, or the length of a string without one.
fn start_of_fifth(value: &[u8]) -> usize {
    let mut starts = value.iter().enumerate().filter(|(_, byte)| starts_character(**byte));
    starts.nth(SHOWN).map_or(value.len(), |(at, _)| at)
}

/// Returns the position of the fourth character from the end, or 0 if a string has fewer characters.
fn start_of_last_four(value: &[u8]) -> usize {
    let mut starts = value.iter().enumerate().rev().filter(|(_, byte)| starts_character(**byte));
    starts.nth(SHOWN - 1).map_or(0, |(at, _)| at)
}
