//! Measures the bytes across edges for the planner's choice, and compares them with gathering and with the best of all
//! placements. The benchmark finds the best placement by trying every list of strategies for the joins across sites.

use std::collections::BTreeSet;

use portolan_node::client::Client;
use portolan_node::{Error, Result};
use portolan_testbed::mesh::LocalMesh;
use portolan_testbed::tpch::Query;
use serde_json::{Value, json};

use crate::asked::{Answer, GATHERED, JOINS_GATHERED, UNPLACED, session, set};
use crate::chosen;
use crate::explained::Explained;
use crate::table::{Table, geometric_mean, percentile};

const STRATEGIES: [&str; 5] = ["gather", "keys_from_left", "keys_from_right", "delegate_to_left", "delegate_to_right"];
const LEAST_BYTES: u64 = 1000;

/// The bounds of the enumeration.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The largest number of ports of a query that is enumerated.
    pub relations: usize,
    /// The largest number of lists that are tried for a query and an order of joins.
    pub lists: usize,
}

/// The sessions that are compared.
struct Sessions {
    chosen: Client,
    gathered: Client,
    joins_gathered: Client,
    unplaced: Client,
    forced: Client,
}

/// The best placement of a query.
struct Best {
    bytes: u64,
    how: String,
    /// The number of distinct plans among the lists.
    plans: usize,
    /// The number of lists that were tried, and the number of all lists.
    tried: (usize, usize),
}

/// The measurements of one query.
struct Compared {
    query: &'static Query,
    /// True if the query reads several domains.
    crosses: bool,
    chosen: u64,
    gathered: u64,
    joins_gathered: u64,
    best: Option<Best>,
    /// True if an edge of the chosen plan was stopped before its end.
    stopped: bool,
}

/// Measures the queries, and returns a table with one row for each query.
///
/// # Errors
/// A query that fails with the chosen plan or with gathering. The table lists forced plans that fail or return other
/// rows.
pub async fn measure(mesh: &LocalMesh, queries: &[u32], runs: u32, bounds: Bounds) -> Result<Table> {
    let sessions = Sessions {
        chosen: session(mesh, &[]).await?,
        gathered: session(mesh, GATHERED).await?,
        joins_gathered: session(mesh, JOINS_GATHERED).await?,
        unplaced: session(mesh, UNPLACED).await?,
        forced: session(mesh, &[]).await?,
    };
    let (mut all, mut faults) = (vec![], vec![]);
    for query in chosen(queries) {
        all.push(sessions.compared(query, runs, bounds, &mut faults).await?);
    }
    Ok(table(&all, runs, faults))
}

impl Sessions {
    async fn compared(
        &self,
        query: &'static Query,
        runs: u32,
        bounds: Bounds,
        faults: &mut Vec<String>,
    ) -> Result<Compared> {
        let expected = Answer::of(&self.unplaced, query.sql).await?;
        let plan = Explained::of(&self.unplaced, query.sql, false).await?;
        let (crosses, relations) = (plan.domains().len() > 1, plan.relations());
        eprintln!("query {}: {relations} relations", query.number);
        let median = async |client: &Client| {
            let mut bytes = vec![];
            for _ in 0..runs {
                let answer = Answer::of(client, query.sql).await?;
                answer.same_as(expected.result(), query)?;
                bytes.push(answer.bytes() as f64);
            }
            Ok::<_, Error>(percentile(&bytes, 0.5).unwrap_or_default() as u64)
        };
        let (gathered, joins_gathered) = (median(&self.gathered).await?, median(&self.joins_gathered).await?);
        let chosen = median(&self.chosen).await?;
        let stopped = Answer::of(&self.chosen, query.sql).await?.was_stopped();
        let best = match crosses && relations <= bounds.relations {
            true => Some(self.best(query, &expected, chosen, bounds, faults).await?),
            false => None,
        };
        if let Some(best) = best.as_ref().filter(|b| b.bytes < chosen) {
            eprintln!("query {}: {} bytes chosen, {} by {}", query.number, chosen, best.bytes, best.how);
        }
        Ok(Compared { query, crosses, chosen, gathered, joins_gathered, best, stopped })
    }

    /// Tries every list of strategies, with both orders of joins. Does not run the same plan again.
    async fn best(
        &self,
        query: &Query,
        expected: &Answer,
        chosen: u64,
        bounds: Bounds,
        faults: &mut Vec<String>,
    ) -> Result<Best> {
        let client = &self.forced;
        let mut best = Best { bytes: chosen, how: "as chosen".into(), plans: 0, tried: (0, 0) };
        let mut seen = BTreeSet::new();
        for order in ["on", "off"] {
            set(client, "join_order", order).await?;
            set(client, "strategy", "gather").await?;
            let joins = Explained::of(client, query.sql, false).await?.joins_across();
            let all = STRATEGIES.len().saturating_pow(joins as u32);
            best.tried.1 = best.tried.1.saturating_add(all);
            for number in 0..all.min(bounds.lists) {
                best.tried.0 += 1;
                let words = list(number, joins);
                set(client, "strategy", &words).await?;
                let how = format!("{words}, join_order {order}");
                let plan = Explained::of(client, query.sql, false).await;
                let answer = match plan {
                    Ok(plan) if !seen.insert(plan.fingerprint()) => continue,
                    Ok(_) => Answer::of(client, query.sql).await,
                    Err(error) => Err(error),
                };
                best.plans += 1;
                match answer.and_then(|answer| answer.same_as(expected.result(), query).map(|()| answer.bytes())) {
                    Ok(bytes) if bytes < best.bytes => (best.bytes, best.how) = (bytes, how),
                    Ok(_) => {}
                    Err(error) => faults.push(format!("query {} by {how}: {}", query.number, error.owner_chain())),
                }
            }
        }
        Ok(best)
    }
}

/// Returns the ratio of two numbers of bytes. Fewer than [`LEAST_BYTES`] count as that many, because a message's own
/// headers take about as much.
fn ratio(more: u64, fewer: u64) -> f64 {
    more.max(LEAST_BYTES) as f64 / fewer.max(LEAST_BYTES) as f64
}

/// Returns the list with this number. The digits of the number are strategies.
fn list(mut number: usize, joins: usize) -> String {
    let mut words = vec![];
    for _ in 0..joins.max(1) {
        words.push(STRATEGIES[number % STRATEGIES.len()]);
        number /= STRATEGIES.len();
    }
    words.join(",")
}

fn table(all: &[Compared], runs: u32, faults: Vec<String>) -> Table {
    let row = |c: &Compared| {
        let best = c.best.as_ref();
        let lists = |b: &Best| format!("{} ({} plans, {} of {} lists)", b.how, b.plans, b.tried.0, b.tried.1);
        vec![
            json!(c.query.number),
            json!(c.chosen),
            json!(c.gathered),
            json!(ratio(c.gathered, c.chosen)),
            json!(c.joins_gathered),
            json!(ratio(c.joins_gathered, c.chosen)),
            json!(best.map(|b| b.bytes)),
            json!(best.map(|b| ratio(c.chosen, b.bytes))),
            json!(best.map(lists)),
        ]
    };
    let over = |queries: &dyn Fn(&&Compared) -> bool, bytes: fn(&Compared) -> u64| -> Value {
        let ratios: Vec<f64> = all.iter().filter(queries).map(|c| ratio(bytes(c), c.chosen)).collect();
        json!(geometric_mean(&ratios))
    };
    let above: Vec<f64> = all.iter().filter_map(|c| c.best.as_ref().map(|b| ratio(c.chosen, b.bytes))).collect();
    let crosses = |c: &&Compared| c.crosses;
    let stopped = all.iter().filter(|c| c.stopped).map(|c| c.query.number.to_string()).collect::<Vec<_>>().join(", ");
    Table {
        title: format!("bytes across edges, rows and keys, medians of {runs} runs"),
        columns: vec![
            "query",
            "chosen",
            "gathered",
            "gathered / chosen",
            "joins gathered",
            "joins gathered / chosen",
            "best",
            "chosen / best",
            "best placement",
        ],
        rows: all.iter().map(row).collect(),
        summary: vec![
            ("gathered / chosen, geometric mean", over(&|_| true, |c| c.gathered)),
            ("the same over queries of several domains", over(&crosses, |c| c.gathered)),
            ("joins gathered / chosen, queries of several domains", over(&crosses, |c| c.joins_gathered)),
            ("chosen / best, geometric mean", json!(geometric_mean(&above))),
            ("chosen / best, largest", json!(percentile(&above, 1.0))),
            (
                "queries with a cancelled edge, whose owner does not report the bytes that it fetched",
                json!((!stopped.is_empty()).then_some(&stopped)),
            ),
            ("forced plans that failed or returned other rows", json!(faults.len())),
        ],
        faults,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_to_nothing_is_as_little_as_nothing() {
        assert_eq!((ratio(3000, 1500), ratio(388, 0), ratio(2000, 0)), (2.0, 1.0, 2.0));
    }

    #[test]
    fn every_list_is_another() {
        let lists: BTreeSet<_> = (0..125).map(|n| list(n, 3)).collect();
        assert_eq!(lists.len(), 125);
        assert_eq!(list(0, 2), "gather,gather");
        assert_eq!(list(9, 2), "delegate_to_right,keys_from_left");
        assert_eq!(list(1, 0), "keys_from_left");
    }
}
