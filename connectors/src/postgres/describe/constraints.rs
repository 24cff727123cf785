//! The keys, references and checks of a table, as far as the database enforces them.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use super::super::session::Session;
use super::check_values::permitted;
use crate::databases::{DescribedColumn, Reference};
use crate::error::Result;

/// The constraints of a table.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    /// The columns of the primary key, in key order.
    pub(super) primary_key: Vec<String>,
    pub(super) references: Vec<Reference>,
    /// The numbers of the columns whose values are unique.
    unique: BTreeSet<i16>,
    /// The definitions of the checks over one column.
    checks: BTreeMap<i16, Vec<String>>,
}

/// The unique indexes that hold at the end of each statement, over all rows.
const KEYS: &str = "\
SELECT i.indisprimary, i.indkey::int2[], i.indnkeyatts, ARRAY(
    SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, position)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE k.position <= i.indnkeyatts ORDER BY k.position)
FROM pg_catalog.pg_index i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL";

/// The foreign keys that were checked.
const REFERENCES: &str = "\
SELECT k.conname::text, n.nspname::text, c.relname::text,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, position)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.position),
    ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, position)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.position)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conrelid = $1 AND k.contype = 'f' AND k.convalidated AND k.conparentid = 0
ORDER BY k.conname";

/// The checks over one column that hold for all rows.
const CHECKS: &str = "\
SELECT k.conkey[1], pg_get_constraintdef(k.oid)
FROM pg_catalog.pg_constraint k
WHERE k.conrelid = $1 AND k.contype = 'c' AND k.convalidated AND cardinality(k.conkey) = 1
ORDER BY k.conname";

/// Reads the constraints of a table.
pub(super) async fn constraints(session: &mut Session, table: u32) -> Result<Constraints> {
    let mut constraints = Constraints::default();
    let parameter: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&table, Type::OID)];
    for row in session.rows(KEYS, &parameter).await? {
        let (numbers, count): (Vec<i16>, i16) = (row.get(1), row.get(2));
        if row.get(0) {
            constraints.primary_key = row.get(3);
        }
        if let (1, Some(number)) = (count, numbers.first()) {
            constraints.unique.insert(*number);
        }
    }
    for row in session.rows(REFERENCES, &parameter).await? {
        constraints.references.push(Reference {
            name: row.get(0),
            columns: row.get(3),
            schema: row.get(1),
            table: row.get(2),
            referenced_columns: row.get(4),
        });
    }
    for row in session.rows(CHECKS, &parameter).await? {
        constraints.checks.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(constraints)
}

impl Constraints {
    /// Adds what the constraints say of a column.
    pub(super) fn add_to(&self, number: i16, column: &mut DescribedColumn) {
        column.unique = self.unique.contains(&number);
        let checks = self.checks.get(&number).into_iter().flatten();
        if let Some(values) = checks.filter_map(|definition| permitted(definition, &column.name)).next() {
            column.enumeration = values;
        }
    }
}
