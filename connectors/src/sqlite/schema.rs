//! The schema of the file: tables and views, columns, keys and indexes.

use rusqlite::{Connection, Row};

use super::declared::Affinity;
use crate::databases::Reference;

/// A table or a view in the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    pub(super) strict: bool,
    pub(super) without_rowid: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Table,
    View,
    /// A table whose values come from a module.
    Virtual,
}

/// A column of a table, a view or a query.
#[derive(Clone, Debug)]
pub(super) struct RawColumn {
    pub(super) name: String,
    /// The declared type; empty if there is none.
    pub(super) declared: String,
    pub(super) affinity: Affinity,
    /// True for a column of a table with the collation BINARY.
    pub(super) is_plain: bool,
    pub(super) not_null: bool,
    /// The position in the primary key, from 1; 0 for another column.
    pub(super) key_position: u32,
}

/// An index over whole columns of all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) unique: bool,
    /// True for the index that stands for the primary key.
    pub(super) is_key: bool,
    pub(super) columns: Vec<String>,
}

/// Lists the tables and views, without those of SQLite itself.
///
/// # Errors
/// The schema cannot be read.
pub(super) fn entries(connection: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let sql = "SELECT l.name, l.type, l.strict, l.wr FROM pragma_table_list AS l WHERE l.schema = 'main' \
               AND l.type IN ('table', 'view', 'virtual') AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY l.name";
    collect(connection, sql, [], |row| {
        let kind = match row.get::<_, String>(1)?.as_str() {
            "view" => EntryKind::View,
            "virtual" => EntryKind::Virtual,
            _ => EntryKind::Table,
        };
        Ok(Entry { name: row.get(0)?, kind, strict: row.get(2)?, without_rowid: row.get(3)? })
    })
}

/// Returns the columns of a table or a view.
///
/// # Errors
/// The schema cannot be read.
pub(super) fn columns(connection: &Connection, entry: &Entry) -> rusqlite::Result<Vec<RawColumn>> {
    // Hidden columns of virtual tables have 1, generated columns 2 and 3.
    let sql = "SELECT x.name, x.type, x.\"notnull\", x.pk FROM pragma_table_xinfo(?1) AS x WHERE x.hidden <> 1 ORDER BY x.cid";
    let mut columns = collect(connection, sql, [&entry.name], |row| {
        let declared: String = row.get(1)?;
        let affinity = Affinity::of(&declared, entry.strict);
        let (name, not_null, key_position) = (row.get(0)?, row.get(2)?, row.get(3)?);
        Ok(RawColumn { name, declared, affinity, is_plain: false, not_null, key_position })
    })?;
    if entry.kind == EntryKind::Table {
        for column in &mut columns {
            let (_, collation, ..) = connection.column_metadata(Some("main"), &entry.name, &column.name)?;
            column.is_plain = collation.is_none_or(|collation| collation.to_bytes().eq_ignore_ascii_case(b"BINARY"));
        }
    }
    Ok(columns)
}

/// Returns the indexes of a table, without partial ones and those over expressions.
///
/// # Errors
/// The schema cannot be read.
pub(super) fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Index>> {
    let sql =
        "SELECT i.name, i.\"unique\", i.origin FROM pragma_index_list(?1) AS i WHERE i.partial = 0 ORDER BY i.seq";
    let listed = collect(connection, sql, [table], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, row.get::<_, String>(2)?))
    })?;
    let mut indexes = vec![];
    for (name, unique, origin) in listed {
        let sql = "SELECT x.name FROM pragma_index_xinfo(?1) AS x WHERE x.key = 1 ORDER BY x.seqno";
        let columns: Vec<Option<String>> = collect(connection, sql, [&name], |row| row.get(0))?;
        if let Some(columns) = columns.into_iter().collect() {
            indexes.push(Index { name, unique, is_key: origin == "pk", columns });
        }
    }
    Ok(indexes)
}

/// Returns the foreign keys of a table. Key columns that it does not name are those of the other table's primary key.
///
/// # Errors
/// The schema cannot be read.
pub(super) fn references(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Reference>> {
    let sql =
        "SELECT f.id, f.\"table\", f.\"from\", f.\"to\" FROM pragma_foreign_key_list(?1) AS f ORDER BY f.id, f.seq";
    let parts = collect(connection, sql, [table], |row| {
        let (id, table, from): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((id, table, from, row.get::<_, Option<String>>(3)?))
    })?;
    let mut references: Vec<(i64, Reference)> = vec![];
    for (id, table, from, to) in parts {
        if references.last().is_none_or(|(last, _)| *last != id) {
            let (columns, referenced_columns) = (vec![], vec![]);
            references.push((id, Reference { name: None, columns, schema: None, table, referenced_columns }));
        }
        if let Some((_, reference)) = references.last_mut() {
            reference.columns.push(from);
            reference.referenced_columns.extend(to);
        }
    }
    let mut references: Vec<Reference> = references.into_iter().map(|(_, reference)| reference).collect();
    for reference in &mut references {
        if reference.referenced_columns.is_empty() {
            let sql = "SELECT x.name FROM pragma_table_xinfo(?1) AS x WHERE x.pk > 0 ORDER BY x.pk";
            reference.referenced_columns = collect(connection, sql, [&reference.table], |row| row.get(0))?;
        }
    }
    Ok(references)
}

/// Returns all rows of a query.
pub(super) fn collect<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map(parameters, row)?.collect()
}
