//! Ranges of one large table for several connections. All of them read the same snapshot.
//!
//! A range is a range of pages, by `ctid`. The last range is open, because the table may have grown. The connections take
//! the next range when they are done with one, so that they end at about the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Shared;
use super::session::{Session, literal};
use crate::databases::RunContext;
use crate::error::Result;
use crate::sql::SqlQuery;

/// The first version that scans a range of `ctid` without reading the whole table.
pub(super) const FIRST_WITH_RANGES: u32 = 14;
/// A table with fewer pages is read on one connection.
const MIN_PAGES: u64 = 4096;
/// The smallest number of pages of a range, and the largest number of ranges for each connection.
const MIN_RANGE: u64 = 2048;
const RANGES_EACH: u64 = 8;

/// The ranges that no connection has taken.
#[derive(Debug)]
pub(super) struct Ranges {
    next: AtomicUsize,
    /// The conditions over the alias `t`; `None` for the whole table.
    conditions: Vec<Option<String>>,
}

impl Ranges {
    /// Returns one range that is the whole table.
    pub(super) fn whole() -> Self {
        Self { next: AtomicUsize::new(0), conditions: vec![None] }
    }

    /// True if the whole table is one range.
    #[cfg(test)]
    fn is_whole(&self) -> bool {
        matches!(self.conditions[..], [None])
    }

    /// Takes a range.
    pub(super) fn next(&self) -> Option<Option<String>> {
        self.conditions.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

/// Returns ranges of the table of a query, and the sessions that read them besides `first`. `first` has begun. If the
/// table is small or cannot be divided, or if no other connection is free, the range is the whole table.
pub(super) async fn ranges(
    shared: &Arc<Shared>,
    first: &mut Session,
    query: &SqlQuery,
    context: &RunContext,
) -> Result<(Ranges, Vec<Session>)> {
    let whole = || Ok((Ranges::whole(), vec![]));
    // A query in the place of a table has no pages.
    let is_table = |from: &str| from.starts_with('"') && first.version() >= FIRST_WITH_RANGES;
    let Some(table) = query.ranges.as_ref().filter(|table| is_table(&table.from)) else { return whole() };
    let pages = first.texts(&pages_of(&table.from)).await?;
    let pages = pages.first().and_then(|row| row.first()?.as_deref()?.parse().ok()).unwrap_or(0);
    if pages < MIN_PAGES || !reads_all(first, query).await? {
        return whole();
    }
    let mut others = vec![];
    while others.len() + 1 < shared.scan_connections {
        let Some(session) = Session::open_free(shared, context).await else { break };
        others.push(session);
    }
    if others.is_empty() {
        return whole();
    }
    // A server that is a copy of another one may refuse it.
    let snapshot = first.texts("SELECT pg_export_snapshot()").await.ok();
    let Some(snapshot) = snapshot.and_then(|rows| rows.into_iter().next()?.into_iter().next()?) else {
        first.begin_again().await?;
        return whole();
    };
    for session in &mut others {
        session.begin().await?;
        session.texts(&format!("SET TRANSACTION SNAPSHOT {}", literal(&snapshot))).await?;
    }
    let count = (pages / MIN_RANGE).clamp(1, RANGES_EACH * (1 + others.len() as u64));
    Ok((Ranges { next: AtomicUsize::new(0), conditions: divided(pages, count) }, others))
}

/// Returns the query for the number of pages of a table that can be divided.
fn pages_of(from: &str) -> String {
    format!(
        "SELECT pg_relation_size(c.oid) / current_setting('block_size')::int8 \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = c.relam \
         WHERE c.oid = to_regclass({}) AND c.relkind = 'r' AND a.amname = 'heap' \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)",
        literal(from)
    )
}

/// True if the database would read the whole table. With an index, each range would cost as much as the whole query.
async fn reads_all(session: &mut Session, query: &SqlQuery) -> Result<bool> {
    let plan = session.texts(&format!("EXPLAIN (COSTS off) {}", query.text)).await?;
    let mut lines = plan.iter().filter_map(|row| row.first()?.as_deref());
    Ok(lines.any(|line| line.contains("Seq Scan on ")))
}

/// Returns the conditions of ranges of about the same size.
fn divided(pages: u64, count: u64) -> Vec<Option<String>> {
    let start = |range: u64| pages * range / count;
    let condition = |range| {
        let from = (range > 0).then(|| format!("t.ctid >= '({},0)'::tid", start(range)));
        let to = (range + 1 < count).then(|| format!("t.ctid < '({},0)'::tid", start(range + 1)));
        [from, to].into_iter().flatten().collect::<Vec<_>>().join(" AND ")
    };
    match count {
        0 | 1 => vec![None],
        _ => (0..count).map(|range| Some(condition(range))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_range_are_open() {
        let ranges: Vec<String> = divided(10_000, 3).into_iter().flatten().collect();
        let expected = [
            "t.ctid < '(3333,0)'::tid",
            "t.ctid >= '(3333,0)'::tid AND t.ctid < '(6666,0)'::tid",
            "t.ctid >= '(6666,0)'::tid",
        ];
        assert_eq!(ranges, expected);
        assert_eq!(divided(5, 1), [None]);
    }

    #[test]
    fn each_range_is_taken_once() {
        let ranges = Ranges { next: AtomicUsize::new(0), conditions: divided(10, 2) };
        let taken: Vec<_> = std::iter::from_fn(|| ranges.next()).flatten().collect();
        assert_eq!(taken, ["t.ctid < '(5,0)'::tid", "t.ctid >= '(5,0)'::tid"]);
        assert!(Ranges::whole().is_whole() && !ranges.is_whole());
    }
}
