//! The tables, columns and keys in the server's catalog. The account sees only those that it has a right on.

use mysql_async::{Row, Value};
use portolan_catalog::nearest::nearest;

use super::server::Flavor;
use super::session::Session;
use super::values::{number, text};
use crate::databases::{Reference, TableName};
use crate::error::{Error, ErrorKind, Result};

/// The largest number of tables in a list.
const MAX_TABLES: usize = 10_000;

/// The condition for one table. The server compares names without case, so the rows are compared again.
const ONE_TABLE: &str = "TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?";

/// A table in the catalog.
pub(super) struct TableFacts {
    pub(super) is_view: bool,
    pub(super) comment: Option<String>,
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
    /// The times of the last change and of the creation, if the server knows the first.
    pub(super) changed: Option<String>,
    /// True if the last change was more than a moment ago: times have no fractions of seconds.
    pub(super) is_settled: bool,
    pub(super) has_transactions: bool,
}

/// A column in the catalog.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnFacts {
    pub(super) name: String,
    /// The type with its parameters, such as `enum('a','b')`.
    pub(super) native_type: String,
    /// The name of the type, in lower case.
    pub(super) type_name: String,
    pub(super) is_nullable: bool,
    /// The character set of text; an empty string if it is not known.
    pub(super) charset: Option<String>,
    pub(super) precision: Option<u64>,
    pub(super) scale: Option<u64>,
    /// The number of digits of a second's fraction.
    pub(super) fraction: Option<u64>,
    /// The length of text in characters, and of bytes.
    pub(super) length: Option<u64>,
    pub(super) comment: Option<String>,
    /// True if the account may read the column.
    pub(super) is_readable: bool,
}

/// The keys of a table.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) primary: Vec<String>,
    pub(super) references: Vec<Reference>,
    /// The columns that have an index of unique values.
    pub(super) unique: Vec<String>,
}

fn one_table(schema: Option<&str>, name: &str) -> Vec<Value> {
    vec![schema.map_or(Value::NULL, Value::from), name.into()]
}

fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Returns a table; `None` if there is none that the account sees.
pub(super) async fn table(session: &mut Session, schema: Option<&str>, name: &str) -> Result<Option<TableFacts>> {
    let query = format!(
        "SELECT t.TABLE_NAME, t.TABLE_TYPE, t.TABLE_COMMENT, t.TABLE_ROWS, t.DATA_LENGTH, \
         CONCAT(t.UPDATE_TIME, ' ', COALESCE(t.CREATE_TIME, '')), t.UPDATE_TIME < NOW() - INTERVAL 2 SECOND, \
         e.TRANSACTIONS FROM information_schema.TABLES AS t \
         LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE WHERE t.{}",
        ONE_TABLE.replace("AND ", "AND t.")
    );
    let rows = session.rows(&query, one_table(schema, name)).await?;
    let found = rows.iter().find(|row| text(row, 0).as_deref() == Some(name));
    Ok(found.map(|row| {
        let is_view = text(row, 1).is_some_and(|kind| kind.ends_with("VIEW"));
        TableFacts {
            is_view,
            // The comment of a view is the word `VIEW`.
            comment: not_empty(text(row, 2)).filter(|_| !is_view),
            rows: number(row, 3),
            bytes: number(row, 4),
            changed: not_empty(text(row, 5)),
            is_settled: number(row, 6) == Some(1),
            has_transactions: text(row, 7).as_deref() == Some("YES"),
        }
    }))
}

/// Returns the columns of a table, in order.
pub(super) async fn columns(session: &mut Session, schema: Option<&str>, name: &str) -> Result<Vec<ColumnFacts>> {
    let query = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, NUMERIC_PRECISION, \
         NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_MAXIMUM_LENGTH, COLUMN_COMMENT, PRIVILEGES \
         FROM information_schema.COLUMNS WHERE {ONE_TABLE} ORDER BY ORDINAL_POSITION"
    );
    let rows = session.rows(&query, one_table(schema, name)).await?;
    Ok(rows.iter().filter(|row| text(row, 0).as_deref() == Some(name)).filter_map(column).collect())
}

fn column(row: &Row) -> Option<ColumnFacts> {
    Some(ColumnFacts {
        name: text(row, 1)?,
        native_type: text(row, 2)?,
        type_name: text(row, 3)?.to_lowercase(),
        is_nullable: text(row, 4).as_deref() != Some("NO"),
        charset: text(row, 5),
        precision: number(row, 6),
        scale: number(row, 7),
        fraction: number(row, 8),
        length: number(row, 9),
        comment: not_empty(text(row, 10)),
        is_readable: text(row, 11).is_some_and(|rights| rights.split(',').any(|right| right == "select")),
    })
}

/// Returns the keys of a table. An account that may only read sees them here, but not in `TABLE_CONSTRAINTS`.
pub(super) async fn keys(session: &mut Session, schema: Option<&str>, name: &str) -> Result<Keys> {
    let mut keys = Keys::default();
    let query = format!(
        "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, \
         REFERENCED_COLUMN_NAME, TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE WHERE {ONE_TABLE} \
         ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION"
    );
    for row in session.rows(&query, one_table(schema, name)).await? {
        let (Some(constraint), Some(column)) = (text(&row, 1), text(&row, 2)) else { continue };
        if text(&row, 0).as_deref() != Some(name) {
            continue;
        }
        match (text(&row, 4), text(&row, 5)) {
            (Some(table), Some(referenced)) => {
                let schema = text(&row, 3).filter(|schema| text(&row, 6).as_ref() != Some(schema));
                keys.refer(constraint, column, schema, table, referenced);
            }
            _ if constraint == "PRIMARY" => keys.primary.push(column),
            _ => {}
        }
    }
    let query = format!(
        "SELECT TABLE_NAME, MAX(COLUMN_NAME) FROM information_schema.STATISTICS WHERE {ONE_TABLE} AND NON_UNIQUE = 0 \
         GROUP BY TABLE_NAME, INDEX_NAME HAVING COUNT(*) = 1"
    );
    let rows = session.rows(&query, one_table(schema, name)).await?;
    keys.unique =
        rows.iter().filter(|row| text(row, 0).as_deref() == Some(name)).filter_map(|row| text(row, 1)).collect();
    Ok(keys)
}

impl Keys {
    fn refer(&mut self, constraint: String, column: String, schema: Option<String>, table: String, referenced: String) {
        match self.references.last_mut().filter(|last| last.name.as_ref() == Some(&constraint)) {
            Some(last) => {
                last.columns.push(column);
                last.referenced_columns.push(referenced);
            }
            None => self.references.push(Reference {
                name: Some(constraint),
                columns: vec![column],
                schema,
                table,
                referenced_columns: vec![referenced],
            }),
        }
    }
}

/// Returns the conditions of the `CHECK` constraints of a table that the account sees.
pub(super) async fn checks(session: &mut Session, schema: Option<&str>, name: &str) -> Result<Vec<String>> {
    let query = match session.flavor() {
        Flavor::MariaDb => {
            "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?"
        }
        Flavor::MySql => {
            "SELECT c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS AS c \
             JOIN information_schema.TABLE_CONSTRAINTS AS t USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME) \
             WHERE t.TABLE_SCHEMA = COALESCE(?, DATABASE()) AND t.TABLE_NAME = ? AND t.ENFORCED = 'YES'"
        }
    };
    let rows = session.rows(query, one_table(schema, name)).await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// Lists the tables and views of a schema, or of the connection's database.
pub(super) async fn tables(session: &mut Session, schema: Option<&str>) -> Result<Vec<TableName>> {
    let query = format!(
        "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) \
         AND TABLE_TYPE <> 'SEQUENCE' ORDER BY TABLE_NAME LIMIT {MAX_TABLES}"
    );
    let rows = session.rows(&query, vec![schema.map_or(Value::NULL, Value::from)]).await?;
    if rows.is_empty()
        && let Some(schema) = schema
    {
        let schemas = session.rows("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA", vec![]).await?;
        let schemas: Vec<_> = schemas.iter().filter_map(|row| text(row, 0)).collect();
        if !schemas.iter().any(|known| known == schema) {
            let context = format!("{} has no schema `{schema}` that its account may see", session.origin().shown);
            let near = nearest(schema, schemas.iter().map(String::as_str));
            return Err(Error::new(ErrorKind::NotFound, context).suggesting(near));
        }
    }
    let table = |row: &Row| {
        let is_view = text(row, 1).is_some_and(|kind| kind.ends_with("VIEW"));
        Some(TableName { schema: schema.map(str::to_owned), name: text(row, 0)?, is_view })
    };
    Ok(rows.iter().filter_map(table).collect())
}
