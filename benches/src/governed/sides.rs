//! Two meshes that return the same rows: the time of each TPC-H query through the gateway and at the owner.

use std::fmt::Write;
use std::time::Duration;

use portolan_node::client::Client;
use portolan_node::{Error, Result};
use portolan_testbed::tpch::Query;
use serde_json::{Value, json};

use super::mesh::{Mesh, Place};
use crate::asked::Answer;
use crate::chosen;
use crate::measure::{median, turns};
use crate::planning::millis;
use crate::table::Table;

/// The governed port.
pub const LINEITEM: &str = "sales.orders.lineitem";

/// A row filter that keeps about two thirds of each batch, and two masks.
pub const POLICIES: &str = r#"
forbid(principal, action == Action::"read", resource is sales::orders::lineitem)
unless { resource has l_linenumber && resource.l_linenumber <= 3 };
@mask("truncate-to-month")
forbid(principal, action == Action::"read", resource == Column::"sales.orders.lineitem.l_shipdate");
@mask("show-first-4")
forbid(principal, action == Action::"read", resource == Column::"sales.orders.lineitem.l_shipmode");
"#;

/// The rows of the governed port as a query. The modes of shipping consist of letters and spaces, which the mask replaces
/// by `x` from the fifth on.
const ROWS: &str = "(SELECT l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, \
    l_tax, l_returnflag, l_linestatus, CAST(date_trunc('month', l_shipdate) AS DATE) AS l_shipdate, l_commitdate, \
    l_receiptdate, l_shipinstruct, rpad(substr(l_shipmode, 1, 4), character_length(l_shipmode), 'x') AS l_shipmode, \
    l_comment FROM sales.orders.lineitem WHERE l_linenumber <= 3)";

/// The query of one row that measures the cost of a single read.
const POINT: &str = "SELECT o_totalprice FROM sales.orders.orders WHERE o_orderkey = 1";
/// The number of point queries in a run.
const POINTS: usize = 200;

/// A mesh, and the text of a query there.
pub struct Side<'a> {
    pub mesh: &'a Mesh,
    pub text: fn(&str) -> String,
}

/// The names of the columns and of the figures below the table.
pub struct Labels {
    pub columns: [&'static str; 8],
    pub sums: [[&'static str; 3]; 2],
    pub points: [[&'static str; 3]; 2],
}

/// The labels for two sides with these names.
macro_rules! labels {
    ($first:literal, $second:literal) => {
        $crate::governed::sides::Labels {
            columns: [
                "query",
                "rows",
                concat!("gateway, ", $first, " ms"),
                concat!("gateway, ", $second, " ms"),
                concat!("gateway, ", $first, " / ", $second),
                concat!("owner, ", $first, " ms"),
                concat!("owner, ", $second, " ms"),
                concat!("owner, ", $first, " / ", $second),
            ],
            sums: [
                [
                    concat!("gateway, ", $first, " ms, sum"),
                    concat!("gateway, ", $second, " ms, sum"),
                    concat!("gateway, ", $first, " / ", $second, ", sums"),
                ],
                [
                    concat!("owner, ", $first, " ms, sum"),
                    concat!("owner, ", $second, " ms, sum"),
                    concat!("owner, ", $first, " / ", $second, ", sums"),
                ],
            ],
            points: [
                [
                    concat!("gateway, a query of one row, ", $first, " ms"),
                    concat!("gateway, a query of one row, ", $second, " ms"),
                    concat!("gateway, a query of one row, ", $first, " / ", $second),
                ],
                [
                    concat!("owner, a query of one row, ", $first, " ms"),
                    concat!("owner, a query of one row, ", $second, " ms"),
                    concat!("owner, a query of one row, ", $first, " / ", $second),
                ],
            ],
        }
    };
}
pub(super) use labels;

const PLACES: [Place; 2] = [Place::Gateway, Place::Owner];

/// Returns a query with the filter and the masks in the place of the port.
pub fn written(sql: &str) -> String {
    let mut parts = sql.split(LINEITEM);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let alias = if part.starts_with(" AS ") { "" } else { " AS lineitem" };
        // Writing to a string does not fail.
        let _ = write!(text, "{ROWS}{alias}{part}");
    }
    text
}

/// Measures the queries at both places, and returns a table with one row for each. The first run of each query compares
/// the rows of the sides, warms the caches, and is not counted. The sides take turns to go first.
///
/// # Errors
/// A query that fails, or whose rows differ.
pub async fn measure(sides: &[Side<'_>; 2], labels: &Labels, queries: &[u32], runs: u32) -> Result<Table> {
    let clients = clients(sides).await?;
    let (mut rows, mut sums) = (vec![], [[Duration::ZERO; 2]; 2]);
    for query in chosen(queries) {
        eprintln!("query {}: at two places, one run to compare the rows, then {runs} measured runs", query.number);
        let mut cells = vec![];
        let mut count = 0;
        for (clients, sums) in clients.iter().zip(&mut sums) {
            let (found, times) = times(clients, sides, query, runs).await?;
            count = found;
            cells.extend(figures(times));
            for (sum, time) in sums.iter_mut().zip(times) {
                *sum += time;
            }
        }
        rows.push([vec![json!(query.number), json!(count)], cells].concat());
    }
    let summary = labels.sums.iter().zip(sums).flat_map(|(names, times)| names.iter().copied().zip(figures(times)));
    Ok(Table {
        title: String::new(),
        columns: labels.columns.to_vec(),
        rows,
        summary: summary.collect(),
        faults: vec![],
    })
}

/// Measures a query of one row at both places, and returns the medians and their ratio.
///
/// # Errors
/// A query that fails.
pub async fn points(sides: &[Side<'_>; 2], labels: &Labels, runs: u32) -> Result<Vec<(&'static str, Value)>> {
    let clients = clients(sides).await?;
    let mut summary = vec![];
    for (clients, names) in clients.iter().zip(&labels.points) {
        eprintln!("a query of one row: {runs} runs of {POINTS} queries");
        let mut taken = [vec![], vec![]];
        for (turn, side) in turns(runs + 1, clients.len()).enumerate() {
            for _ in 0..POINTS {
                let answer = Answer::of(&clients[side], POINT).await?;
                if answer.rows() != 1 {
                    return Err(Error::failed(format!("expected one row, got {}", answer.rows())));
                }
                // The first run warms the caches.
                if turn >= clients.len() {
                    taken[side].push(answer.time);
                }
            }
        }
        summary.extend(names.iter().copied().zip(figures(taken.map(median))));
    }
    Ok(summary)
}

/// Opens a session of each side at each place.
async fn clients(sides: &[Side<'_>; 2]) -> Result<Vec<[Client; 2]>> {
    let mut clients = vec![];
    for place in PLACES {
        clients.push([sides[0].mesh.client(place).await?, sides[1].mesh.client(place).await?]);
    }
    Ok(clients)
}

/// Returns the number of rows of a query, and the median time of each side.
async fn times(
    clients: &[Client; 2],
    sides: &[Side<'_>; 2],
    query: &Query,
    runs: u32,
) -> Result<(usize, [Duration; 2])> {
    let texts = [(sides[0].text)(query.sql), (sides[1].text)(query.sql)];
    let first = Answer::of(&clients[0], &texts[0]).await?;
    Answer::of(&clients[1], &texts[1]).await?.same_as(first.result(), query)?;
    let mut taken = [vec![], vec![]];
    for side in turns(runs, clients.len()) {
        taken[side].push(Answer::of(&clients[side], &texts[side]).await?.time);
    }
    Ok((first.rows(), taken.map(median)))
}

/// Returns both times in milliseconds, and their ratio.
fn figures([first, second]: [Duration; 2]) -> [Value; 3] {
    let ratio = first.as_secs_f64() / second.as_secs_f64().max(1e-9);
    [json!(millis(first)), json!(millis(second)), json!(ratio)]
}

#[cfg(test)]
mod tests {
    use portolan_testbed::tpch::QUERIES;

    use super::*;

    #[test]
    fn every_use_of_the_port_is_replaced() {
        let text = written("SELECT 1 FROM a, sales.orders.lineitem, sales.orders.lineitem AS l2 WHERE x");
        assert_eq!(text, format!("SELECT 1 FROM a, {ROWS} AS lineitem, {ROWS} AS l2 WHERE x"));
        assert_eq!(written("SELECT 1"), "SELECT 1");
        for query in QUERIES.iter().filter(|query| query.sql.contains(LINEITEM)) {
            let text = written(query.sql);
            assert_eq!(text.matches(ROWS).count(), query.sql.matches(LINEITEM).count(), "query {}", query.number);
            assert!(!text.replace(ROWS, "").contains(LINEITEM), "query {}", query.number);
        }
    }
}
