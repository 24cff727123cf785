//! What an engine adds to resolved policies: the errors that only a SQL parser finds, and the ports that they close.

use portolan_catalog::{Diagnostic, PortRef};

use crate::policies::Policies;
use crate::resolve::{Report, closed_message};

impl Policies {
    /// Closes a port to everybody, because an engine refuses one of its SQL conditions.
    pub fn close(&mut self, port: &PortRef) {
        if let Some(entry) = self.ports.get_mut(port) {
            let message = closed_message(port, entry.owner.as_deref());
            entry.closed.get_or_insert(message);
        }
    }

    /// Returns the number of rules, without agreements.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Returns the number of agreements. Agreements of the mesh about ports of other domains do not count.
    pub fn agreement_count(&self) -> usize {
        self.agreements.len()
    }
}

impl Report {
    /// Adds an error, in the order of the places.
    pub fn add(&mut self, error: Diagnostic) {
        if self.errors.contains(&error) {
            return;
        }
        let is_before =
            |other: &Diagnostic| (&other.place.file, other.place.line) <= (&error.place.file, error.place.line);
        let at = self.errors.partition_point(is_before);
        self.errors.insert(at, error);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use portolan_catalog::Place;

    use super::*;

    #[test]
    fn errors_are_added_in_the_order_of_their_places() {
        let error = |file: &str, line: usize| {
            Diagnostic::new(Place { file: file.into(), line: Some(line), field: String::new() }, "wrong")
        };
        let mut report = Report::default();
        for (file, line) in [("b", 2), ("a", 9), ("b", 1), ("a", 9)] {
            report.add(error(file, line));
        }
        let places: Vec<_> = report.errors.iter().map(|e| (e.place.file.as_path(), e.place.line)).collect();
        assert_eq!(places, [(Path::new("a"), Some(9)), (Path::new("b"), Some(1)), (Path::new("b"), Some(2))]);
    }
}
