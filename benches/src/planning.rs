//! Measures the time of planning: joins of many relations in several shapes, over catalogs of several sizes. Peers
//! publish the catalogs, with statistics and with links between all peers.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use portolan_catalog::{ColumnStatistics, DomainCatalog, DomainName, Port, PortRef, PortStatistics, StatisticValue};
use portolan_connectors::testing::{self, FakePeer, column};
use portolan_connectors::{OwnerKey, Reach};
use portolan_engine::{Engine, Principal, Session};
use portolan_node::Result;
use serde_json::json;

use crate::measure::median;
use crate::table::Table;

const DOMAINS: usize = 10;
/// The number of domains that a query reads. Neighbouring relations are in different domains, and each domain has
/// several relations.
const DOMAINS_READ: usize = 3;
const COLUMNS: usize = 16;
const SHAPES: [&str; 3] = ["chain", "star", "clique"];
const TWELVE: [&str; 3] = [
    "chain of 12 relations, slowest catalog, ms",
    "star of 12 relations, slowest catalog, ms",
    "clique of 12 relations, slowest catalog, ms",
];
const LATENCY_MS: f64 = 1.0;
/// The bandwidth, in bytes per second.
const BANDWIDTH: f64 = 125e6;
/// Longer than any measurement, so that catalogs do not change.
const REFRESH_INTERVAL: Duration = Duration::from_secs(3600);

/// Measures planning, and returns a table with one row for each shape, number of relations and number of ports. Must be
/// called on a tokio runtime.
///
/// # Errors
/// A query that cannot be planned.
pub async fn measure(ports: &[u32], relations: &[u32], runs: u32) -> Result<Table> {
    let (mut rows, mut twelve) = (vec![], [0.0_f64; SHAPES.len()]);
    for &ports in ports {
        let engine = engine(ports as usize).await?;
        let session = engine.session(Principal::anonymous());
        for (shape, slowest) in SHAPES.into_iter().zip(&mut twelve) {
            for &relations in relations {
                let sql = query(shape, relations as usize);
                let (named, planned) = times(&session, &sql, runs).await?;
                eprintln!("{shape} of {relations}, {ports} ports: {planned:.1} ms");
                if relations == 12 {
                    *slowest = slowest.max(planned);
                }
                rows.push(vec![json!(shape), json!(relations), json!(ports), json!(planned), json!(named)]);
            }
        }
    }
    Ok(Table {
        title: format!("planning joins of several owners, medians of {runs} runs"),
        columns: vec!["shape", "relations", "ports in the catalog", "planning ms", "parsing and name resolution ms"],
        rows,
        summary: TWELVE
            .into_iter()
            .zip(twelve)
            .map(|(name, slowest)| (name, json!((slowest > 0.0).then_some(slowest))))
            .collect(),
        faults: vec![],
    })
}

/// Returns the median times, in milliseconds: until names are resolved, and until the plan would request the first row.
async fn times(session: &Session, sql: &str, runs: u32) -> Result<(f64, f64)> {
    let (mut named, mut planned) = (vec![], vec![]);
    // The first run warms caches and is not counted.
    for run in 0..=runs {
        let started = Instant::now();
        let prepared = session.prepare(sql).await?;
        let name_time = started.elapsed();
        // Planning is done when this returns. No rows are requested, and dropping the stream cancels the query.
        drop(prepared.execute(&[]).await?);
        if run > 0 {
            named.push(name_time);
            planned.push(started.elapsed());
        }
    }
    Ok((millis(median(named)), millis(median(planned))))
}

/// Returns an engine that knows `ports` ports in [`DOMAINS`] domains. Each domain has its own peer, which reaches all
/// others.
async fn engine(ports: usize) -> Result<Engine> {
    let mut builder = Engine::builder().refresh_interval(REFRESH_INTERVAL);
    for domain in 0..DOMAINS {
        let domains = vec![catalog(domain, ports.div_ceil(DOMAINS))];
        let peer = FakePeer::new(&url(domain), domains);
        let others = (0..DOMAINS).filter(|other| *other != domain);
        let reaches = others.map(|other| Reach {
            domain: name(other),
            owner: OwnerKey::new(url(other)),
            latency_ms: LATENCY_MS,
            bandwidth: BANDWIDTH,
        });
        peer.reach(reaches.collect());
        builder = builder.peer(peer);
    }
    let engine = builder.build()?;
    engine.refresh().await;
    Ok(engine)
}

fn url(domain: usize) -> String {
    format!("grpc://d{domain}:50051")
}

fn name(domain: usize) -> DomainName {
    DomainName::new(format!("d{domain}"))
}

fn catalog(domain: usize, ports: usize) -> DomainCatalog {
    let port = |number: usize| {
        let mut port = Port::new(PortRef::new(name(domain).as_str(), "p", format!("t{number}")));
        // Sizes of many orders of magnitude.
        let place = number * DOMAINS_READ + domain;
        let rows = 10_u64.pow(1 + (place % 6) as u32) * (1 + (place % 9) as u64);
        port.columns = (0..COLUMNS).map(|c| column(&format!("c{c}"), DataType::Int64)).collect();
        let columns = (0..COLUMNS).map(|c| (format!("c{c}"), statistics(rows, c)));
        let columns = columns.collect();
        port.statistics = Arc::new(PortStatistics { rows: Some(rows), columns, ..PortStatistics::default() });
        port
    };
    testing::catalog(name(domain).as_str(), (0..ports).map(port))
}

/// Returns the statistics of a column. The first column is a key, and each further one has fewer distinct values.
fn statistics(rows: u64, column: usize) -> ColumnStatistics {
    let distinct = (rows >> column).max(1);
    let (min, max) = (StatisticValue::Number(0.0), StatisticValue::Number(distinct as f64));
    ColumnStatistics {
        distinct: Some(distinct),
        nulls: Some(0),
        min: Some(min),
        max: Some(max),
        width: Some(8.0),
        frequent: vec![],
    }
}

/// Returns a query that joins `relations` relations: each with the next, each with the first, or each with every other.
fn query(shape: &str, relations: usize) -> String {
    let mut sql = "SELECT count(*) FROM ".to_owned();
    for r in 0..relations {
        let comma = if r == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(sql, "{comma}d{}.p.t{} AS r{r}", r % DOMAINS_READ, r / DOMAINS_READ);
    }
    let mut word = "WHERE";
    for left in 0..relations {
        for right in left + 1..relations {
            let predicate = match shape {
                "chain" if right == left + 1 => format!("r{left}.c1 = r{right}.c0"),
                "star" if left == 0 => format!("r0.c{} = r{right}.c0", right.min(COLUMNS - 1)),
                "clique" => format!("r{left}.c0 = r{right}.c0"),
                _ => continue,
            };
            let _ = write!(sql, " {word} {predicate}");
            word = "AND";
        }
    }
    sql
}

/// Returns a time in milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_join_what_their_names_say() {
        assert!(query("chain", 3).ends_with("WHERE r0.c1 = r1.c0 AND r1.c1 = r2.c0"));
        assert!(query("star", 3).ends_with("WHERE r0.c1 = r1.c0 AND r0.c2 = r2.c0"));
        assert_eq!(query("clique", 4).matches(" = ").count(), 6);
    }
}
