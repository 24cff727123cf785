//! Queries that show whether a site runs an operator. The capabilities of the site say if it should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::prelude::SessionContext;
use portolan_connectors::{Capabilities, Refusal};

use super::placement::is_kind;
use super::tables::Table;

/// A query with an operator that a site may run.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The query. `@` stands for `lab.samples.`.
    pub sql: &'static str,
    /// The kind of the operator, as plans print it.
    pub operator: &'static str,
    /// A text that the SQL for a database has if the database runs the operator. `|` stands between the texts of several
    /// databases.
    pub written: &'static str,
    /// The rows of the query.
    pub rows: &'static [&'static str],
}

const fn probe(
    operator: &'static str,
    written: &'static str,
    sql: &'static str,
    rows: &'static [&'static str],
) -> Probe {
    Probe { sql, operator, written, rows }
}

/// The probes over the tables `readings` and `kinds`. Each operator returns fewer bytes than it reads, so that a site that
/// may run the operator is the cheapest place for it. `kinds` is on the left of joins, because the planner puts the smaller
/// side there.
pub const PROBES: &[Probe] = &[
    probe("Filter", "WHERE", "SELECT id FROM @readings WHERE id > 57", &["58", "59"]),
    probe("Filter", "WHERE", "SELECT id FROM @readings WHERE kind LIKE 'b%' AND id < 5", &["1", "4"]),
    probe("Filter", "WHERE", "SELECT id FROM @readings WHERE kind IN ('b', 'c') AND id < 5", &["1", "2", "4"]),
    probe(
        "Filter",
        "WHERE",
        "SELECT id FROM @readings WHERE concat(upper(kind), CASE WHEN id < 6 THEN '' ELSE 'x' END) = 'C'",
        &["2", "5"],
    ),
    probe("Filter", "WHERE", "SELECT max(id) FROM @readings WHERE level = id", &["9"]),
    probe("Filter", "WHERE", "SELECT max(id) FROM @readings WHERE lower(kind) = 'c'", &["59"]),
    probe("Filter", "WHERE", "SELECT id FROM @readings WHERE weight > 29", &["59"]),
    probe("Filter", "WHERE", "SELECT id FROM @readings WHERE id + level = 6", &["3"]),
    probe("Aggregate", "count(", "SELECT count(*), max(id), min(kind) FROM @readings", &["60|59|a"]),
    probe("Aggregate", "sum(", "SELECT sum(price) FROM @readings", &["1770.00"]),
    probe("Aggregate", "sum(", "SELECT sum(id) FROM @readings", &["1770"]),
    probe(
        "Aggregate",
        "GROUP BY",
        "SELECT kind, count(*), max(id) FROM @readings GROUP BY kind",
        &["a|20|57", "b|20|58", "c|20|59"],
    ),
    probe("Aggregate", "GROUP BY", "SELECT DISTINCT kind FROM @readings", &["a", "b", "c"]),
    probe("Aggregate", "GROUP BY", "SELECT count(*) FROM (SELECT weight FROM @readings GROUP BY weight) AS t", &["60"]),
    probe(
        "Inner Join",
        "INNER JOIN",
        "SELECT r.id, k.label FROM @kinds k JOIN @readings r ON k.name = r.kind WHERE r.id < 4",
        &["0|first", "1|second", "3|first"],
    ),
    probe(
        "Inner Join",
        "INNER JOIN",
        "SELECT count(*) FROM @readings a JOIN @readings b ON a.weight = b.weight",
        &["60"],
    ),
    probe(
        "Left Join",
        "LEFT JOIN",
        "SELECT k.name, count(r.id) FROM @kinds k LEFT JOIN @readings r ON k.name = r.kind GROUP BY k.name",
        &["a|20", "b|20", "d|0", "NULL|0"],
    ),
    probe("Full Join", "FULL JOIN", "SELECT count(*) FROM @kinds k FULL JOIN @readings r ON k.name = r.kind", &["62"]),
    probe(
        "LeftSemi Join",
        "WHERE EXISTS| IN (SELECT",
        "SELECT label FROM @kinds k WHERE EXISTS (SELECT 1 FROM @readings r WHERE r.kind = k.name)",
        &["first", "second"],
    ),
    probe(
        "LeftAnti Join",
        "NOT EXISTS|IS NOT TRUE",
        "SELECT label FROM @kinds k WHERE NOT EXISTS (SELECT 1 FROM @readings r WHERE r.kind = k.name)",
        &["fourth", "none"],
    ),
    probe("Sort", "ORDER BY", "SELECT id FROM @readings ORDER BY id DESC LIMIT 2", &["59", "58"]),
    probe("Sort", "ORDER BY", "SELECT id FROM @readings ORDER BY weight DESC LIMIT 2", &["59", "58"]),
    probe("Limit", "LIMIT", "SELECT count(*) FROM (SELECT id FROM @readings LIMIT 7) AS t", &["7"]),
    probe(
        "Union",
        "UNION ALL",
        "SELECT kind FROM @readings WHERE id < 2 UNION ALL SELECT name FROM @kinds",
        &["a", "b", "a", "b", "d", "NULL"],
    ),
    probe(
        "WindowAggr",
        "OVER",
        "SELECT count(*) FROM (SELECT rank() OVER (ORDER BY price) AS r FROM @readings) AS t WHERE r = 1",
        &["1"],
    ),
];

/// The plans of probes, from a plain DataFusion over the same tables.
pub struct ProbePlans(SessionContext);

impl ProbePlans {
    /// Returns the plans over these tables.
    pub fn new(tables: &[Table]) -> Self {
        let context = SessionContext::new();
        for table in tables {
            context.register_batch(table.name, table.rows.clone()).unwrap();
        }
        Self(context)
    }

    /// Returns the reason why capabilities do not admit the operator of a probe; `None` if they do.
    pub async fn refusal(&self, probe: &Probe, capabilities: &Capabilities) -> Option<Refusal> {
        let query = self.0.sql(&probe.sql.replace('@', "")).await.unwrap();
        let plan = query.into_optimized_plan().unwrap();
        let mut outcomes = vec![];
        let walk = plan.apply(|node| {
            if is_kind(&node.display().to_string(), probe.operator) {
                outcomes.push(capabilities.admits(node));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        walk.unwrap();
        assert!(!outcomes.is_empty(), "there is no {} in\n{plan}", probe.operator);
        outcomes.into_iter().find_map(Result::err)
    }
}
