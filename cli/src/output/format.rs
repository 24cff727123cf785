//! The formats of results, and the endings of file names that stand for them.

use std::path::Path;

use clap::ValueEnum;
use portolan_catalog::printable;
use portolan_node::{Error, Result};

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for readers
    Table,
    /// Comma-separated values, with a header line
    Csv,
    /// One JSON object per line
    Json,
    /// An Arrow IPC stream, or an Arrow IPC file if the name ends in `.arrow`
    Arrow,
    /// Parquet
    Parquet,
}

/// The endings that stand for a format.
const ENDINGS: [(&str, Format); 8] = [
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("jsonl", Format::Json),
    ("ndjson", Format::Json),
    ("arrow", Format::Arrow),
    ("arrows", Format::Arrow),
    ("parquet", Format::Parquet),
    ("txt", Format::Table),
];

/// The endings of text whose content only the statement determines, such as the plan of `EXPLAIN (FORMAT SVG)`.
const DOCUMENTS: [&str; 5] = ["dot", "gv", "log", "out", "svg"];

impl Format {
    /// Returns the format of a file: `chosen`, or else the format that the ending of the name stands for. If the ending
    /// leaves the format open, returns `default`.
    ///
    /// # Errors
    /// A chosen format that is not the one of the ending, or an ending that stands for no format.
    pub fn of(path: &Path, chosen: Option<Self>, default: Self) -> Result<Self> {
        let Some(ending) = ending(path) else { return Ok(chosen.unwrap_or(default)) };
        let shown = printable(&ending);
        match (Self::of_ending(&ending), chosen) {
            (Some(format), None) => Ok(format),
            (Some(format), Some(chosen)) if format.holds(chosen) => Ok(chosen),
            (Some(format), Some(chosen)) => Err(Error::config(format!(
                "the format is {} and the file ends in `.{shown}`, which stands for {}: change one of the two",
                chosen.name(),
                format.name()
            ))),
            (None, Some(chosen)) => Ok(chosen),
            (None, None) if DOCUMENTS.contains(&ending.as_str()) => Ok(default),
            (None, None) => Err(Error::config(format!(
                "the ending `.{shown}` stands for no format: expected {}, or a format from `--format`",
                ENDINGS.map(|(ending, _)| format!(".{ending}")).join(", ")
            ))),
        }
    }

    /// Returns the format that an ending stands for, in any case of letters.
    pub fn of_ending(ending: &str) -> Option<Self> {
        ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending)).map(|(_, format)| *format)
    }

    /// True if the format is text, which a terminal can show.
    pub fn is_text(self) -> bool {
        !matches!(self, Self::Arrow | Self::Parquet)
    }

    /// True if a file whose ending stands for this format may have the format `other`.
    fn holds(self, other: Self) -> bool {
        self == other || (self == Self::Table && other.is_text())
    }

    /// True if readers of the format find columns by name, so that they lose one of two columns of one name.
    pub(super) fn needs_names(self) -> bool {
        matches!(self, Self::Json | Self::Parquet)
    }

    /// Returns the name, as in `--format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }
}

/// True if an Arrow file of this name is an IPC file, and not a stream.
pub(super) fn is_arrow_file(path: &Path) -> bool {
    ending(path).is_some_and(|ending| ending == "arrow")
}

/// Returns the ending of a name in lower case, without the point.
fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(name: &str, chosen: Option<Format>) -> Result<Format> {
        Format::of(Path::new(name), chosen, Format::Table)
    }

    #[test]
    fn the_ending_chooses_the_format() {
        for (name, format) in [
            ("a.csv", Format::Csv),
            ("a.b/c.JSON", Format::Json),
            ("a.jsonl", Format::Json),
            ("a.ndjson", Format::Json),
            ("a.arrow", Format::Arrow),
            ("a.parquet", Format::Parquet),
            ("a.txt", Format::Table),
            ("a", Format::Table),
            ("plan.svg", Format::Table),
        ] {
            assert_eq!(of(name, None).unwrap(), format, "{name}");
        }
        assert_eq!(Format::of(Path::new("a"), None, Format::Csv).unwrap(), Format::Csv);
    }

    #[test]
    fn a_format_that_contradicts_the_ending_is_refused() {
        for (name, chosen) in [("a.parquet", Format::Csv), ("a.csv", Format::Table), ("a.txt", Format::Arrow)] {
            let error = of(name, Some(chosen)).unwrap_err().to_string();
            assert!(error.contains("change one of the two") && error.contains(chosen.name()), "{error}");
        }
        for (name, chosen) in [("a.txt", Format::Csv), ("a.dat", Format::Parquet), ("a", Format::Json)] {
            assert_eq!(of(name, Some(chosen)).unwrap(), chosen, "{name}");
        }
    }

    #[test]
    fn an_ending_of_no_format_is_refused_with_the_known_ones() {
        for name in ["a.xlsx", "a.csv.gz", "a.tsv"] {
            let error = of(name, None).unwrap_err().to_string();
            assert!(error.contains(".csv, .json") && error.contains("--format"), "{error}");
        }
    }
}
