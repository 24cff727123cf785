//! Queries that read `WITH` queries several times: values written by hand, in every way that the planner knows, with and
//! without sharing. The same queries are compared with DuckDB.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use portolan_testbed::compare::Order;
use portolan_tests::duckdb::{DuckDb, PortFiles, compare_with_duckdb};
use portolan_tests::mesh::within;
use portolan_tests::python::python;
use portolan_tests::ways::{Ways, lines, table, write_parquet};

/// The smallest number of the queries in which one process shares a part.
const SHARING: usize = 4;

fn column(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn names(values: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

/// Returns `east.samples.sale`.
fn sales() -> RecordBatch {
    let regions = vec![Some("N"), Some("N"), Some("N"), Some("S"), Some("S"), Some("W"), None];
    table(vec![
        ("region", names(regions)),
        ("yr", column(vec![2023, 2023, 2024, 2023, 2024, 2024, 2024])),
        ("amount", column(vec![10, 5, 30, 7, 7, 4, 1])),
    ])
}

/// Returns `west.samples.target`.
fn targets() -> RecordBatch {
    let regions = vec![Some("N"), Some("S"), Some("E"), None];
    table(vec![("region", names(regions)), ("goal", column(vec![20, 7, 9, 3]))])
}

/// The sales by region and year: N 2023 15, N 2024 30, S 2023 7, S 2024 7, W 2024 4, NULL 2024 1.
const YEARS: &str = "y AS (SELECT region, yr, sum(amount) AS s FROM east.samples.sale GROUP BY region, yr)";
/// The regions by their sales of each year. N is before S in both years. W and NULL follow in 2024.
const RANKS: &str = "r AS (SELECT region, yr, rank() OVER (PARTITION BY yr ORDER BY s DESC) AS k FROM y)";
/// The three largest sales of a region and a year: N 30, N 15, S 7 in 2023.
const BEST: &str = "best AS (SELECT region, yr, s FROM y ORDER BY s DESC, region, yr LIMIT 3)";
/// The targets with the sales of both years: N 20 45, S 7 14, E 9 NULL, NULL 3 NULL.
const REACHED: &str = "t AS (SELECT g.region, g.goal, sum(a.amount) AS s FROM west.samples.target AS g \
                       LEFT JOIN east.samples.sale AS a ON a.region = g.region GROUP BY g.region, g.goal)";
const REGIONS: &str = "d AS (SELECT DISTINCT region FROM east.samples.sale)";

/// The `WITH` queries, the query over them, and its rows.
const QUERIES: &[(&[&str], &str, &[&str])] = &[
    // A year and the year before.
    (
        &[YEARS],
        "SELECT n.region, o.s, n.s, n.s - o.s FROM y AS n JOIN y AS o ON n.region = o.region AND n.yr = o.yr + 1",
        &["N|15|30|15", "S|7|7|0"],
    ),
    (
        &[YEARS],
        "SELECT n.region, n.yr, o.s FROM y AS n LEFT JOIN y AS o ON n.region = o.region AND n.yr = o.yr + 1",
        &["N|2023|NULL", "N|2024|15", "S|2023|NULL", "S|2024|7", "W|2024|NULL", "NULL|2024|NULL"],
    ),
    // Above the average, which is 64/6.
    (&[YEARS], "SELECT region, yr, s FROM y WHERE s > (SELECT avg(s) FROM y)", &["N|2023|15", "N|2024|30"]),
    (
        &[YEARS],
        "SELECT region, yr, (SELECT max(o.s) FROM y AS o WHERE o.region = y.region) FROM y",
        &["N|2023|30", "N|2024|30", "S|2023|7", "S|2024|7", "W|2024|4", "NULL|2024|NULL"],
    ),
    // A rollup.
    (
        &[YEARS],
        "SELECT region, s FROM y UNION ALL SELECT 'all', sum(s) FROM y",
        &["N|15", "N|30", "S|7", "S|7", "W|4", "NULL|1", "all|64"],
    ),
    (&[YEARS], "SELECT s FROM y WHERE yr = 2023 INTERSECT SELECT s FROM y WHERE yr = 2024", &["7"]),
    (&[YEARS], "SELECT region FROM y WHERE yr = 2024 EXCEPT SELECT region FROM y WHERE yr = 2023", &["W", "NULL"]),
    (&[YEARS], "SELECT * FROM y EXCEPT SELECT * FROM y", &[]),
    (&[YEARS], "SELECT count(*) FROM (SELECT * FROM y INTERSECT ALL SELECT * FROM y) AS b", &["6"]),
    (
        &[YEARS],
        "SELECT * FROM y UNION SELECT * FROM y WHERE s < 0",
        &["N|2023|15", "N|2024|30", "S|2023|7", "S|2024|7", "W|2024|4", "NULL|2024|1"],
    ),
    // For the three readings: 8 of N, 8 of S and 1 of W.
    (
        &[YEARS],
        "SELECT count(*) FROM y AS a, y AS b, y AS c WHERE a.region = b.region AND b.region = c.region",
        &["17"],
    ),
    (
        &[YEARS],
        "SELECT region, goal FROM west.samples.target WHERE region IN (SELECT region FROM y WHERE s >= 15) \
         OR goal IN (SELECT s FROM y)",
        &["N|20", "S|7"],
    ),
    // NULL is not in the list, but might be.
    (&[YEARS], "SELECT count(*) FROM y WHERE region NOT IN (SELECT region FROM y WHERE s < 5)", &["0"]),
    (
        &[YEARS],
        "SELECT g.region FROM west.samples.target AS g WHERE NOT EXISTS (SELECT 1 FROM y WHERE y.region = g.region) \
         AND g.region NOT IN (SELECT region FROM y WHERE region IS NOT NULL)",
        &["E"],
    ),
    // Ranks, each with the next one.
    (
        &[YEARS, RANKS],
        "SELECT a.yr, a.region, b.region FROM r AS a JOIN r AS b ON a.yr = b.yr AND b.k = a.k + 1",
        &["2023|N|S", "2024|N|S", "2024|S|W", "2024|W|NULL"],
    ),
    (
        &[YEARS, "z AS (SELECT region, max(s) AS m FROM y GROUP BY region)"],
        "SELECT y.region, y.yr FROM y JOIN z ON y.region = z.region AND y.s = z.m",
        &["N|2024", "S|2023", "S|2024", "W|2024"],
    ),
    (
        &[YEARS, BEST],
        "SELECT (SELECT count(*) FROM best), (SELECT sum(s) FROM best), (SELECT min(s) FROM best)",
        &["3|52|7"],
    ),
    (&[YEARS, BEST], "SELECT count(*) FROM best AS a JOIN best AS b ON a.region = b.region", &["5"]),
    (&[YEARS, BEST], "SELECT region, yr FROM y EXCEPT SELECT region, yr FROM best", &["S|2024", "W|2024", "NULL|2024"]),
    // Parts over two owners.
    (&[REACHED], "SELECT a.region, b.region FROM t AS a JOIN t AS b ON a.s > b.s", &["N|S"]),
    (
        &[REACHED],
        "SELECT region FROM t WHERE s >= goal UNION ALL SELECT region FROM t WHERE s IS NULL",
        &["N", "S", "E", "NULL"],
    ),
    (&[REACHED], "SELECT count(*) FROM t AS a, t AS b WHERE a.goal = b.goal AND a.s = b.s", &["2"]),
    // NULL has no match on either side.
    (
        &[REGIONS],
        "SELECT count(*), count(a.region), count(b.region) FROM d AS a FULL JOIN d AS b ON a.region = b.region",
        &["5|3|3"],
    ),
    (
        &[REGIONS],
        "SELECT region FROM d UNION ALL SELECT region FROM d WHERE region > 'N'",
        &["N", "S", "W", "NULL", "S", "W"],
    ),
];

fn text((with, query, _): &(&[&str], &str, &[&str])) -> String {
    format!("WITH {} {query}", with.join(", "))
}

async fn mesh() -> Ways {
    Ways::of_tables(&[("east", "sale", sales()), ("west", "target", targets())]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_read_with_queries_twice_have_their_values() {
    within(900, async {
        let ways = mesh().await;
        let mut sharing = 0;
        for query in QUERIES {
            let sql = text(query);
            ways.gives(&sql, query.2).await;
            let (_, plan) = ways.in_one_process(&format!("EXPLAIN {sql}")).await.unwrap();
            sharing += usize::from(lines(&plan).join("\n").contains("shared part 1"));
        }
        assert!(sharing >= SHARING, "only {sharing} of {} queries share a part", QUERIES.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_returns_the_same_rows() {
    within(300, async {
        let Some(python) = python() else {
            eprintln!("SKIPPED: without DuckDB, the rows of shared parts are NOT compared with DuckDB's");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let ports = [("east.samples.sale", sales()), ("west.samples.target", targets())].map(|(name, rows)| {
            let file = folder.path().join(format!("{name}.parquet"));
            write_parquet(&file, &rows);
            PortFiles { name: name.to_owned(), files: vec![file] }
        });
        let duckdb = DuckDb::start(&python, &["SET threads = 1"], &ports).await.unwrap();
        let ways = mesh().await;
        for query in QUERIES {
            let sql = text(query);
            let theirs = duckdb.query(&sql).await.unwrap_or_else(|e| panic!("DuckDB: {e}\n{sql}"));
            let ours = ways.in_one_process(&sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
            compare_with_duckdb(&theirs, &ours, &Order::Any).unwrap_or_else(|how| panic!("{how}\n{sql}"));
        }
    })
    .await;
}
