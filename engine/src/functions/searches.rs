//! Searches for all matches of a regular expression that check the deadline. The searches of DataFusion 55.2 do not. In
//! a text of a megabyte they may take minutes, because each search for the next match may go over the rest of the text.
//! One search goes over the text a bounded number of times.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::functions::regex::compile_regex;
use regex::{Match, Regex};

use super::cost::Arguments;
use super::estimates::patterns::with_flags_to_replace;
use super::meter::WorkMeter;

/// Runs the calls of a function for some rows, and returns values of a type.
pub(super) type Search = fn(&Arguments, usize, &DataType, &WorkMeter) -> Result<ArrayRef>;

/// The bytes of text that searches go over before they check the deadline. A search follows hundreds of positions of a
/// large pattern for each byte, so the number is small.
const BYTES_UNCHECKED: usize = 1 << 16;

/// `regexp_count(text, pattern, start, flags)`
pub(super) fn count(arguments: &Arguments, rows: usize, _: &DataType, meter: &WorkMeter) -> Result<ArrayRef> {
    let (mut clock, mut compiled) = (Clock { meter, unchecked: 0 }, LastPattern::new(to_search));
    let counts = (0..rows).map(|row| -> Result<Option<i64>> {
        let (Some(text), Some(pattern), Some(start), Some(flags)) = (
            arguments.text(0, row),
            arguments.text(1, row),
            number(arguments, 2, row, 1),
            optional_text(arguments, 3, row),
        ) else {
            return Ok(None);
        };
        let pattern = compiled.get(pattern, flags)?;
        if start < 1 {
            return Err(failed("regexp_count() requires start to be 1 based"));
        }
        let Some(from) = byte_of(text, start) else { return Ok(Some(0)) };
        let text = &text[from..];
        clock.searches(text.len())?;
        let mut matches = 0;
        for found in pattern.find_iter(text) {
            matches += 1;
            clock.searches(text.len() - found.start())?;
        }
        Ok(Some(matches))
    });
    Ok(Arc::new(counts.collect::<Result<Int64Array>>()?))
}

/// `regexp_instr(text, pattern, start, n, flags, group)`
pub(super) fn position(arguments: &Arguments, rows: usize, _: &DataType, meter: &WorkMeter) -> Result<ArrayRef> {
    let (mut clock, mut compiled) = (Clock { meter, unchecked: 0 }, LastPattern::new(to_search));
    let positions = (0..rows).map(|row| -> Result<Option<i64>> {
        let (Some(text), Some(pattern), Some(start), Some(nth), Some(flags), Some(group)) = (
            arguments.text(0, row),
            arguments.text(1, row),
            number(arguments, 2, row, 1),
            number(arguments, 3, row, 1),
            optional_text(arguments, 4, row),
            number(arguments, 5, row, 0),
        ) else {
            return Ok(None);
        };
        let pattern = compiled.get(pattern, flags)?;
        if start < 1 {
            return Err(failed("regexp_instr() requires start to be 1-based"));
        }
        if nth < 1 {
            return Err(failed("N must be 1 or greater"));
        }
        let Some(from) = byte_of(text, start) else { return Ok(Some(0)) };
        clock.searches(text.len() - from)?;
        let found = match usize::try_from(group) {
            Ok(group) if group > 0 => pattern.captures(&text[from..]).and_then(|parts| parts.get(group)),
            _ => nth_match(pattern, &text[from..], nth, &mut clock)?,
        };
        // The position counts characters, and the first one is 1.
        Ok(Some(found.map_or(0, |found| text[..from + found.start()].chars().count() as i64 + 1)))
    });
    Ok(Arc::new(positions.collect::<Result<Int64Array>>()?))
}

/// `regexp_replace(text, pattern, replacement, flags)`
pub(super) fn replace(arguments: &Arguments, rows: usize, to: &DataType, meter: &WorkMeter) -> Result<ArrayRef> {
    let (mut clock, mut compiled) = (Clock { meter, unchecked: 0 }, LastPattern::new(to_replace));
    // `\1` means `${1}`.
    let groups = Regex::new(r"\\{1,2}(\d+)").map_err(external)?;
    let replaced = (0..rows).map(|row| -> Result<Option<Cow<'_, str>>> {
        let (Some(text), Some(pattern), Some(replacement), Some(flags)) =
            (arguments.text(0, row), arguments.text(1, row), arguments.text(2, row), optional_text(arguments, 3, row))
        else {
            return Ok(None);
        };
        let pattern = compiled.get(pattern, flags)?;
        let replacement = groups.replace_all(replacement, "$${$1}");
        clock.searches(text.len())?;
        match flags.is_some_and(|flags| flags.contains('g')) {
            true => replace_all(pattern, text, &replacement, &mut clock).map(Some),
            false => Ok(Some(pattern.replace(text, &*replacement))),
        }
    });
    let replaced = replaced.collect::<Result<LargeStringArray>>()?;
    Ok(cast(&replaced, to)?)
}

/// Returns the n-th match.
fn nth_match<'t>(pattern: &Regex, text: &'t str, nth: i64, clock: &mut Clock<'_>) -> Result<Option<Match<'t>>> {
    let mut left = nth;
    for found in pattern.find_iter(text) {
        left -= 1;
        if left == 0 {
            return Ok(Some(found));
        }
        clock.searches(text.len() - found.start())?;
    }
    Ok(None)
}

/// Replaces all matches, as [`Regex::replace_all`] does. Only a replacement with a `$` needs the groups of a match.
fn replace_all<'t>(pattern: &Regex, text: &'t str, replacement: &str, clock: &mut Clock<'_>) -> Result<Cow<'t, str>> {
    let mut made = Replaced { text, made: String::new(), copied: 0, matches: 0 };
    if replacement.contains('$') {
        for parts in pattern.captures_iter(text) {
            made.replace(parts.get_match(), |made| parts.expand(replacement, made));
            clock.searches(text.len() - parts.get_match().start())?;
        }
    } else {
        for found in pattern.find_iter(text) {
            made.replace(found, |made| made.push_str(replacement));
            clock.searches(text.len() - found.start())?;
        }
    }
    Ok(made.finish())
}

/// A text whose matches are being replaced.
struct Replaced<'t> {
    text: &'t str,
    made: String,
    /// The bytes of the text that are in `made`, or replaced in it.
    copied: usize,
    matches: usize,
}

impl<'t> Replaced<'t> {
    /// Copies the text up to a match, and writes the match's replacement.
    fn replace(&mut self, found: Match<'t>, write: impl FnOnce(&mut String)) {
        self.made.push_str(&self.text[self.copied..found.start()]);
        write(&mut self.made);
        self.copied = found.end();
        self.matches += 1;
    }

    fn finish(mut self) -> Cow<'t, str> {
        if self.matches == 0 {
            return Cow::Borrowed(self.text);
        }
        self.made.push_str(&self.text[self.copied..]);
        Cow::Owned(self.made)
    }
}

/// Checks the deadline now and then.
struct Clock<'a> {
    meter: &'a WorkMeter,
    /// The bytes of text that searches went over since the last check, at most.
    unchecked: usize,
}

impl Clock<'_> {
    /// Fails if the query has been cancelled, or is past its deadline. The next search goes over these bytes at most.
    fn searches(&mut self, bytes: usize) -> Result<()> {
        self.unchecked = self.unchecked.saturating_add(bytes);
        if self.unchecked < BYTES_UNCHECKED {
            return Ok(());
        }
        self.unchecked = 0;
        self.meter.check()
    }
}

/// Compiles a pattern with its flags.
type Compile = fn(&str, Option<&str>) -> Result<Regex>;

/// The pattern of the last row, compiled.
struct LastPattern {
    compile: Compile,
    last: Option<(String, Option<String>, Regex)>,
}

impl LastPattern {
    fn new(compile: Compile) -> Self {
        Self { compile, last: None }
    }

    /// Returns the pattern of a row.
    fn get(&mut self, pattern: &str, flags: Option<&str>) -> Result<&Regex> {
        let known = match self.last.take() {
            Some(last) if last.0 == pattern && last.1.as_deref() == flags => last,
            _ => (pattern.to_owned(), flags.map(str::to_owned), (self.compile)(pattern, flags)?),
        };
        Ok(&self.last.insert(known).2)
    }
}

fn to_search(pattern: &str, flags: Option<&str>) -> Result<Regex> {
    Ok(compile_regex(pattern, flags)?)
}

fn to_replace(pattern: &str, flags: Option<&str>) -> Result<Regex> {
    Regex::new(&with_flags_to_replace(pattern, flags)).map_err(external)
}

/// Returns an argument that may be left out: `None` if it is NULL.
fn optional_text(arguments: &Arguments, place: usize, row: usize) -> Option<Option<&str>> {
    if place < arguments.len() { arguments.text(place, row).map(Some) } else { Some(None) }
}

/// Returns an argument that may be left out: `None` if it is NULL.
fn number(arguments: &Arguments, place: usize, row: usize, default: i64) -> Option<i64> {
    if place < arguments.len() { arguments.integer(place, row) } else { Some(default) }
}

/// Returns the first byte of a character, the first of which is 1. The end of the text is a character, too.
fn byte_of(text: &str, character: i64) -> Option<usize> {
    let before = usize::try_from(character - 1).ok()?;
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(before)
}

/// Returns an error of the kind that DataFusion's searches return.
fn failed(message: &str) -> DataFusionError {
    ArrowError::ComputeError(message.to_owned()).into()
}

fn external(error: regex::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests;
