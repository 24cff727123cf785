//! Compares random queries with DuckDB, which shares no code with Portolan. This finds faults that placed and unplaced
//! execution have in common. Each query runs in one way, and the ways take turns.
//!
//! The test runs a few hundred queries with a fixed seed. By hand it runs any number, with the variables of the other
//! random test.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use portolan_testbed::compare::Order;
use portolan_tests::mesh::within;
use portolan_tests::random_queries::{RandomQuery, Trial, Verdict, random_query, simpler};

use super::{AT_ONCE, MAX_DIFFERENCES, trial, variable};

const QUERIES: u64 = 300;
const SEED: u64 = 7;
/// The largest share of refused queries.
const MAX_REFUSED: f64 = 0.05;
/// The smallest share of queries that must be compared and be equal.
const MIN_EQUAL: f64 = 0.9;
/// The smallest number of queries for which the share has a meaning.
const FEW: usize = 100;
/// The time limit of each query, in seconds.
const SECONDS: u64 = 3;
/// The time limit of a simpler query: a slower one is not simpler.
const SHRINK_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit for simplifying a query.
const MAX_SHRINKING: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_return_the_rows_of_duckdb() {
    beside_duckdb().await;
}

pub(crate) async fn beside_duckdb() {
    let seed = variable("PORTOLAN_RANDOM_SEED").unwrap_or(SEED);
    let indices = match variable("PORTOLAN_RANDOM_INDEX") {
        Some(index) => index..index + 1,
        None => 0..variable("PORTOLAN_RANDOM_QUERIES").unwrap_or(QUERIES),
    };
    let by_hand = indices.end - indices.start != QUERIES;
    within(600 + SECONDS * (indices.end - indices.start), async {
        let (_folder, trial) = trial().await;
        let mut verdicts = futures::stream::iter(indices)
            .map(|index| {
                let (query, trial) = (random_query(seed, index), &trial);
                async move {
                    let verdict = trial.judge(&query, index as usize).await;
                    (index, query, verdict)
                }
            })
            .buffered(AT_ONCE);

        let mut tally = Tally::default();
        let mut differences = vec![];
        while let Some((index, query, verdict)) = verdicts.next().await {
            let Some(verdict) = verdict else {
                eprintln!("SKIPPED: without DuckDB, wrong rows that are the same in every way are NOT found");
                return;
            };
            tally.count(&query, &verdict);
            match verdict {
                Verdict::Different(how) => {
                    let text = report(&trial, seed, index, &query, &how).await;
                    println!("{text}\n");
                    differences.push(text);
                    if differences.len() >= MAX_DIFFERENCES {
                        break;
                    }
                }
                Verdict::Refused(why) if by_hand => println!("refused, index {index}: {why}\n  {}", query.sql),
                Verdict::Skipped(why) if by_hand => println!("not compared, index {index}: {why}\n  {}", query.sql),
                _ => {}
            }
        }
        println!("{tally}");
        assert!(differences.is_empty(), "{} differences, first:\n{}", differences.len(), differences[0]);
        let (refused, all) = (tally.refusals(), tally.all());
        let share = refused as f64 / all as f64;
        assert!(share < MAX_REFUSED || all < FEW, "{refused} of {all} queries were refused:\n{tally}");
        let enough = tally.equal as f64 > MIN_EQUAL * all as f64;
        assert!(enough || all < FEW, "only {} of {all} queries were compared:\n{tally}", tally.equal);
    })
    .await;
}

/// Returns the difference, with the simplest query that shows it.
async fn report(trial: &Trial, seed: u64, index: u64, query: &RandomQuery, how: &str) -> String {
    let judge = async |sql: &str, order: &Order| {
        let query = RandomQuery { sql: sql.to_owned(), order: order.clone(), kinds: query.kinds.clone() };
        // A join without conditions may take minutes, and is no simpler.
        match tokio::time::timeout(SHRINK_TIMEOUT, trial.judge(&query, index as usize)).await {
            Ok(Some(Verdict::Different(how))) => Some(how),
            _ => None,
        }
    };
    let started = Instant::now();
    let (mut sql, mut how) = (query.sql.clone(), how.to_owned());
    // Simpler queries have fewer columns to order by: the order is kept only if the order differs.
    if judge(&sql, &Order::Any).await.is_some() {
        let mut shrinking = true;
        while shrinking {
            shrinking = false;
            for candidate in simpler(&sql).into_iter().filter(|c| c.len() < sql.len()) {
                if started.elapsed() > MAX_SHRINKING {
                    break;
                }
                if let Some(still) = judge(&candidate, &Order::Any).await {
                    (sql, how, shrinking) = (candidate, still, true);
                    break;
                }
            }
        }
    }
    format!("seed {seed}, index {index}: {how}\nshrunk: {sql}\nwhole: {}", query.sql)
}

/// The numbers of compared, refused and skipped queries.
#[derive(Default)]
struct Tally {
    equal: usize,
    different: usize,
    rows: usize,
    empty: usize,
    /// The number of refused queries by message.
    refused: BTreeMap<String, usize>,
    /// The number of skipped queries by reason.
    skipped: BTreeMap<String, usize>,
    /// The numbers of compared and of all queries by kind.
    kinds: BTreeMap<&'static str, (usize, usize)>,
}

impl Tally {
    fn count(&mut self, query: &RandomQuery, verdict: &Verdict) {
        let mut compared = true;
        match verdict {
            Verdict::Equal(rows) => {
                self.equal += 1;
                self.rows += rows;
                self.empty += usize::from(*rows == 0);
            }
            Verdict::Different(_) => self.different += 1,
            Verdict::Refused(why) => {
                compared = false;
                *self.refused.entry(gist(why)).or_default() += 1;
            }
            Verdict::Skipped(why) => {
                compared = false;
                *self.skipped.entry(gist(why)).or_default() += 1;
            }
        }
        for kind in &query.kinds {
            let counts = self.kinds.entry(kind).or_default();
            counts.0 += usize::from(compared);
            counts.1 += 1;
        }
    }

    fn refusals(&self) -> usize {
        self.refused.values().sum()
    }

    fn all(&self) -> usize {
        self.equal + self.different + self.refusals() + self.skipped.values().sum::<usize>()
    }
}

/// Returns the start of a message, without numbers and names.
fn gist(message: &str) -> String {
    const LONGEST: usize = 160;
    let line = message.lines().next().unwrap_or_default();
    let mut gist = String::new();
    for c in line.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if !(c == '#' && gist.ends_with('#')) {
            gist.push(c);
        }
    }
    gist.chars().take(LONGEST).collect()
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "compared with DuckDB: {} queries equal ({} without rows, {} rows in all), {} different, {} refused, {} not compared",
            self.equal,
            self.empty,
            self.rows,
            self.different,
            self.refusals(),
            self.skipped.values().sum::<usize>()
        )?;
        for (title, counts) in [("refused", &self.refused), ("not compared", &self.skipped)] {
            for (why, count) in counts {
                writeln!(f, "  {title}: {count} × {why}")?;
            }
        }
        writeln!(f, "compared of all, by kind:")?;
        for (kind, (compared, all)) in &self.kinds {
            writeln!(f, "  {kind}: {compared} of {all}")?;
        }
        Ok(())
    }
}
