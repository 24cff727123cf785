//! The types, and the names of tables and schemas, in the catalog of the database.

use std::collections::BTreeMap;

use portolan_catalog::nearest::nearest;
use tokio_postgres::types::Type;

use super::super::session::Session;
use super::types::NativeType;
use crate::databases::{Origin, TableName};
use crate::error::{Error, ErrorKind, Result};

/// The largest number of names that are read to suggest one, and the largest number of listed tables.
const MAX_NAMES: i64 = 10_000;

/// A type of a column: its identity and its modifier.
pub(super) type TypeKey = (u32, i32);

/// A type of a column, as the catalog describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundType {
    pub(super) native: NativeType,
    /// The labels of an enum, in its order.
    pub(super) labels: Vec<String>,
}

/// The types of columns, without the domains around them.
const TYPES: &str = "\
WITH RECURSIVE wanted AS (
    SELECT * FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS w(type, modifier, position)
), step AS (
    SELECT position, type, modifier, 0 AS depth FROM wanted
    UNION ALL
    SELECT s.position, t.typbasetype, t.typtypmod, s.depth + 1
    FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.type WHERE t.typtype = 'd'
), base AS (
    SELECT DISTINCT ON (position) position, type, modifier FROM step ORDER BY position, depth DESC
)
SELECT t.oid, b.modifier, format_type(w.type, w.modifier), e.oid,
    ARRAY(SELECT enumlabel::text FROM pg_catalog.pg_enum n WHERE n.enumtypid = t.oid ORDER BY enumsortorder),
    CASE WHEN t.oid = 790 THEN scale(CAST(CAST(0 AS money) AS numeric)) END,
    pg_catalog.current_setting('server_encoding') <> 'UTF8'
FROM base b JOIN wanted w USING (position) JOIN pg_catalog.pg_type t ON t.oid = b.type
LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
ORDER BY position";

/// Returns types, in the order of `keys`.
pub(super) async fn types(session: &mut Session, keys: &[TypeKey]) -> Result<Vec<FoundType>> {
    let (oids, modifiers): (Vec<u32>, Vec<i32>) = keys.iter().copied().unzip();
    let rows = session.rows(TYPES, &[(&oids, Type::OID_ARRAY), (&modifiers, Type::INT4_ARRAY)]).await?;
    let found = rows.iter().map(|row| FoundType {
        native: NativeType {
            oid: row.get(0),
            modifier: row.get(1),
            shown: row.get(2),
            element: row.get(3),
            is_loose: false,
            is_recoded: row.get(6),
            money_scale: row.get::<_, Option<i32>>(5).and_then(|scale| i8::try_from(scale).ok()).unwrap_or_default(),
        },
        labels: row.get(4),
    });
    Ok(found.collect())
}

/// The tables and views of a schema of which the account may read a column. Partitions are parts of another table.
const TABLES: &str = "\
SELECT c.relname::text, c.relkind IN ('v', 'm')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND NOT c.relispartition
    AND has_any_column_privilege(c.oid, 'SELECT')
ORDER BY c.relname LIMIT $2";

/// Lists the tables and views of a schema.
pub(super) async fn tables(session: &mut Session, origin: &Origin, schema: &str) -> Result<Vec<TableName>> {
    let rows = session.rows(TABLES, &[(&schema, Type::TEXT), (&MAX_NAMES, Type::INT8)]).await?;
    if rows.is_empty() {
        check_schema(session, origin, schema).await?;
    }
    let named =
        rows.iter().map(|row| TableName { schema: Some(schema.to_owned()), name: row.get(0), is_view: row.get(1) });
    Ok(named.collect())
}

/// Returns the error for a table that does not exist, or for its schema.
pub(super) async fn missing(session: &mut Session, origin: &Origin, schema: &str, name: &str) -> Result<Error> {
    check_schema(session, origin, schema).await?;
    let names = tables(session, origin, schema).await?;
    let what = format!("{}: there is no table or view `{schema}.{name}`", origin.shown);
    let nearest = nearest(name, names.iter().map(|table| table.name.as_str()));
    Ok(Error::new(ErrorKind::NotFound, what).suggesting(nearest))
}

/// Checks that a schema exists and that the account may use it.
pub(super) async fn check_schema(session: &mut Session, origin: &Origin, schema: &str) -> Result<()> {
    let sql =
        "SELECT nspname::text, has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace ORDER BY 1 LIMIT $1";
    let rows = session.rows(sql, &[(&MAX_NAMES, Type::INT8)]).await?;
    let schemas: BTreeMap<String, bool> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let shown = &origin.shown;
    match schemas.get(schema) {
        Some(true) => Ok(()),
        Some(false) => {
            let what = format!("{shown}: the account may not use the schema `{schema}`; grant it USAGE");
            Err(Error::new(ErrorKind::PermissionDenied, what))
        }
        None => {
            let what = format!("{shown}: there is no schema `{schema}`");
            let nearest = nearest(schema, schemas.keys().map(String::as_str));
            Err(Error::new(ErrorKind::NotFound, what).suggesting(nearest))
        }
    }
}
