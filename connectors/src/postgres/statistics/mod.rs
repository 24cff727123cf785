//! The size, the state and the statistics of a relation, which the database has without reading rows.

mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use portolan_catalog::{ColumnStatistics, DatabaseRelation};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use self::values::{ColumnFacts, combined, statistics_of};
use super::describe::begun;
use super::estimate::estimate;
use super::session::Session;
use super::{DEFAULT_SCHEMA, Shared, clause_of};
use crate::databases::{DescribedTable, RunContext, TableStatistics};
use crate::error::Result;
use crate::source::Footprint;

/// The table and its parts: partitions, and tables that inherit from it.
const PARTS: &str = "\
WITH RECURSIVE part(oid) AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'm', 'p')
    UNION
    SELECT i.inhrelid FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid
), parts AS (
    SELECT c.oid, c.relname, n.nspname, c.relkind, c.relfilenode, c.reltuples, c.relpages,
        CASE WHEN c.relkind = 'p' THEN 0 ELSE pg_relation_size(c.oid) END AS bytes
    FROM part JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
), sized AS (
    -- The number of rows when the table was analysed, scaled to its size of now. NULL if it never was.
    SELECT *, CASE WHEN bytes = 0 THEN 0 WHEN reltuples < 0 OR relpages = 0 THEN NULL
        ELSE reltuples / relpages * (bytes / current_setting('block_size')::float8) END AS rows
    FROM parts
)";

/// The size and the state of the parts. Parts in other databases have no state here.
const STATE: &str = "\
SELECT sum(CASE WHEN relkind = 'p' THEN 0 ELSE pg_table_size(oid) END)::int8, md5(string_agg(concat_ws(' ', oid,
    relfilenode, bytes, pg_stat_get_tuples_inserted(oid), pg_stat_get_tuples_updated(oid),
    pg_stat_get_tuples_deleted(oid), pg_stat_get_last_analyze_time(oid), pg_stat_get_last_autoanalyze_time(oid)),
    ',' ORDER BY oid)), bool_or(relkind NOT IN ('r', 'm', 'p'))
FROM sized HAVING count(*) > 0";

/// The rows and the size of the parts.
const SIZES: &str = "\
SELECT CASE WHEN bool_or(rows IS NULL) THEN NULL ELSE sum(rows) END::float8,
    sum(CASE WHEN relkind = 'p' THEN 0 ELSE pg_table_size(oid) END)::int8
FROM sized HAVING count(*) > 0 AND NOT bool_or(relkind NOT IN ('r', 'm', 'p'))";

/// The statistics of the columns that the account may read. Those of arrays are not read.
const COLUMNS: &str = "\
SELECT s.attname::text, p.relname = $2 AND p.nspname = $1, s.inherited, p.rows, s.null_frac, s.avg_width, s.n_distinct,
    CASE WHEN t.typcategory <> 'A' THEN s.most_common_vals::text::text[] END, s.most_common_freqs,
    CASE WHEN t.typcategory <> 'A' THEN s.histogram_bounds::text::text[] END
FROM sized p JOIN pg_catalog.pg_stats s ON s.schemaname = p.nspname AND s.tablename = p.relname
JOIN pg_catalog.pg_attribute a ON a.attrelid = p.oid AND a.attname = s.attname
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid";

/// Returns the state of a table's data; `None` for a view, a query and a table with parts elsewhere.
pub(super) async fn footprint(shared: &Arc<Shared>, relation: &DatabaseRelation, until: Instant) -> Option<Footprint> {
    let DatabaseRelation::Table { schema, name } = relation else { return None };
    let rows = read(shared, schema.as_deref(), name, &[STATE], until).await;
    let row = logged(shared, rows)?.into_iter().flatten().next()?;
    let is_elsewhere: bool = row.get(2);
    let bytes = u64::try_from(row.get::<_, i64>(0)).ok()?;
    (!is_elsewhere).then(|| Footprint { bytes, version: row.get(1) })
}

/// Returns the database's statistics of a relation: of a view or a query, only the expected number of rows.
pub(super) async fn statistics(
    shared: &Arc<Shared>,
    relation: &DatabaseRelation,
    table: &DescribedTable,
    until: Instant,
) -> Option<TableStatistics> {
    if let DatabaseRelation::Table { schema, name } = relation {
        let rows = read(shared, schema.as_deref(), name, &[SIZES, COLUMNS], until).await;
        let rows = logged(shared, rows)?;
        if let [sizes, columns] = &rows[..]
            && let Some(sizes) = sizes.first()
        {
            return Some(of_table(sizes, columns, table));
        }
    }
    let context = RunContext { query_id: None, deadline: until };
    let estimated = estimate(shared, &format!("SELECT * FROM {} t", clause_of(relation)), &context).await;
    let rows = logged(shared, estimated)?.rows;
    Some(TableStatistics { rows, ..TableStatistics::default() })
}

fn of_table(sizes: &Row, columns: &[Row], table: &DescribedTable) -> TableStatistics {
    let rows: Option<f64> = sizes.get(0);
    let mut facts: BTreeMap<String, Vec<ColumnFacts>> = BTreeMap::new();
    for row in columns {
        facts.entry(row.get(0)).or_default().push(ColumnFacts {
            is_of_all: row.get(1) && row.get(2),
            rows: row.get(3),
            null_share: row.get::<_, f32>(4).into(),
            width: f64::from(row.get::<_, i32>(5)),
            distinct: row.get::<_, f32>(6).into(),
            frequent: row.get::<_, Option<Vec<Option<String>>>>(7).unwrap_or_default(),
            shares: row.get::<_, Option<Vec<f32>>>(8).unwrap_or_default(),
            bounds: row.get::<_, Option<Vec<Option<String>>>>(9).unwrap_or_default(),
        });
    }
    let described = table.columns.iter().filter_map(|column| {
        let data_type = column.data_type.as_ref().ok()?;
        let facts = combined(facts.remove(&column.name)?)?;
        Some((column.name.clone(), statistics_of(&facts, data_type, rows)))
    });
    let columns: BTreeMap<String, ColumnStatistics> = described.collect();
    let rounded = rows.map(|rows| rows.round() as u64);
    TableStatistics { rows: rounded, bytes: u64::try_from(sizes.get::<_, i64>(1)).ok(), columns }
}

/// Runs queries over the parts of a table.
async fn read(
    shared: &Arc<Shared>,
    schema: Option<&str>,
    name: &str,
    queries: &[&str],
    until: Instant,
) -> Result<Vec<Vec<Row>>> {
    let schema = schema.unwrap_or(DEFAULT_SCHEMA);
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&schema, Type::TEXT), (&name, Type::TEXT)];
    let mut session: Session = begun(shared, until).await?;
    let mut found = vec![];
    for query in queries {
        found.push(session.rows(&format!("{PARTS} {query}"), &parameters).await?);
    }
    session.commit().await?;
    Ok(found)
}

/// Returns a result, and logs an error: statistics only guide costs.
fn logged<T>(shared: &Shared, result: Result<T>) -> Option<T> {
    let log = |error: &crate::error::Error| {
        tracing::info!(database = %shared.origin.url, error = %error.owner_chain(), "no statistics of a table");
    };
    result.inspect_err(log).ok()
}
