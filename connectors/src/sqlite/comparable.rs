//! The columns whose values the database may compare: all values of a column are read once and checked.

use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use rusqlite::ErrorCode;

use super::checks::{Check, Definition, or_null};
use super::describe::{CHECK_TIME, Described, Describing, Relation, is_rowid};
use super::forms::{ColumnTraits, Form, Forms, forms};
use super::schema::RawColumn;
use crate::sql::ColumnUsage;

/// The largest number of conditions in one check of a relation.
const MAX_CONDITIONS: usize = 1000;

/// A form that the values of a column may have.
struct Candidate<'a> {
    column: usize,
    form: &'a Form,
    /// The condition on each row; `None` if the definition of the table decides.
    condition: Option<String>,
}

impl Describing<'_> {
    /// Returns the expression of each column, and what the database may do with it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn compared(
        &mut self,
        relation: &Relation,
        columns: &[Described<'_>],
        definition: &Definition,
    ) -> rusqlite::Result<Vec<(String, ColumnUsage)>> {
        let forms: Vec<Option<Forms>> = columns.iter().map(forms_of).collect();
        let mut read: Vec<(String, ColumnUsage)> = forms
            .iter()
            .zip(columns)
            .map(|(forms, column)| {
                let returned = forms.as_ref().map_or(&column.reference, |forms| &forms.returned);
                (returned.clone(), ColumnUsage::Returned)
            })
            .collect();
        if !relation.comparable {
            return Ok(read);
        }
        let time = CHECK_TIME.min(self.stop.deadline().saturating_duration_since(Instant::now()) / 2);
        let until = Instant::now() + time;
        let most = forms.iter().flatten().map(|forms| forms.compared.len()).max().unwrap_or(0);
        // One pass over the rows for the first form of every column, and one for the second form of the rest.
        for pass in 0..most {
            let open = (0..columns.len()).filter(|i| read[*i].1 == ColumnUsage::Returned);
            let candidates = open.filter_map(|column| {
                let form = forms[column].as_ref()?.compared.get(pass)?;
                let Described { column: raw, reference, data_type } = &columns[column];
                let certain = data_type.as_ref().is_ok_and(|data_type| is_certain(raw, relation, data_type));
                Some(Candidate { column, form, condition: (!certain).then(|| or_null(reference, &form.condition)) })
            });
            let candidates: Vec<Candidate<'_>> = candidates.take(MAX_CONDITIONS).collect();
            let holds = self.hold(&candidates, until)?;
            for (candidate, _) in candidates.iter().zip(holds).filter(|(_, holds)| *holds) {
                let check = Check {
                    from: self.from.clone(),
                    column: columns[candidate.column].column.name.clone(),
                    sql: candidate.form.sql.clone(),
                    definition: definition.clone(),
                    condition: candidate.condition.clone(),
                };
                if let Some((number, marked)) = self.checks.mark(check) {
                    self.link.checked.insert(number);
                    read[candidate.column] = (marked, ColumnUsage::All);
                }
            }
        }
        Ok(read)
    }

    /// Returns for each candidate whether all rows fulfil its condition. None is fulfilled if the check takes too long, or
    /// if SQLite cannot compute a value of a view.
    fn hold(&self, candidates: &[Candidate<'_>], until: Instant) -> rusqlite::Result<Vec<bool>> {
        let tested: Vec<&str> = candidates.iter().filter_map(|candidate| candidate.condition.as_deref()).collect();
        let mut results = if tested.is_empty() { vec![] } else { self.test(&tested, until)? }.into_iter();
        let holds = |candidate: &Candidate<'_>| candidate.condition.is_none() || results.next().unwrap_or(false);
        Ok(candidates.iter().map(holds).collect())
    }

    fn test(&self, conditions: &[&str], until: Instant) -> rusqlite::Result<Vec<bool>> {
        let time = until.saturating_duration_since(Instant::now());
        if time == Duration::ZERO {
            return Ok(vec![]);
        }
        let tests: Vec<String> = conditions.iter().map(|condition| format!("max(({condition}) IS NOT TRUE)")).collect();
        let sql = format!("SELECT {} FROM {} AS t", tests.join(", "), self.from);
        let read = || {
            self.link.connection.query_row(&sql, [], |row| {
                // Without rows, the greatest value is NULL.
                (0..tests.len()).map(|i| Ok(row.get::<_, Option<i64>>(i)?.unwrap_or(0) == 0)).collect()
            })
        };
        match self.stop.within(time, read) {
            Ok(results) => Ok(results.unwrap_or_default()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }
}

fn forms_of(described: &Described<'_>) -> Option<Forms> {
    let Described { column, reference, data_type } = described;
    let traits = ColumnTraits { reference, affinity: column.affinity, is_plain: column.is_plain };
    data_type.as_ref().ok().map(|data_type| forms(traits, data_type))
}

/// True if the definition of the table permits no other values.
fn is_certain(column: &RawColumn, relation: &Relation, data_type: &DataType) -> bool {
    let Some(entry) = &relation.entry else { return false };
    let declared = column.declared.to_ascii_uppercase();
    let strict = match data_type {
        DataType::Int64 => matches!(declared.as_str(), "INT" | "INTEGER"),
        DataType::Float64 => declared == "REAL",
        DataType::Binary => declared == "BLOB",
        _ => false,
    };
    entry.strict && strict || *data_type == DataType::Int64 && is_rowid(column, relation)
}
