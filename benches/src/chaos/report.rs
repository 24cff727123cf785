//! The counts of a run, and the table of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::checks::Answer;
use super::faults::FaultKind;
use crate::planning::millis;
use crate::table::Table;

/// The counts of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The answers, errors included.
    pub answers: u64,
    /// The answers with the known rows.
    pub right: u64,
    /// The errors by kind.
    errors: BTreeMap<&'static str, u64>,
    /// The number of faults and the slowest recovery, by kind.
    faults: BTreeMap<FaultKind, (u64, Duration)>,
}

impl Tally {
    /// Counts an answer.
    pub fn answered(&mut self, answer: &Answer) {
        self.answers += 1;
        match answer {
            Answer::Right => self.right += 1,
            Answer::Error(error) => *self.errors.entry(error.kind().name()).or_default() += 1,
            Answer::Wrong(_) | Answer::Unchecked | Answer::Nothing => {}
        }
    }

    /// Counts a fault, after which every domain was served in this time.
    pub fn recovered(&mut self, kind: FaultKind, after: Duration) {
        let (number, slowest) = self.faults.entry(kind).or_default();
        *number += 1;
        *slowest = (*slowest).max(after);
    }

    /// Returns a table with a row for each kind of fault, and the other counts below it.
    pub fn table(&self, title: String) -> Table {
        let row = |(kind, (number, slowest)): (&FaultKind, &(u64, Duration))| {
            vec![json!(kind.to_string()), json!(number), json!(millis(*slowest))]
        };
        let errors: Vec<_> = self.errors.iter().map(|(kind, number)| format!("{kind} {number}")).collect();
        let or_none = |text: String| if text.is_empty() { Value::Null } else { json!(text) };
        Table {
            title,
            columns: vec!["fault", "times", "slowest recovery ms"],
            rows: self.faults.iter().map(row).collect(),
            summary: vec![
                ("statements", json!(self.answers)),
                ("correct results of queries with known results", json!(self.right)),
                ("errors by kind", or_none(errors.join(", "))),
            ],
            faults: vec![],
        }
    }
}
