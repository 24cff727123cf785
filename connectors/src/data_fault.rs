//! Faults of a port's data: values and records of files that do not fit the contract, each with its place.

use std::fmt;

/// A fault of the data in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataFault {
    /// The file, as only the owner of the data may see it. Empty if the fault is in no single file.
    pub file: String,
    /// The line in the file, from 1. The header and empty lines count, too.
    pub line: Option<u64>,
    /// The name of the column in SQL, and its name in the file if it differs. `None` for a fault of a whole record.
    pub column: Option<String>,
    /// The value, as it is in the file, or the beginning of a long one. `None` for a fault of a whole record.
    pub value: Option<String>,
    /// True if a message may repeat the value: its column is not classified.
    pub shows_value: bool,
    /// The expected value or record.
    pub expected: String,
    /// What is there instead, for a fault of a whole record.
    pub found: String,
    /// What the owner can do about it.
    pub hint: Option<String>,
}

/// How much of a port's data [`crate::SourceOpener::check_data`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckLimits {
    /// The largest number of rows. `None` reads all data.
    pub rows: Option<u64>,
    /// The largest number of faults that the report has.
    pub faults: usize,
}

/// The result of reading a port's data to find its faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataReport {
    /// The number of rows that were read, without the records that are faulty as a whole.
    pub rows: u64,
    /// The number of files that were read.
    pub files: usize,
    /// The first faults, in the order of the files and lines.
    pub faults: Vec<DataFault>,
    /// True if there are more faults than the limit.
    pub has_more_faults: bool,
    /// True if all data was read.
    pub is_complete: bool,
}

/// The number of characters of a value that a message repeats.
const SHOWN: usize = 40;

/// Returns the beginning of a value, for a message.
pub(crate) fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// The number of characters of a value that a fault keeps.
const KEPT: usize = 1000;

/// Returns the beginning of a value, for a fault: a value can be as long as its file.
pub(crate) fn kept(value: &str) -> String {
    value.chars().take(KEPT).collect()
}

/// The place and the fault, without the file.
impl fmt::Display for DataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (&self.line, &self.column) {
            (Some(line), Some(column)) => format!("line {line}, column {column}: "),
            (Some(line), None) => format!("line {line}: "),
            (None, Some(column)) => format!("column {column}: "),
            (None, None) => String::new(),
        };
        write!(f, "{place}expected {}", self.expected)?;
        match &self.value {
            Some(value) if self.shows_value => write!(f, ", got `{}`", shown(value))?,
            Some(_) => f.write_str(", got a value that is not shown, as the column is classified")?,
            None if self.found.is_empty() => {}
            None => write!(f, ", got {}", self.found)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DataFault {}

impl DataFault {
    /// Returns the fault of a record: what was expected, and what was found.
    pub(crate) fn of_record(line: Option<u64>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { line, expected: expected.into(), found: found.into(), ..Self::default() }
    }

    /// Returns the same fault, with what the owner can do.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_its_place_and_what_to_do() {
        let fault = DataFault {
            line: Some(3),
            column: Some("`day`".to_owned()),
            value: Some("24.08.2017".to_owned()),
            shows_value: true,
            expected: "a date".to_owned(),
            ..DataFault::default()
        };
        assert_eq!(fault.to_string(), "line 3, column `day`: expected a date, got `24.08.2017`");
        let hidden = DataFault { shows_value: false, ..fault.clone() }.with_hint("ask");
        assert!(!hidden.to_string().contains("2017") && hidden.to_string().ends_with("; ask"), "{hidden}");
        let long = DataFault { value: Some("ä".repeat(100)), ..fault };
        assert!(long.to_string().ends_with(&format!("`{}…`", "ä".repeat(40))), "{long}");
        let record = DataFault::of_record(Some(7), "2 values", "3 values");
        assert_eq!(record.to_string(), "line 7: expected 2 values, got 3 values");
    }
}
