//! Diagnostics about a file that a person wrote: the place, the message, and the nearest valid name.

use std::fmt;
use std::path::PathBuf;

use crate::printable::printable;

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1. `None` if the whole file is meant.
    pub line: Option<usize>,
    /// The path of the field, such as `schema[0].properties[2].name`. Empty if the whole file is meant.
    pub field: String,
}

/// One error in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The place of the error.
    pub place: Place,
    /// The message: lower case, no final period.
    pub message: String,
    /// The nearest valid name, if there is one.
    pub suggestion: Option<String>,
}

/// All errors, in the order in which they were found. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, whatever the file contains.
        write!(f, "{}: {}", printable(&self.place.to_string()), printable(&self.message))?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{}`?", printable(suggestion))?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// Returns a single error without a suggestion.
    pub fn one(place: Place, message: impl Into<String>) -> Self {
        Self(vec![Diagnostic::new(place, message)])
    }

    /// Returns the errors for people who may not see where the owner's files are stored: with the name of a file and
    /// without its folder. A message that may name a location is left out.
    pub fn without_locations(&self) -> String {
        self.0.iter().map(Diagnostic::without_locations).collect::<Vec<_>>().join("\n")
    }
}

impl Diagnostic {
    /// Returns an error without a suggestion.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), suggestion: None }
    }

    fn without_locations(&self) -> String {
        let file = self.place.file.file_name().map(PathBuf::from).unwrap_or_default();
        let place = Place { file, ..self.place.clone() };
        let message = match names_location(&self.message) {
            true => "the log of the node has the message, which names a location".to_owned(),
            false => self.message.clone(),
        };
        Self { place, message, suggestion: self.suggestion.clone() }.to_string()
    }
}

/// True if a text may name a place of files: it has a separator of paths or URLs.
pub fn names_location(text: &str) -> bool {
    text.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(message: &str) -> Diagnostic {
        let place = Place { file: "/srv/products/orders.yaml".into(), line: Some(7), field: "servers[0]".to_owned() };
        Diagnostic::new(place, message)
    }

    #[test]
    fn a_diagnostic_is_one_line() {
        let text = diagnostic("unknown key `a\n/etc/passwd:1: \u{1b}[1m`").to_string();
        assert_eq!(text, r"/srv/products/orders.yaml:7: servers[0]: unknown key `a\n/etc/passwd:1: \u{1b}[1m`");
    }

    #[test]
    fn locations_are_left_out() {
        let both = Diagnostics(vec![diagnostic("there is nothing at /srv/data"), diagnostic("unknown key `a`")]);
        let text = both.without_locations();
        assert!(!text.contains("srv"), "{text}");
        assert!(text.ends_with("\norders.yaml:7: servers[0]: unknown key `a`"), "{text}");
    }
}
