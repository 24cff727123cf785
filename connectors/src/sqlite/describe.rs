//! Tables, views and queries as the database describes them, with the type of each column and what the database may do
//! with its values.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::{DataType, TimeUnit};
use portolan_catalog::DatabaseRelation;
use portolan_catalog::nearest::nearest;

use super::checks::{Checks, Definition, definition};
use super::declared::{Affinity, can_hold, named_type};
use super::link::Link;
use super::permitted::permitted_values;
use super::place::Place;
use super::schema::{self, Entry, EntryKind, Index, RawColumn, collect};
use super::stop::Stop;
use super::values::is_supported;
use crate::databases::{DescribedColumn, DescribedTable};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{ColumnUsage, SQLITE, quoted_name};

/// The only schema of a file.
pub(super) const SCHEMA: &str = "main";
/// The longest time for the check of a relation's values. Columns of a larger relation are only returned.
pub(super) const CHECK_TIME: Duration = Duration::from_secs(5);
/// The rows whose values show the type of a column that has no declared one.
const SAMPLED_ROWS: usize = 1000;

/// A relation that is described in one snapshot.
pub(super) struct Describing<'a> {
    pub(super) link: &'a mut Link,
    pub(super) place: &'a Place,
    pub(super) stop: &'a Stop,
    pub(super) checks: &'a Checks,
    /// The relation in a `FROM` clause.
    pub(super) from: String,
}

/// The facts about a relation before its values are read.
pub(super) struct Relation {
    pub(super) columns: Vec<RawColumn>,
    /// The table; `None` for a view or a query.
    pub(super) entry: Option<Entry>,
    indexes: Vec<Index>,
    /// True if comparisons in the database can mean the same as at a node.
    pub(super) comparable: bool,
}

/// A column and its type, before its values are checked.
pub(super) struct Described<'a> {
    pub(super) column: &'a RawColumn,
    /// The column as an expression.
    pub(super) reference: String,
    pub(super) data_type: std::result::Result<DataType, String>,
}

impl Describing<'_> {
    /// Describes the relation.
    ///
    /// # Errors
    /// As [`crate::databases::Database::describe`].
    pub(super) fn run(
        mut self,
        relation: &DatabaseRelation,
        wanted: &BTreeMap<String, DataType>,
    ) -> Result<DescribedTable> {
        self.link.begin().map_err(|error| self.failed(&error))?;
        let found = match relation {
            DatabaseRelation::Table { schema, name } => self.table(schema.as_deref(), name)?,
            DatabaseRelation::Query(text) => self.query(text)?,
        };
        self.described(found, wanted).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> Error {
        self.place.failed(error, self.stop)
    }

    fn table(&mut self, schema: Option<&str>, name: &str) -> Result<Relation> {
        if let Some(schema) = schema.filter(|schema| !schema.eq_ignore_ascii_case(SCHEMA)) {
            let text = format!("there is no schema `{schema}`: a SQLite file has only the schema `{SCHEMA}`");
            return Err(self.place.error(ErrorKind::NotFound, text));
        }
        let entries = schema::entries(&self.link.connection).map_err(|error| self.failed(&error))?;
        let Some(entry) = entries.iter().find(|entry| entry.name.eq_ignore_ascii_case(name)).cloned() else {
            let names = entries.iter().map(|entry| entry.name.as_str());
            let text = format!("there is no table or view `{name}`");
            return Err(self.place.error(ErrorKind::NotFound, text).suggesting(nearest(name, names)));
        };
        self.entry(entry).map_err(|error| self.failed(&error))
    }

    fn entry(&self, entry: Entry) -> rusqlite::Result<Relation> {
        let columns = schema::columns(&self.link.connection, &entry)?;
        Ok(match entry.kind {
            EntryKind::Table => {
                let indexes = schema::indexes(&self.link.connection, &entry.name)?;
                Relation { columns, entry: Some(entry), indexes, comparable: self.is_utf8()? }
            }
            EntryKind::View => {
                let comparable = self.is_stable()? && self.is_utf8()?;
                Relation { columns, entry: None, indexes: vec![], comparable }
            }
            EntryKind::Virtual => Relation { columns, entry: None, indexes: vec![], comparable: false },
        })
    }

    fn query(&mut self, text: &str) -> Result<Relation> {
        let refused = |error: &rusqlite::Error| match error {
            rusqlite::Error::MultipleStatement | rusqlite::Error::Empty => {
                self.place.error(ErrorKind::InvalidQuery, "expected one SELECT statement")
            }
            rusqlite::Error::SqlInputError { msg, .. } => {
                self.place.error(ErrorKind::InvalidQuery, format!("expected a SELECT without `;` at its end: {msg}"))
            }
            error => self.failed(error),
        };
        let connection = &self.link.connection;
        let statement = connection.prepare(text).map_err(|error| refused(&error))?;
        let is_query = statement.readonly() && statement.is_explain() == 0 && statement.parameter_count() == 0;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        drop(statement);
        let twice = names.iter().enumerate().find(|(i, name)| names[..*i].iter().any(|n| n.eq_ignore_ascii_case(name)));
        if let Some((_, name)) = twice {
            let text = format!("two columns of the query are called `{name}`; give each a name with AS");
            return Err(self.place.error(ErrorKind::InvalidQuery, text));
        }
        let all = format!("SELECT * FROM {} AS t", self.from);
        let prepared = connection.prepare(&all).map_err(|error| refused(&error))?;
        if !is_query || prepared.parameter_count() > 0 {
            return Err(self.place.error(ErrorKind::InvalidQuery, "expected one SELECT statement without parameters"));
        }
        let columns: Vec<RawColumn> = prepared.columns().map(|column| raw(column.name(), column.decl_type())).collect();
        drop(prepared);
        let comparable = self.is_stable().and_then(|stable| Ok(stable && self.is_utf8()?));
        let comparable = comparable.map_err(|error| self.failed(&error))?;
        Ok(Relation { columns, entry: None, indexes: vec![], comparable })
    }

    /// True if each evaluation of the relation has the same values.
    fn is_stable(&self) -> rusqlite::Result<bool> {
        let sql = format!("SELECT * FROM {} AS t", self.from);
        let (prepared, is_volatile) = self.link.observing(|| self.link.connection.prepare(&sql).map(drop));
        prepared.map(|()| !is_volatile)
    }

    /// True if SQLite compares the bytes of UTF-8. In other encodings it compares other bytes.
    fn is_utf8(&self) -> rusqlite::Result<bool> {
        let encoding: String = self.link.connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
        Ok(encoding == "UTF-8")
    }

    fn described(
        &mut self,
        relation: Relation,
        wanted: &BTreeMap<String, DataType>,
    ) -> rusqlite::Result<DescribedTable> {
        let table = relation.entry.as_ref().map(|entry| entry.name.as_str());
        let text = definition(self.link, table)?;
        let permitted = table.and(text.as_deref()).map(permitted_values).unwrap_or_default();
        let mut columns = vec![];
        for column in &relation.columns {
            columns.push(Described {
                column,
                reference: reference(&column.name),
                data_type: self.data_type(column, wanted)?,
            });
        }
        let definition = Definition { table: table.map(str::to_owned), text: text.unwrap_or_default().into() };
        let read = self.compared(&relation, &columns, &definition)?;
        let references = match table {
            Some(table) => schema::references(&self.link.connection, table)?,
            None => vec![],
        };
        let columns = columns.into_iter().zip(read);
        let columns = columns.map(|(Described { column, data_type, .. }, (sql, usage))| {
            let is_exact = usage == ColumnUsage::All || data_type.as_ref().is_ok_and(is_compared_as_stored);
            DescribedColumn {
                name: column.name.clone(),
                native_type: column.declared.clone(),
                data_type,
                sql,
                usage,
                nullable: !is_required(column, &relation),
                unique: is_exact && is_unique(column, &relation),
                comment: None,
                enumeration: permitted.get(&column.name.to_ascii_lowercase()).cloned().unwrap_or_default(),
            }
        });
        let columns = columns.collect();
        Ok(DescribedTable {
            columns,
            comment: None,
            primary_key: primary_key(&relation),
            references,
            has_ranges: false,
            is_stored: relation.entry.is_some(),
        })
    }

    /// Returns the type of a column: the wanted one if its values can have it, the declared one, or that of its values.
    fn data_type(
        &self,
        column: &RawColumn,
        wanted: &BTreeMap<String, DataType>,
    ) -> rusqlite::Result<std::result::Result<DataType, String>> {
        let same = |name: &String| name.eq_ignore_ascii_case(&column.name);
        let wanted = wanted.get(&column.name).or_else(|| wanted.iter().find(|(name, _)| same(name)).map(|(_, t)| t));
        if let Some(wanted) = wanted.filter(|wanted| is_supported(wanted) && can_hold(column.affinity, wanted)) {
            return Ok(Ok(wanted.clone()));
        }
        if let Some(named) = named_type(&column.declared, column.affinity) {
            return Ok(Ok(named));
        }
        let (c, from) = (reference(&column.name), &self.from);
        let sql = format!(
            "SELECT DISTINCT typeof(s.v) FROM (SELECT {c} AS v FROM {from} AS t LIMIT {SAMPLED_ROWS}) AS s \
             WHERE s.v IS NOT NULL ORDER BY 1"
        );
        let sampled = self.stop.within(CHECK_TIME, || collect(&self.link.connection, &sql, [], |row| row.get(0)));
        let classes: Vec<String> = sampled?.unwrap_or_default();
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        Ok(match classes.as_slice() {
            ["integer"] => Ok(DataType::Int64),
            ["real"] | ["integer", "real"] => Ok(DataType::Float64),
            ["text"] => Ok(DataType::Utf8),
            ["blob"] => Ok(DataType::Binary),
            [] => {
                Err("it has no declared type, and no values that show one; set `logicalType` in the contract"
                    .to_owned())
            }
            _ => Err(format!(
                "it has no declared type, and its values are {}; set `logicalType` in the contract, or use a query that \
                 converts them",
                classes.join(" and ")
            )),
        })
    }
}

/// Returns a column of a query, whose declared type is known if it is a column of a table.
fn raw(name: &str, declared: Option<&str>) -> RawColumn {
    let declared = declared.unwrap_or_default().to_owned();
    let affinity = Affinity::of(&declared, false);
    RawColumn { name: name.to_owned(), declared, affinity, is_plain: false, not_null: false, key_position: 0 }
}

/// Returns a column as an expression over the alias `t`.
pub(super) fn reference(name: &str) -> String {
    format!("t.{}", quoted_name(name, &SQLITE))
}

/// True if the column is another name of the rowid.
pub(super) fn is_rowid(column: &RawColumn, relation: &Relation) -> bool {
    let Some(entry) = &relation.entry else { return false };
    let is_only_key = relation.columns.iter().filter(|column| column.key_position > 0).count() == 1;
    // `INTEGER PRIMARY KEY DESC` is an ordinary column, and has an index.
    let has_index = relation.indexes.iter().any(|index| index.is_key);
    let is_integer = column.declared.eq_ignore_ascii_case("INTEGER");
    column.key_position == 1 && is_only_key && is_integer && !entry.without_rowid && !has_index
}

/// True if SQLite rejects NULL in the column. In other primary keys it accepts NULL.
fn is_required(column: &RawColumn, relation: &Relation) -> bool {
    let Some(entry) = &relation.entry else { return false };
    let checks_keys = entry.without_rowid || entry.strict;
    column.not_null || is_rowid(column, relation) || checks_keys && column.key_position > 0
}

/// True if SQLite rejects a value that the column has already.
fn is_unique(column: &RawColumn, relation: &Relation) -> bool {
    let is_index = |index: &Index| index.unique && index.columns == [column.name.as_str()];
    is_rowid(column, relation) || relation.indexes.iter().any(is_index)
}

/// True if two values of this type are equal only if they are stored as the same value.
fn is_compared_as_stored(data_type: &DataType) -> bool {
    let is_time = matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Time64(_));
    !is_time && !matches!(data_type, DataType::Decimal128(..) | DataType::Date32)
}

fn primary_key(relation: &Relation) -> Vec<String> {
    let mut key: Vec<&RawColumn> = relation.columns.iter().filter(|column| column.key_position > 0).collect();
    key.sort_by_key(|column| column.key_position);
    key.into_iter().map(|column| column.name.clone()).collect()
}
