//! The columns of a table or a view.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use tokio_postgres::types::Type;

use super::super::quoted;
use super::super::ranges::FIRST_WITH_RANGES;
use super::super::session::Session;
use super::catalog::{FoundType, missing, types};
use super::constraints::{Constraints, constraints};
use super::types::reading;
use crate::databases::{DescribedColumn, DescribedTable, Origin};
use crate::error::{Error, ErrorKind, Result};

/// A table or a view. With children, its rows and constraints are not those of one table.
const TABLE: &str = "\
SELECT c.oid, c.relkind::text, obj_description(c.oid, 'pg_class'), has_any_column_privilege(c.oid, 'SELECT'),
    coalesce((SELECT a.amname = 'heap' FROM pg_catalog.pg_am a WHERE a.oid = c.relam), false),
    c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'v', 'm', 'p', 'f')";

/// The columns. A constraint that was not checked does not make a column free of NULL.
const COLUMNS: &str = "\
SELECT a.attnum, a.attname::text, a.atttypid, a.atttypmod,
    EXISTS (SELECT FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation AND NOT l.collisdeterministic),
    col_description(a.attrelid, a.attnum),
    has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
    a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid
        AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Returns the columns of a table or a view, and what its constraints say.
pub(super) async fn describe(
    session: &mut Session,
    origin: &Origin,
    schema: &str,
    name: &str,
    wanted: &BTreeMap<String, DataType>,
) -> Result<DescribedTable> {
    let rows = session.rows(TABLE, &[(&schema, Type::TEXT), (&name, Type::TEXT)]).await?;
    let Some(table) = rows.first() else { return Err(missing(session, origin, schema, name).await?) };
    super::catalog::check_schema(session, origin, schema).await?;
    let (oid, kind): (u32, String) = (table.get(0), table.get(1));
    if !table.get::<_, bool>(3) {
        let what = format!("{}: the account may not read `{schema}.{name}`; grant it SELECT", origin.shown);
        return Err(Error::new(ErrorKind::PermissionDenied, what));
    }
    let has_children: bool = table.get(5);
    // Only the database that has the rows checks them.
    let is_checked = matches!(kind.as_str(), "r" | "p") && !has_children;
    let constraints = match is_checked || kind == "m" {
        true => constraints(session, oid).await?,
        false => Constraints::default(),
    };
    let rows = session.rows(COLUMNS, &[(&oid, Type::OID)]).await?;
    let keys: Vec<_> = rows.iter().map(|row| (row.get(2), row.get(3))).collect();
    let found = types(session, &keys).await?;
    let mut columns = vec![];
    for (row, mut found) in rows.iter().zip(found) {
        let name: String = row.get(1);
        found.native.is_loose = row.get(4);
        let mut column = column(name, &found, wanted);
        column.comment = row.get(5);
        column.nullable = !(is_checked && row.get(7));
        constraints.add_to(row.get(0), &mut column);
        if !row.get::<_, bool>(6) {
            column.data_type = Err("the account may not read it: grant it SELECT on the column".to_owned());
        }
        columns.push(column);
    }
    let Constraints { primary_key, references, .. } = constraints;
    let has_ranges = kind == "r" && !has_children && table.get(4) && session.version() >= FIRST_WITH_RANGES;
    // A foreign table may be a view elsewhere.
    let is_stored = matches!(kind.as_str(), "r" | "p" | "m");
    Ok(DescribedTable { columns, comment: table.get(2), primary_key, references, has_ranges, is_stored })
}

/// Returns a column without constraints.
pub(super) fn column(name: String, found: &FoundType, wanted: &BTreeMap<String, DataType>) -> DescribedColumn {
    let quoted = format!("t.{}", quoted(&name));
    let reading = reading(&found.native, &quoted, wanted.get(&name));
    DescribedColumn {
        name,
        native_type: found.native.shown.clone(),
        data_type: reading.data_type,
        sql: reading.sql,
        usage: reading.usage,
        nullable: true,
        unique: false,
        comment: None,
        enumeration: found.labels.clone(),
    }
}
