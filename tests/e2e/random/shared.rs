//! Random queries that read `WITH` queries several times return the same rows with sharing and without: in one process,
//! at an owner, and at the gateway, where a forced placement takes turns. The rows are compared with DuckDB's, too.
//!
//! The test runs a few hundred queries with a fixed seed. By hand it runs any number, with the variables of the other
//! random tests:
//!
//! ```sh
//! PORTOLAN_RANDOM_QUERIES=5000 PORTOLAN_RANDOM_SEED=7 cargo test --workspace --test e2e random::shared -- --nocapture
//! ```
//!
//! `PORTOLAN_RANDOM_FIRST` is the index of the first query.

use std::collections::BTreeMap;

use futures::StreamExt;
use portolan_testbed::compare::Order;
use portolan_testbed::tpch::DOMAINS;
use portolan_tests::mesh::within;
use portolan_tests::random_queries::{
    Outcome, RandomQuery, Shared, Trial, Verdict, reads_twice, repeated_query, shrunk,
};

use super::{AT_ONCE, MAX_DIFFERENCES, forced, trial, variable};

const QUERIES: u64 = 250;
const SEED: u64 = 41;
/// The time limit of each query, in seconds. A query runs eleven times.
const SECONDS: u64 = 10;
/// The number of queries after which a run by hand reports its progress.
const PROGRESS: usize = 500;
/// The smallest number of queries for which a share of them has a meaning.
const FEW: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_return_the_same_rows_with_and_without_sharing() {
    let seed = variable("PORTOLAN_RANDOM_SEED").unwrap_or(SEED);
    let indices = match variable("PORTOLAN_RANDOM_INDEX") {
        Some(index) => index..index + 1,
        None => variable("PORTOLAN_RANDOM_FIRST").unwrap_or(0)..variable("PORTOLAN_RANDOM_QUERIES").unwrap_or(QUERIES),
    };
    let total = indices.end - indices.start;
    within(600 + SECONDS * total, async {
        let (_folder, trial) = trial().await;
        let mut runs = futures::stream::iter(indices)
            .map(|index| {
                let (query, trial) = (repeated_query(seed, index), &trial);
                async move {
                    if total == 1 {
                        println!("{}", query.sql);
                    }
                    let shared = run(trial, index, &query).await;
                    (index, query, shared)
                }
            })
            .buffered(AT_ONCE);
        let (mut tally, mut differences) = (Tally::default(), vec![]);
        while let Some((index, query, shared)) = runs.next().await {
            tally.count(&query, &shared);
            if let Some(how) = difference(&shared) {
                let text = report(&trial, seed, index, &query, &how).await;
                println!("{text}\n");
                differences.push(text);
            }
            if tally.all.is_multiple_of(PROGRESS) {
                eprintln!("{} of {total} queries, {} differences", tally.all, differences.len());
            }
            if differences.len() >= MAX_DIFFERENCES {
                break;
            }
        }
        println!("{tally}");
        assert!(differences.is_empty(), "{} differences, first:\n{}", differences.len(), differences[0]);
        tally.assert_meaning();
    })
    .await;
}

async fn run(trial: &Trial, index: u64, query: &RandomQuery) -> Shared {
    let owner = DOMAINS[index as usize % DOMAINS.len()];
    trial.run_shared(query, owner, forced(index)).await
}

/// Returns how the rows of a query differ.
fn difference(shared: &Shared) -> Option<String> {
    match (&shared.outcome, &shared.verdict) {
        (Outcome::Different(how), _) | (_, Some(Verdict::Different(how))) => Some(how.clone()),
        _ => None,
    }
}

/// Returns the difference, with the simplest query that shows it.
async fn report(trial: &Trial, seed: u64, index: u64, query: &RandomQuery, how: &str) -> String {
    // Simpler queries have fewer columns to order by: the order is kept only if the order differs.
    let still_differs = async |sql: &str| {
        let query = RandomQuery { sql: sql.to_owned(), order: Order::Any, kinds: query.kinds.clone() };
        difference(&run(trial, index, &query).await)
    };
    let (sql, how) = match still_differs(&query.sql).await {
        Some(_) => shrunk(&query.sql, how, still_differs).await,
        None => (query.sql.clone(), how.to_owned()),
    };
    format!("seed {seed}, index {index}: {how}\nshrunk: {sql}\nwhole: {}", query.sql)
}

/// The numbers of queries by outcome.
#[derive(Default)]
struct Tally {
    all: usize,
    equal: usize,
    /// The equal queries with at least one row.
    with_rows: usize,
    /// The queries that read a `WITH` query at least twice.
    read_twice: usize,
    /// The queries for which one process computes a part once.
    shared: usize,
    in_duckdb: usize,
    /// False if there is no DuckDB.
    has_duckdb: bool,
    kinds: BTreeMap<&'static str, usize>,
    refused: BTreeMap<String, usize>,
}

impl Tally {
    fn count(&mut self, query: &RandomQuery, shared: &Shared) {
        self.all += 1;
        self.read_twice += usize::from(reads_twice(query));
        self.shared += usize::from(shared.has_shared_part);
        self.has_duckdb |= shared.verdict.is_some();
        self.in_duckdb += usize::from(matches!(shared.verdict, Some(Verdict::Equal(_))));
        match &shared.outcome {
            Outcome::Equal(rows) => {
                self.equal += 1;
                self.with_rows += usize::from(*rows > 0);
            }
            Outcome::Refused(why) => {
                let gist: String = why.chars().filter(|c| !c.is_ascii_digit()).take(120).collect();
                *self.refused.entry(gist).or_default() += 1;
            }
            Outcome::Different(_) => {}
        }
        for kind in &query.kinds {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }

    /// Asserts that the queries test what they are for.
    fn assert_meaning(&self) {
        assert_eq!(self.read_twice, self.all, "each query reads a `WITH` query twice");
        if self.all < FEW {
            return;
        }
        assert!(self.equal * 10 > self.all * 9, "only {} of {} queries ran:\n{self}", self.equal, self.all);
        assert!(self.with_rows * 4 > self.all, "only {} of {} queries have rows", self.with_rows, self.all);
        assert!(self.shared * 20 > self.all, "only {} of {} queries share a part", self.shared, self.all);
        match self.has_duckdb {
            true => assert!(self.in_duckdb * 10 > self.all * 8, "only {} are compared:\n{self}", self.in_duckdb),
            false => eprintln!("SKIPPED: without DuckDB, wrong rows that are the same in every way are NOT found"),
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { all, equal, with_rows, shared, in_duckdb, .. } = self;
        writeln!(
            f,
            "{equal} of {all} queries equal ({with_rows} with rows), {shared} with a shared part, {in_duckdb} as in DuckDB"
        )?;
        for (kind, count) in &self.kinds {
            writeln!(f, "  {kind}: {count}")?;
        }
        for (why, count) in &self.refused {
            writeln!(f, "  refused: {count} × {why}")?;
        }
        Ok(())
    }
}
