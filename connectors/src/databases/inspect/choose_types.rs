//! Chooses the types of columns that a database does not determine: numbers without a precision, and the columns of
//! SQLite, which stores any value in any column. The values decide, as far as they are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use portolan_catalog::{DatabaseKind, DatabaseRelation};

use super::InspectedColumn;
use crate::databases::{Database, DescribedColumn, RunContext};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{POSTGRES, SqlQuery, quoted_name};

/// The largest number of rows of a table that are read to choose a type.
const ROWS: usize = 10_000;
/// The time for reading them. The first row of a view may take long.
const TIME: Duration = Duration::from_secs(10);
/// The digits of a number without a precision.
const PRECISION: u8 = 38;
/// The digits after the point among which a contract chooses.
const SCALES: [i8; 3] = [10, 20, 30];

/// Chooses the types of the columns of one table.
pub(super) struct TypeChooser<'a> {
    pub(super) database: &'a dyn Database,
    pub(super) kind: DatabaseKind,
    pub(super) relation: &'a DatabaseRelation,
    pub(super) until: Instant,
}

/// A column, and the types that a contract can determine for it, the best one first. `None` is the type that the database
/// gives the column.
struct Candidates {
    column: DescribedColumn,
    types: Vec<Option<DataType>>,
    /// The reason why the column cannot be read with the database's own type.
    own_fault: Option<String>,
    /// The reason why no type is left.
    fault: Option<String>,
}

impl TypeChooser<'_> {
    /// Returns the columns with their types.
    pub(super) async fn columns(&self, described: Vec<DescribedColumn>) -> Result<Vec<InspectedColumn>> {
        let mut columns = vec![];
        for column in described {
            let types = self.candidates(&column).await?;
            columns.push(Candidates { column, types, own_fault: None, fault: None });
        }
        while self.drop_types(&mut columns).await? {}
        Ok(columns.into_iter().map(|column| self.inspected(column)).collect())
    }

    async fn candidates(&self, column: &DescribedColumn) -> Result<Vec<Option<DataType>>> {
        let is_readable = column.data_type.is_ok();
        Ok(match self.kind {
            // An array of numbers has a precision, or no type.
            DatabaseKind::Postgres if !is_readable && !column.native_type.ends_with("[]") => {
                self.digits(column).await?.map(|digits| Some(number_type(digits))).into_iter().chain([None]).collect()
            }
            DatabaseKind::Sqlite if column.data_type != Ok(DataType::Utf8) => vec![None, Some(DataType::Utf8)],
            _ => vec![None],
        })
    }

    /// Drops the first type of each column that the database cannot return as this type. Returns true if another type has
    /// become the first one, which may fail as well.
    async fn drop_types(&self, columns: &mut [Candidates]) -> Result<bool> {
        let wanted = columns.iter().filter_map(|column| Some((column.column.name.clone(), column.wanted()?.clone())));
        let wanted: BTreeMap<String, DataType> = wanted.collect();
        if wanted.is_empty() && self.kind != DatabaseKind::Sqlite {
            return Ok(false);
        }
        let described = self.database.describe(self.relation, &wanted, self.until).await?.columns;
        let mut faults: BTreeMap<String, String> = BTreeMap::new();
        for column in &described {
            match (&column.data_type, wanted.get(&column.name)) {
                (Err(reason), _) => _ = faults.insert(column.name.clone(), reason.clone()),
                (Ok(found), Some(wanted)) if found != wanted => {
                    faults.insert(column.name.clone(), format!("it cannot be read as {wanted}"));
                }
                _ => {}
            }
        }
        if self.kind == DatabaseKind::Sqlite {
            let readable: Vec<_> = described.iter().filter(|column| !faults.contains_key(&column.name)).collect();
            let misfits = self.misfits(&readable).await?;
            faults.extend(misfits);
        }
        let mut has_others = false;
        for own in columns.iter_mut().filter(|own| own.fault.is_none()) {
            let Some(fault) = faults.remove(&own.column.name) else {
                if let Some(column) = described.iter().find(|column| column.name == own.column.name) {
                    own.column.clone_from(column);
                }
                continue;
            };
            if own.wanted().is_none() {
                own.own_fault = Some(fault.clone());
            }
            if own.types.len() > 1 {
                own.types.remove(0);
                has_others = true;
            } else {
                own.fault = own.own_fault.clone().or(Some(fault));
            }
        }
        Ok(has_others)
    }

    /// Returns the columns with values of other types in the first rows, and the errors.
    async fn misfits(&self, columns: &[&DescribedColumn]) -> Result<BTreeMap<String, String>> {
        let mut faults = BTreeMap::new();
        // Most tables have no such column, so that one query is enough.
        if columns.is_empty() || self.fault(columns).await?.is_none() {
            return Ok(faults);
        }
        for column in columns {
            if let Some(fault) = self.fault(&[column]).await? {
                faults.insert(column.name.clone(), fault);
            }
        }
        Ok(faults)
    }

    /// Returns the error of the first value in the first rows that is not of its column's type.
    async fn fault(&self, columns: &[&DescribedColumn]) -> Result<Option<String>> {
        let values = columns.iter().enumerate().map(|(i, column)| format!("{} AS c{i}", column.sql));
        let values: Vec<String> = values.collect();
        let from = self.database.clause_of(self.relation);
        let text = format!("SELECT {} FROM {from} AS t LIMIT {ROWS}", values.join(", "));
        let types = columns.iter().map(|column| column.data_type.clone().unwrap_or(DataType::Utf8));
        let fields = types.enumerate().map(|(i, data_type)| Field::new(format!("c{i}"), data_type, true));
        match self.read(text, fields.collect()).await {
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(Some(error.owner_chain())),
            Err(error) if is_no_answer(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        }
    }

    /// Returns the largest number of digits after the point that a number in the first rows has. `None` for a column that
    /// has no numbers.
    async fn digits(&self, column: &DescribedColumn) -> Result<Option<i32>> {
        let name = quoted_name(&column.name, &POSTGRES);
        let from = self.database.clause_of(self.relation);
        let rows = format!("SELECT t.{name} AS c FROM {from} AS t LIMIT {ROWS}");
        let text = format!("SELECT CAST(max(scale(q.c)) AS int4) AS c0 FROM ({rows}) AS q");
        match self.read(text, vec![Field::new("c0", DataType::Int32, true)]).await {
            Ok(batches) => {
                let values = batches.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<Int32Type>());
                Ok(Some(values.flat_map(|values| values.iter().flatten()).max().unwrap_or_default()))
            }
            Err(error) if has_no_numbers(&error) => Ok(None),
            Err(error) if is_no_answer(&error) => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, text: String, fields: Vec<Field>) -> Result<Vec<RecordBatch>> {
        let deadline = self.until.min(Instant::now() + TIME);
        let context = RunContext { query_id: None, deadline };
        let rows = self.database.query(SqlQuery::whole(text), Arc::new(Schema::new(fields)), context).await?;
        rows.try_collect().await
    }

    fn inspected(&self, candidates: Candidates) -> InspectedColumn {
        let chosen = candidates.wanted().cloned();
        let Candidates { column, fault, .. } = candidates;
        let note = match (&fault, self.kind) {
            (Some(_), _) => None,
            (None, kind) => note(kind, &column, chosen.as_ref()),
        };
        InspectedColumn {
            name: column.name,
            native_type: column.native_type,
            is_chosen: fault.is_none() && chosen.is_some(),
            data_type: fault.map_or(column.data_type, Err),
            note,
            nullable: column.nullable,
            unique: column.unique,
            comment: column.comment,
            enumeration: column.enumeration,
        }
    }
}

impl Candidates {
    fn wanted(&self) -> Option<&DataType> {
        self.types.first().and_then(Option::as_ref)
    }
}

/// Returns the type of numbers without a precision, of which some have so many digits after the point.
fn number_type(digits: i32) -> DataType {
    let scale = SCALES.into_iter().find(|scale| digits <= i32::from(*scale));
    DataType::Decimal128(PRECISION, scale.unwrap_or(SCALES[SCALES.len() - 1]))
}

/// True if a column has no numbers for the account: it is of another type, or the account may not read it.
fn has_no_numbers(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidQuery | ErrorKind::InvalidData | ErrorKind::PermissionDenied)
}

/// True if the database has not answered in time: the values then decide nothing.
fn is_no_answer(error: &Error) -> bool {
    error.kind() == ErrorKind::DeadlineExceeded
}

/// Returns a remark about the type that a contract determines for a column.
fn note(kind: DatabaseKind, column: &DescribedColumn, chosen: Option<&DataType>) -> Option<String> {
    match (kind, chosen) {
        (DatabaseKind::Postgres, Some(DataType::Decimal128(precision, scale))) => Some(format!(
            "the database limits no digits. A value with more than {scale} after the point, or more than {} before it, is \
             an error",
            i16::from(*precision) - i16::from(*scale)
        )),
        (DatabaseKind::Sqlite, Some(DataType::Utf8)) if !column.native_type.is_empty() => {
            Some(format!("some value is not of the type that `{}` stands for", column.native_type))
        }
        (DatabaseKind::Sqlite, None) if column.data_type.as_ref().is_ok_and(is_declared_only) => Some(format!(
            "SQLite does not check `{}`. The first {ROWS} rows have only such values, and another one is an error",
            column.native_type
        )),
        (DatabaseKind::MySql | DatabaseKind::MariaDb, None) if is_truth(&column.native_type) => {
            Some("with `logicalType: boolean`, 1 is true, 0 is false, and another value is an error".to_owned())
        }
        _ => None,
    }
}

/// True for a type that SQLite does not have itself.
fn is_declared_only(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(data_type, T::Boolean | T::Date32 | T::Timestamp(..) | T::Time64(_) | T::Decimal128(..))
}

/// True for the type that MariaDB and MySQL give to a column that was declared as `BOOLEAN`.
fn is_truth(native_type: &str) -> bool {
    native_type.eq_ignore_ascii_case("tinyint(1)")
}

#[cfg(test)]
mod tests;
