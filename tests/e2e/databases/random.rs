//! Random queries over ports in databases return the rows of one process over files: placed freely, in a forced way and
//! unplaced. A part is compared with DuckDB.
//!
//! `PORTOLAN_RANDOM_QUERIES` and `PORTOLAN_RANDOM_SEED` choose the queries of a run by hand, and `PORTOLAN_RANDOM_SOURCE`
//! (`postgres`, `mariadb`, `sqlite`) one of the databases:
//!
//! ```sh
//! PORTOLAN_RANDOM_QUERIES=2000 PORTOLAN_RANDOM_SOURCE=postgres \
//!   cargo test --workspace --test e2e databases::random -- --nocapture
//! ```

use std::sync::atomic::AtomicBool;

use futures::StreamExt;
use portolan_catalog::DatabaseKind;
use portolan_testbed::compare::Order;
use portolan_testbed::tpch::cache;
use portolan_tests::forced::FORCED;
use portolan_tests::mesh::within;
use portolan_tests::random_queries::{Outcome, RandomQuery, SCALE, Trial, Verdict, random_query, simpler};
use portolan_tests::servers::KINDS;

use super::name;

/// The number of queries over each database.
const QUERIES: u64 = 150;
const SEED: u64 = 33;
const AT_ONCE: usize = 3;
/// Each query of this many is compared with DuckDB, too.
const IN_DUCKDB: u64 = 3;
/// The number of differences after which a run stops.
const MAX_DIFFERENCES: usize = 25;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: expected an integer, got `{text}`")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_over_databases_return_the_rows_of_files() {
    let queries = variable("PORTOLAN_RANDOM_QUERIES").unwrap_or(QUERIES);
    let seed = variable("PORTOLAN_RANDOM_SEED").unwrap_or(SEED);
    let source = std::env::var("PORTOLAN_RANDOM_SOURCE").ok();
    within(900 + 6 * queries, async {
        let folder = tempfile::tempdir().unwrap();
        let data = cache::ensure(folder.path(), SCALE, &|_, _| {}, &AtomicBool::new(false)).unwrap();
        for kind in KINDS.into_iter().filter(|kind| source.as_deref().is_none_or(|name| name == kind.type_name())) {
            let trial = Trial::start_in(kind, &name(kind, "random"), &data).await.unwrap();
            let Some(trial) = trial else { continue };
            let indices = match variable("PORTOLAN_RANDOM_INDEX") {
                Some(index) => index..index + 1,
                None => 0..queries,
            };
            run(kind, &trial, seed, indices).await;
        }
    })
    .await;
}

async fn run(kind: DatabaseKind, trial: &Trial, seed: u64, indices: std::ops::Range<u64>) {
    let total = indices.end - indices.start;
    let mut outcomes = futures::stream::iter(indices)
        .map(|index| async move {
            let query = random_query(seed, index);
            let outcome = trial.run(&query.sql, &query.order, &FORCED[index as usize % FORCED.len()]).await;
            let verdict = if index % IN_DUCKDB == 0 { trial.judge(&query, index as usize).await } else { None };
            (index, query, outcome, verdict)
        })
        .buffered(AT_ONCE);
    let (mut equal, mut in_duckdb, mut differences) = (0, 0, vec![]);
    while let Some((index, query, outcome, verdict)) = outcomes.next().await {
        match outcome {
            Outcome::Equal(_) => equal += 1,
            Outcome::Refused(why) if total != QUERIES => println!("refused, index {index}: {why}\n  {}", query.sql),
            Outcome::Refused(_) => {}
            Outcome::Different(how) => differences.push(shrunk(trial, seed, index, &query, &how).await),
        }
        match verdict {
            Some(Verdict::Equal(_)) => in_duckdb += 1,
            Some(Verdict::Different(how)) => {
                differences.push(format!("seed {seed}, index {index}: {how}\n{}", query.sql))
            }
            _ => {}
        }
        if differences.len() >= MAX_DIFFERENCES {
            break;
        }
    }
    println!("{kind:?}: {equal} of {total} queries are equal, {in_duckdb} of them in DuckDB");
    assert!(differences.is_empty(), "{kind:?}: {} differences:\n{}", differences.len(), differences.join("\n\n"));
    assert!(equal * 10 > total * 9 || total < 100, "{kind:?}: only {equal} of {total} queries ran");
}

/// Returns the difference, with the simplest query that shows it.
async fn shrunk(trial: &Trial, seed: u64, index: u64, query: &RandomQuery, how: &str) -> String {
    let forced = &FORCED[index as usize % FORCED.len()];
    let (mut sql, mut how) = (query.sql.clone(), how.to_owned());
    // Simpler queries have fewer columns to order by.
    let mut shrinking = matches!(trial.run(&sql, &Order::Any, forced).await, Outcome::Different(_));
    while shrinking {
        shrinking = false;
        for candidate in simpler(&sql).into_iter().filter(|candidate| candidate.len() < sql.len()) {
            if let Outcome::Different(still) = trial.run(&candidate, &Order::Any, forced).await {
                (sql, how, shrinking) = (candidate, still, true);
                break;
            }
        }
    }
    format!("seed {seed}, index {index}: {how}\nshrunk: {sql}\nwhole: {}", query.sql)
}
