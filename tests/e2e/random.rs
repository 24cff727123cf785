//! Random queries return the same rows whether they are placed freely, placed in a forced way, unplaced, or run in one
//! process. The query's index determines the forced way, so that all ways are used.
//!
//! The test runs a few hundred queries with a fixed seed. By hand, it runs any number:
//!
//! ```sh
//! PORTOLAN_RANDOM_QUERIES=10000 PORTOLAN_RANDOM_SEED=7 cargo test --workspace --test e2e random -- --nocapture
//! ```
//!
//! `PORTOLAN_RANDOM_INDEX=42` runs only that query and shows it. `PORTOLAN_RANDOM_SQL='SELECT …'` shows the given query
//! instead. With `PORTOLAN_RANDOM_DATABASES=1`, the ports of each domain are tables of a database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod duckdb;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use futures::StreamExt;
use portolan_testbed::compare::Order;
use portolan_testbed::tpch::cache;
use portolan_tests::forced::{FORCED, Forced};
use portolan_tests::random_queries::{Outcome, RandomQuery, SCALE, Trial, random_query, shrunk};
use tempfile::TempDir;

const QUERIES: u64 = 400;
const SEED: u64 = 20;
/// The number of queries that run at once.
const AT_ONCE: usize = 3;
/// The number of differences after which a run by hand stops.
const MAX_DIFFERENCES: usize = 25;

/// Queries that once returned other rows in one of the ways, each with the number of its rows.
const ONCE_DIFFERENT: &[(&str, usize)] = &[
    (
        "SELECT c0, count(*) OVER () AS c1, count(*) OVER (PARTITION BY c0) AS c2 \
         FROM (SELECT r_name AS c0 FROM geo.places.region) AS t ORDER BY 1, 2, 3 DESC LIMIT 1",
        1,
    ),
    (
        "SELECT count(*) FROM ((SELECT trim(o_orderpriority) AS c0, o_shippriority > 5 AS c1 FROM sales.orders.orders) \
         UNION ALL (SELECT COALESCE(o_orderstatus, 'P') AS c0, true AS c1 FROM sales.orders.orders)) AS t1 \
         GROUP BY t1.c1 IS TRUE",
        2,
    ),
    (
        "SELECT k, count(*), sum(v), avg(f), min(v), count(v) FROM \
         (SELECT c_nationkey AS k, c_acctbal AS v, CAST(c_custkey AS DOUBLE) AS f FROM sales.customers.customer \
         UNION ALL SELECT s_nationkey, s_acctbal, CAST(s_suppkey AS DOUBLE) FROM supply.suppliers.supplier) t \
         WHERE k < 5 GROUP BY k",
        5,
    ),
    // A group below the join counts all its rows, once for each row that it matches.
    (
        "SELECT r_name, count(c_acctbal), sum(c_acctbal), max(c_acctbal) FROM sales.customers.customer \
         JOIN geo.places.nation ON c_nationkey = n_nationkey JOIN geo.places.region ON n_regionkey <> r_regionkey \
         GROUP BY r_name",
        5,
    ),
    // An owner without rows has no groups either.
    (
        "SELECT n_name, count(c_acctbal), sum(c_acctbal) FROM sales.customers.customer CROSS JOIN geo.places.nation \
         WHERE c_acctbal > 1000000 GROUP BY n_name",
        0,
    ),
    // Join keys for the second of two columns with the same name do not apply to the first.
    (
        "SELECT t1.n_nationkey, t2.n_nationkey FROM supply.suppliers.supplier t3 JOIN (geo.places.nation t1 \
         JOIN geo.places.nation t2 ON t1.n_regionkey = t2.n_regionkey) ON t2.n_nationkey = t3.s_nationkey",
        100,
    ),
    (
        "SELECT p0, sum(c_acctbal) FROM sales.customers.customer \
         JOIN (SELECT n_nationkey, n_name AS p0 FROM geo.places.nation) n ON c_nationkey = n_nationkey \
         WHERE n_nationkey < 3 GROUP BY p0",
        3,
    ),
    // An owner combines an offset without a limit with the limit above it.
    (
        "SELECT count(*) FROM supply.parts.part WHERE EXISTS \
         (SELECT ps_suppkey FROM supply.parts.partsupp JOIN supply.suppliers.supplier ON ps_suppkey = s_suppkey OFFSET 2)",
        1,
    ),
];

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected an integer, got `{text}`")))
}

/// Returns the mesh, and the folder with its data.
pub(crate) async fn trial() -> (TempDir, Trial) {
    let folder = tempfile::tempdir().unwrap();
    let data = cache::ensure(folder.path(), SCALE, &|_, _| {}, &AtomicBool::new(false)).unwrap();
    let trial = match std::env::var("PORTOLAN_RANDOM_DATABASES") {
        Ok(_) => Trial::start_behind_databases(&data).await.unwrap(),
        Err(_) => Trial::start(&data).await.unwrap(),
    };
    (folder, trial)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn placed_queries_return_the_rows_of_unplaced_ones() {
    placed().await;
}

pub(crate) async fn placed() {
    let (_folder, trial) = trial().await;

    if let Ok(sql) = std::env::var("PORTOLAN_RANDOM_SQL") {
        println!("{}", trial.show(&sql).await.unwrap());
        return;
    }

    for (sql, rows) in ONCE_DIFFERENT {
        for forced in FORCED {
            match trial.run(sql, &Order::Any, forced).await {
                Outcome::Equal(found) => assert_eq!(found, *rows, "{sql}"),
                Outcome::Refused(why) | Outcome::Different(why) => panic!("{sql}\n{why}"),
            }
        }
    }

    let seed = variable("PORTOLAN_RANDOM_SEED").unwrap_or(SEED);
    let indices = match variable("PORTOLAN_RANDOM_INDEX") {
        Some(index) => index..index + 1,
        None => 0..variable("PORTOLAN_RANDOM_QUERIES").unwrap_or(QUERIES),
    };
    let alone = indices.end - indices.start == 1;
    let total = indices.end - indices.start;
    let mut outcomes = futures::stream::iter(indices)
        .map(|index| {
            let query = random_query(seed, index);
            if alone {
                println!("{}", query.sql);
            }
            let trial = &trial;
            async move {
                let forced = forced(index);
                let outcome = trial.run(&query.sql, &query.order, forced).await;
                let strategies = trial.strategies(&query.sql, forced).await;
                (index, query, outcome, strategies)
            }
        })
        .buffered(AT_ONCE);

    let mut tally = Tally::default();
    let mut differences = vec![];
    while let Some((index, query, outcome, strategies)) = outcomes.next().await {
        tally.count(&query, &outcome);
        tally.count_forced(forced(index), &outcome, &strategies);
        match outcome {
            Outcome::Different(how) => {
                let text = report(&trial, seed, index, &query, &how).await;
                println!("{text}\n");
                differences.push(text);
                if differences.len() >= MAX_DIFFERENCES {
                    break;
                }
            }
            Outcome::Refused(why) if total != QUERIES => println!("refused, index {index}: {why}\n  {}", query.sql),
            Outcome::Refused(_) => {}
            Outcome::Equal(rows) if alone => println!("{rows} rows"),
            Outcome::Equal(_) => {}
        }
    }
    println!("{tally}");
    assert!(differences.is_empty(), "{} differences, first:\n{}", differences.len(), differences[0]);
    let succeeded = tally.equal as f64 / total as f64;
    assert!(succeeded > 0.9 || total < 100, "only {:.0} % of the queries ran", succeeded * 100.0);
}

/// Returns the way that is forced on the query at an index.
fn forced(index: u64) -> &'static Forced {
    &FORCED[index as usize % FORCED.len()]
}

/// Returns the difference, with the simplest query that shows it.
async fn report(trial: &Trial, seed: u64, index: u64, query: &RandomQuery, how: &str) -> String {
    // Simpler queries have fewer columns to order by: the order is kept only if the order differs.
    let difference = async |sql: &str| match trial.run(sql, &Order::Any, forced(index)).await {
        Outcome::Different(how) => Some(how),
        _ => None,
    };
    let (sql, how) = match difference(&query.sql).await {
        Some(_) => shrunk(&query.sql, how, difference).await,
        None => (query.sql.clone(), how.to_owned()),
    };
    format!("seed {seed}, index {index}: {how}\nshrunk: {sql}\nwhole: {}", query.sql)
}

/// The outcomes by kind of query.
#[derive(Default)]
struct Tally {
    equal: usize,
    refused: usize,
    rows: usize,
    empty: usize,
    kinds: BTreeMap<&'static str, (usize, usize)>,
    /// For each forced way: the number of equal queries, the number of all queries, and how many had an edge of each
    /// strategy.
    forced: BTreeMap<&'static str, (usize, usize, BTreeMap<String, usize>)>,
}

impl Tally {
    fn count(&mut self, query: &RandomQuery, outcome: &Outcome) {
        let ran = match outcome {
            Outcome::Equal(rows) => {
                self.equal += 1;
                self.rows += rows;
                self.empty += usize::from(*rows == 0);
                true
            }
            Outcome::Refused(_) => {
                self.refused += 1;
                false
            }
            Outcome::Different(_) => false,
        };
        for kind in &query.kinds {
            let counts = self.kinds.entry(kind).or_default();
            counts.0 += usize::from(ran);
            counts.1 += 1;
        }
    }
}

impl Tally {
    fn count_forced(&mut self, forced: &Forced, outcome: &Outcome, strategies: &[String]) {
        let (equal, all, by_strategy) = self.forced.entry(forced.name).or_default();
        *equal += usize::from(matches!(outcome, Outcome::Equal(_)));
        *all += 1;
        for strategy in strategies.iter().collect::<BTreeSet<_>>() {
            *by_strategy.entry(strategy.clone()).or_default() += 1;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} queries equal ({} without rows, {} rows in all), {} refused in every way; equal of all, by kind:",
            self.equal, self.empty, self.rows, self.refused
        )?;
        for (kind, (ran, all)) in &self.kinds {
            writeln!(f, "  {kind}: {ran} of {all}")?;
        }
        writeln!(f, "equal of all, by the forced way, with the number of queries that have edges of each strategy:")?;
        for (name, (equal, all, strategies)) in &self.forced {
            let strategies: Vec<_> = strategies.iter().map(|(strategy, n)| format!("{strategy} {n}")).collect();
            writeln!(f, "  {name}: {equal} of {all} ({})", strategies.join(", "))?;
        }
        Ok(())
    }
}
