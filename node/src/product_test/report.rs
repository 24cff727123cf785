//! The report about the data of products: what breaks their contracts, and what was not checked.

use std::fmt::Write;

use portolan_catalog::PortRef;
use portolan_catalog::rules::Rule;
use portolan_connectors::{DataFault, DataReport};
use serde::Serialize;

/// The report about the ports of a domain.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TestReport {
    /// The domain.
    pub domain: String,
    /// True if all data was read, and false for samples.
    pub full: bool,
    /// The ports that were tested, in the order of their names.
    pub ports: Vec<PortReport>,
}

/// The report about one port.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PortReport {
    /// The full name.
    pub port: String,
    /// The number of rows that were read.
    pub rows: u64,
    /// True if the port has no other rows.
    pub complete: bool,
    /// The reason why the port could not be tested.
    pub error: Option<String>,
    /// The first values and records that cannot be read as the contract declares them.
    pub faults: Vec<Fault>,
    /// True if there are more of them.
    pub more_faults: bool,
    /// The rules of the contract, in the order of its columns.
    pub rules: Vec<RuleReport>,
}

/// A value or a record that cannot be read as the contract declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The file. `None` if the fault is in no single file.
    pub file: Option<String>,
    /// The line in the file, from 1.
    pub line: Option<u64>,
    /// The column in SQL, in backquotes, and the name in the file if it differs.
    pub column: Option<String>,
    /// The value. `None` for a fault of a record, and for a value of a classified column.
    pub value: Option<String>,
    /// The fault with its place.
    pub message: String,
}

/// The report about one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleReport {
    /// The columns that the rule is about. Empty for a rule about the rows.
    pub columns: Vec<String>,
    /// The rule in short, such as `required`.
    pub rule: String,
    /// The name or the description of a `quality` rule.
    pub title: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
    /// What was found, or the reason why the rule was not checked. Empty for a rule that holds.
    pub message: String,
    /// Values that break the rule, without those of classified columns.
    pub examples: Vec<String>,
    /// The file of the contract.
    pub file: String,
    /// The line of the rule in this file.
    pub line: Option<usize>,
    /// The field of the rule in this file.
    pub field: String,
}

/// The outcome of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The rows that were read do not break the rule.
    Holds,
    /// The data breaks the rule.
    Broken,
    /// The data breaks the rule, and the contract says that this is no error.
    Warning,
    /// The rule was not checked.
    NotChecked,
}

impl TestReport {
    /// Returns the ports whose data breaks the contract, or could not be tested.
    pub fn broken(&self) -> impl Iterator<Item = &PortReport> {
        self.ports.iter().filter(|port| port.is_broken())
    }
}

impl PortReport {
    pub(super) fn new(port: &PortRef) -> Self {
        Self {
            port: port.to_string(),
            rows: 0,
            complete: false,
            error: None,
            faults: vec![],
            more_faults: false,
            rules: vec![],
        }
    }

    /// True if the data breaks the contract, or could not be tested.
    pub fn is_broken(&self) -> bool {
        self.error.is_some() || !self.faults.is_empty() || self.with(Outcome::Broken).next().is_some()
    }

    /// Returns the rules with this outcome.
    pub fn with(&self, outcome: Outcome) -> impl Iterator<Item = &RuleReport> {
        self.rules.iter().filter(move |rule| rule.outcome == outcome)
    }

    /// Adds what the source found.
    pub(super) fn add(&mut self, data: DataReport) {
        self.rows = data.rows;
        self.complete = data.is_complete;
        self.faults.extend(data.faults.into_iter().map(Fault::of));
        self.more_faults = data.has_more_faults;
    }
}

impl Fault {
    fn of(fault: DataFault) -> Self {
        let message = match fault.file.is_empty() {
            true => fault.to_string(),
            false => format!("{}: {fault}", fault.file),
        };
        let file = Some(fault.file).filter(|file| !file.is_empty());
        let value = fault.value.filter(|_| fault.shows_value);
        Self { file, line: fault.line, column: fault.column, value, message }
    }
}

impl RuleReport {
    pub(super) fn new(rule: &Rule, outcome: Outcome, message: String, examples: Vec<String>) -> Self {
        let outcome = if outcome == Outcome::Broken && rule.is_advisory { Outcome::Warning } else { outcome };
        Self {
            columns: rule.columns.clone(),
            rule: rule.kind.to_string(),
            title: rule.title.clone(),
            outcome,
            message,
            examples,
            file: rule.place.file.display().to_string(),
            line: rule.place.line,
            field: rule.place.field.clone(),
        }
    }

    /// Returns the columns, the rule and the message in one line, without the place.
    pub fn text(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|column| format!("`{column}`")).collect();
        let mut text = columns.join(", ");
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&self.rule);
        if let Some(title) = self.title.as_ref().and_then(|title| title.lines().next()) {
            // Writing to a string does not fail.
            let _ = write!(text, " ({title})");
        }
        if !self.message.is_empty() {
            let _ = write!(text, ": {}", self.message);
        }
        if !self.examples.is_empty() {
            let _ = write!(text, ", such as {}", self.examples.join(", "));
        }
        text
    }

    /// Returns the place of the rule in the contract.
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", self.file, self.field),
            None => format!("{}: {}", self.file, self.field),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_classified_column_is_in_no_report() {
        let mut fault = DataFault::default();
        (fault.file, fault.line, fault.column) = ("a.csv".to_owned(), Some(3), Some("`mail`".to_owned()));
        (fault.value, fault.expected) = (Some("ann@example.org".to_owned()), "a number".to_owned());
        let hidden = Fault::of(fault.clone());
        assert_eq!(hidden.value, None);
        assert!(hidden.message.starts_with("a.csv: line 3, column `mail`: "), "{}", hidden.message);
        assert!(!hidden.message.contains("ann@"), "{}", hidden.message);
        fault.shows_value = true;
        assert_eq!(Fault::of(fault).value.as_deref(), Some("ann@example.org"));
    }
}
