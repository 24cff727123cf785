//! The columns of a table, a view or a query.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use mysql_async::Column;
use mysql_async::consts::{ColumnFlags, ColumnType};
use portolan_catalog::nearest::nearest;

use super::metadata::{self, ColumnFacts};
use super::session::Session;
use super::{columns, enumeration, errors};
use crate::databases::DescribedTable;
use crate::error::{Error, ErrorKind, Result};

/// The character set of bytes.
const BINARY: u16 = 63;

/// Describes a table or a view. `from` is its name in SQL.
pub(super) async fn table(
    session: &mut Session,
    schema: Option<&str>,
    name: &str,
    from: &str,
    wanted: &BTreeMap<String, DataType>,
) -> Result<DescribedTable> {
    let Some(table) = metadata::table(session, schema, name).await? else {
        return Err(not_found(session, schema, name, from).await);
    };
    let columns = metadata::columns(session, schema, name).await?;
    if columns.is_empty() {
        // A view that refers to a table that does not exist has no columns.
        return Err(not_found(session, schema, name, from).await);
    }
    if !columns.iter().any(|column| column.is_readable) {
        let context = format!("{} does not let its account read `{name}`", session.origin().shown);
        return Err(Error::new(ErrorKind::PermissionDenied, context));
    }
    let dialect = session.flavor().dialect();
    let described = |facts: &ColumnFacts| columns::described(facts, wanted.get(&facts.name), dialect);
    let mut described = DescribedTable {
        columns: columns.iter().map(described).collect(),
        comment: table.comment,
        is_stored: !table.is_view,
        ..DescribedTable::default()
    };
    for column in &mut described.columns {
        column.enumeration = enumeration::of_type(&column.native_type);
        // The server derives this for a view, and checks nothing.
        column.nullable |= table.is_view;
    }
    if !table.is_view {
        let keys = metadata::keys(session, schema, name).await?;
        for (column, values) in
            metadata::checks(session, schema, name).await?.iter().filter_map(|c| enumeration::of_check(c))
        {
            if let Some(column) = described.columns.iter_mut().find(|c| c.name == column) {
                column.enumeration = values;
            }
        }
        for column in &mut described.columns {
            column.unique = keys.unique.contains(&column.name);
        }
        described.primary_key = keys.primary;
        described.references = keys.references;
    }
    Ok(described)
}

/// Returns the error for a table that is not in the catalog: the server's reason, and the nearest name.
async fn not_found(session: &mut Session, schema: Option<&str>, name: &str, from: &str) -> Error {
    match session.prepare(&format!("SELECT 1 FROM {from} AS t LIMIT 0")).await {
        Ok(Err(refused)) => {
            let error = errors::refused(session.origin(), &refused);
            if error.kind() != ErrorKind::NotFound {
                return error;
            }
        }
        Ok(Ok(_)) => {}
        Err(error) => return error,
    }
    let place = schema.map(|schema| format!(" in the schema `{schema}`")).unwrap_or_default();
    let context = format!("{} has no table or view `{name}`{place} that its account may see", session.origin().shown);
    let tables = metadata::tables(session, schema).await.unwrap_or_default();
    let near = nearest(name, tables.iter().map(|table| table.name.as_str()));
    Error::new(ErrorKind::NotFound, context).suggesting(near)
}

/// Describes a query. `from` is the query in brackets.
pub(super) async fn query(
    session: &mut Session,
    text: &str,
    from: &str,
    wanted: &BTreeMap<String, DataType>,
) -> Result<DescribedTable> {
    if !starts_as_query(text) {
        let context = format!("the query for {} is no single SELECT: write one, without `;`", session.origin().shown);
        return Err(Error::new(ErrorKind::InvalidQuery, context));
    }
    // The query must be one by itself, not only between the brackets.
    prepared(session, text).await?;
    let columns = prepared(session, &format!("SELECT * FROM {from} AS t LIMIT 0")).await?;
    let dialect = session.flavor().dialect();
    let described = |facts: &ColumnFacts| columns::described(facts, wanted.get(&facts.name), dialect);
    Ok(DescribedTable { columns: columns.iter().map(described).collect(), ..DescribedTable::default() })
}

/// Returns the columns of a query.
async fn prepared(session: &mut Session, query: &str) -> Result<Vec<ColumnFacts>> {
    let statement = match session.prepare(query).await? {
        Ok(statement) => statement,
        Err(refused) => return Err(errors::invalid_query(session.origin(), &refused)),
    };
    if statement.num_params() > 0 || statement.columns().is_empty() {
        let fault = if statement.num_params() > 0 { "has parameters: write the values" } else { "returns no columns" };
        let context = format!("the query for {} {fault}", session.origin().shown);
        return Err(Error::new(ErrorKind::InvalidQuery, context));
    }
    let columns = statement.columns().iter().map(facts).collect();
    session.close(statement).await?;
    Ok(columns)
}

/// True if a text starts like a query, behind comments.
fn starts_as_query(text: &str) -> bool {
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    loop {
        let after = match rest.get(..2) {
            Some("--") => rest.split_once('\n').map(|(_, after)| after),
            Some("/*") => rest.split_once("*/").map(|(_, after)| after),
            _ if rest.starts_with('#') => rest.split_once('\n').map(|(_, after)| after),
            _ => break,
        };
        rest = after.unwrap_or_default().trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    ["select", "with"].contains(&word.to_lowercase().as_str())
}

/// Returns what the result of a query says about a column.
fn facts(column: &Column) -> ColumnFacts {
    let flags = column.flags();
    let is_bytes = column.character_set() == BINARY;
    let type_name = type_name(column.column_type(), flags, is_bytes);
    let unsigned = if flags.contains(ColumnFlags::UNSIGNED_FLAG) { " unsigned" } else { "" };
    let scale = u64::from(column.decimals());
    let (precision, native_type) = match type_name {
        "decimal" => {
            // The length of the text, with a sign and a point.
            let signs = u64::from(unsigned.is_empty()) + u64::from(scale > 0);
            let precision = u64::from(column.column_length()).saturating_sub(signs);
            (Some(precision), format!("decimal({precision},{scale}){unsigned}"))
        }
        "tinyint" | "bit" => (None, format!("{type_name}({}){unsigned}", column.column_length())),
        _ => (None, format!("{type_name}{unsigned}")),
    };
    ColumnFacts {
        name: column.name_str().into_owned(),
        native_type,
        type_name: type_name.to_owned(),
        is_nullable: true,
        // The result is in the character set of the connection, and the column may be in another.
        charset: Some(String::new()).filter(|_| ["varchar", "text"].contains(&type_name)),
        precision,
        scale: Some(scale),
        is_readable: true,
        ..ColumnFacts::default()
    }
}

fn type_name(column_type: ColumnType, flags: ColumnFlags, is_bytes: bool) -> &'static str {
    use ColumnType as T;
    match column_type {
        T::MYSQL_TYPE_TINY => "tinyint",
        T::MYSQL_TYPE_SHORT => "smallint",
        T::MYSQL_TYPE_INT24 => "mediumint",
        T::MYSQL_TYPE_LONG => "int",
        T::MYSQL_TYPE_LONGLONG => "bigint",
        T::MYSQL_TYPE_FLOAT => "float",
        T::MYSQL_TYPE_DOUBLE => "double",
        T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => "decimal",
        T::MYSQL_TYPE_YEAR => "year",
        T::MYSQL_TYPE_BIT => "bit",
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => "date",
        T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => "datetime",
        T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => "timestamp",
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => "time",
        T::MYSQL_TYPE_JSON => "json",
        T::MYSQL_TYPE_GEOMETRY => "geometry",
        T::MYSQL_TYPE_VECTOR => "vector",
        T::MYSQL_TYPE_NULL => "null",
        _ if flags.contains(ColumnFlags::ENUM_FLAG) => "enum",
        _ if flags.contains(ColumnFlags::SET_FLAG) => "set",
        T::MYSQL_TYPE_TINY_BLOB | T::MYSQL_TYPE_MEDIUM_BLOB | T::MYSQL_TYPE_LONG_BLOB | T::MYSQL_TYPE_BLOB => {
            if is_bytes {
                "blob"
            } else {
                "text"
            }
        }
        _ if is_bytes => "varbinary",
        _ => "varchar",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_queries_start_as_queries() {
        for (text, expected) in [
            ("SELECT 1", true),
            (" ( select 1)", true),
            ("-- all\n/* of */ # them\nWITH x AS (SELECT 1) SELECT * FROM x", true),
            ("DELETE FROM t", false),
            ("SHOW TABLES", false),
            ("CALL p()", false),
            ("-- SELECT", false),
            ("/* SELECT", false),
            ("", false),
        ] {
            assert_eq!(starts_as_query(text), expected, "{text}");
        }
    }
}
